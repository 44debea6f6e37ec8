"""The protocol of sources: what a study names as a backbone, and what that is once it is there. Imports no torch."""

import json
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pixelherd.errors import UserError
from pixelherd.features.backbones.description import Description
from pixelherd.settings import Settings
from pixelherd.storage.shipped import SHIPPED

if TYPE_CHECKING:
    import torch

    from pixelherd.features.backbones.backbone import Backbone

Autocast = Literal["float16", "bfloat16"] | None

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
"""An id of a model of the Hugging Face hub."""


def located(folder: Path | str) -> Path:
    """Return a backbone's folder: as it is named, or else the one of this name that comes with the package."""
    shipped = SHIPPED / folder
    return shipped if not Path(folder).is_dir() and shipped.is_dir() else Path(folder)


class Stored(ABC):
    """A backbone that is there: in a folder, or in the installation."""

    @property
    @abstractmethod
    def place(self) -> Path | str:
        """Return where it lies."""

    @abstractmethod
    def describe(self) -> Description:
        """Return what it takes and gives, without loading it.

        Raises:
            UserError: its configuration is missing, damaged, or of a network that nobody knows.
        """

    @abstractmethod
    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of every file, by its name, that its maps depend on.

        Raises:
            UserError: files are missing or damaged.
        """

    @abstractmethod
    def load(self, device: "torch.device | str", batch: int | None, autocast: Autocast) -> "Backbone":
        """Return the network, frozen, in evaluation mode.

        Raises:
            UserError: its weights are missing, damaged or of another network.
        """

    def prepared(self, folder: Path) -> "Stored":
        """Return this backbone with what every load would compute anew, which a folder keeps, or is to keep."""
        return self

    def kept_files(self) -> list[Path]:
        """Return the files that :meth:`prepared` keeps."""
        return []


class Examined(NamedTuple):
    """What is known of a source whose backbone is still to be made.

    Attributes:
        sound: whether all was looked at that it is made of.
        found: in words.
    """

    sound: bool
    found: str


class Source(Settings, ABC):
    """Settings that name a backbone. A kind of source is a subclass that is entered in :data:`.kinds.KINDS`."""

    scheduled: ClassVar[bool] = False
    """Whether its backbones have noise schedules, and so timesteps."""

    def identity(self) -> dict[str, Any]:
        """Return what results depend on, as JSON."""
        return self.model_dump(mode="json", exclude_none=True)

    def usual_blocks(self) -> list[int]:
        """Return the blocks that are read where a study names none."""
        return []

    @abstractmethod
    def stored(self) -> Stored | None:
        """Return the backbone where it is there already; None where it is still to be made, by :meth:`make`."""

    def watched(self) -> list[Path]:
        """Return files and folders of the user's that it is made of: with other content, it is another backbone."""
        return []

    def describe(self, where: str) -> Description:
        """Return what it will take and give, before it is made.

        Args:
            where: names it in messages.

        Raises:
            UserError: it is not to be had, or of a kind that nobody knows.
        """
        raise NotImplementedError

    def bytes_made(self) -> int:
        """Return the bytes that it takes once it is made, as far as that is known before."""
        return 0

    def examine(self) -> Examined:
        """Look at what it will be made of, without making it.

        Raises:
            UserError: what it is made of is missing or damaged.
        """
        name, blocks = next(iter(self.identity().values())), f"{len(self.describe('').levels)} blocks"
        return Examined(False, f"{name}: {', '.join([blocks, *self.offer()])}; weights are read when the study runs")

    def offer(self) -> list[str]:
        """Say under which licence it comes, and what there is to download, as far as that can be asked."""
        return []

    def make(self, folder: Path) -> dict[str, Any]:
        """Fill a folder with the backbone, downloading what is missing.

        Returns:
            Where it came from, as JSON.

        Raises:
            UserError: what it is made of is missing, damaged, or something else than it should be.
        """
        raise NotImplementedError

    @abstractmethod
    def made(self, path: Path) -> Stored:
        """Return the backbone that was made in, or found at, a path."""


class BuiltIn(Source, Stored):
    """A source that is its own backbone: nothing has to be fetched or converted."""

    @property
    def place(self) -> Path | str:
        """Return the key of the kind."""
        return next(iter(type(self).model_fields))

    @abstractmethod
    def describe(self, where: str = "") -> Description:
        """Return what it takes and gives."""

    def stored(self) -> "BuiltIn":
        """Return itself."""
        return self

    def made(self, path: Path) -> "BuiltIn":
        """Return itself."""
        return self


def read_configuration(file: Path) -> dict[str, Any]:
    """Read the configuration of a network, or of a part of a pipeline.

    Raises:
        UserError: it is no JSON object.
    """
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is not valid JSON ({error})", remedy="fetch or convert the backbone again") from None
    if not isinstance(config, dict):
        raise UserError(f"{file} is not a diffusers configuration", remedy="fetch or convert the backbone again")
    return config
