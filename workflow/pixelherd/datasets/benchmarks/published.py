"""What is published about a benchmark, from its data file beside this module: classes, colours, ids, image counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from pixelherd.datasets.classes import IGNORED, ClassInfo
from pixelherd.datasets.settings import FileSettings
from pixelherd.errors import UserError

FACTS = Path(__file__).parent / "facts"


@dataclass(frozen=True)
class Facts:
    """A published dataset.

    Attributes:
        title: its name as written.
        source: where to get it.
        images: number of images per split; None where its archives differ.
        classes: the classes in label order.
        ids: the number that each class has in the raw masks, in label order.
        table: label of every number that the raw masks may hold, 255 for those of no class.
        scene: the scene category that its images have, where they are a part of a larger dataset.
    """

    title: str
    source: str
    images: Mapping[str, int] | None
    classes: tuple[ClassInfo, ...]
    ids: tuple[int, ...]
    table: Mapping[int, int]
    scene: str | None = None

    @property
    def mend(self) -> str:
        """What to do about a damaged file."""
        return f"get it again from {self.source}"

    def root(self, settings: FileSettings) -> Path:
        """The raw folder of the settings.

        Raises:
            UserError: it does not exist.
        """
        root = Path(settings.root).expanduser()
        if not root.is_dir():
            raise UserError(
                f"{self.title}: the raw folder {root} does not exist",
                remedy=(f"get it from {self.source}, and set `root` to its place"),
            )
        return root

    def part(self, root: Path, *parts: str) -> Path:
        """A file or folder that belongs to the raw folder.

        Raises:
            UserError: it does not exist.
        """
        path = root.joinpath(*parts)
        if not path.exists():
            raise UserError(
                f"{path} is missing, so {root} is not the {self.title} of {self.source}",
                remedy="correct `root` or get it there",
            )
        return path


@cache
def published(kind: str) -> Facts:
    """The benchmark that the data file ``kind``.yaml describes."""
    facts = yaml.safe_load((FACTS / f"{kind}.yaml").read_text())
    ids = tuple(entry["id"] for entry in facts["classes"])
    first, last = facts["ids"]
    return Facts(
        title=facts["title"],
        source=facts["source"],
        images=facts.get("images"),
        classes=tuple(ClassInfo(entry["name"], tuple(entry["colour"])) for entry in facts["classes"]),
        ids=ids,
        table=dict.fromkeys([*range(first, last + 1), *facts.get("void", [])], IGNORED)
        | {value: label for label, value in enumerate(ids)},
        scene=facts.get("scene"),
    )
