"""Diffusion models in folders that diffusers wrote, and models of the Hugging Face hub that become such folders."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from pixelherd.errors import UserError
from pixelherd.features.backbones.description import Description
from pixelherd.features.backbones.diffusion.pipeline import (
    AUTOENCODERS,
    TEXT_ENCODER,
    TOKENIZER,
    Condition,
    Pipeline,
    read_folder,
)
from pixelherd.features.backbones.sources.source import HUB_ID, Autocast, Source, Stored, located
from pixelherd.settings import MANY, PathText
from pixelherd.storage.files import digest_of

if TYPE_CHECKING:
    import torch

    from pixelherd.features.backbones.backbone import Backbone

PARTS = ("unet", "scheduler", *AUTOENCODERS, TEXT_ENCODER, TOKENIZER)
"""Folders of what maps depend on."""

BESIDE_INDEX = ["config.json", "scheduler_config.json", "diffusion_pytorch_model*"]
"""Files that older models keep beside their index."""

PROMPT = "prompt.safetensors"
"""The embedding of a prompt."""


@dataclass(frozen=True)
class DiffusersFolder(Stored):
    """A diffusion model in a folder that diffusers wrote.

    Attributes:
        path: the folder.
        condition: a prompt, a class, or neither.
        kept: the file that keeps the embedding of the prompt, if one does.
    """

    path: Path
    condition: Condition = None
    kept: Path | None = None

    @property
    def place(self) -> Path:
        """Return the folder."""
        return self.path

    @property
    def pipeline(self) -> Pipeline:
        """Return what its configurations tell.

        Raises:
            UserError: as :meth:`.Pipeline.read`, or the network does not know the condition.
        """
        found = read_folder(self.path)
        found.check_condition(self.condition)
        return found

    def describe(self) -> Description:
        """Return what the network takes and gives."""
        return self.pipeline.describe()

    def digests(self) -> dict[str, str]:
        """Return the digests of all files of its :data:`PARTS`."""
        parts, folder = self.pipeline.parts, located(self.path)
        files = [path for part in PARTS if part in parts for path in _files(folder / part)]
        return {path.relative_to(folder).as_posix(): digest_of(path) for path in files}

    def load(self, device: "torch.device | str", batch: int | None, autocast: Autocast) -> "Backbone":
        """Return the network with its autoencoder and the embedding of its prompt, where it has them."""
        from pixelherd.features.backbones.networks.unet import UNet

        pipeline = self.pipeline
        condition: Any = self._embedding() if pipeline.is_prompted else self.condition
        return UNet(located(self.path), pipeline, condition, device=device, batch=batch, autocast=autocast)

    def prepared(self, folder: Path) -> "DiffusersFolder":
        """Return this model with the embedding of its prompt, which needs the text encoder no more."""
        found = replace(self, kept=folder / PROMPT)
        if self.pipeline.is_prompted:
            found._embedding()
        return found

    def kept_files(self) -> list[Path]:
        """Return the file of the embedding."""
        return [self.kept] if self.kept and self.kept.is_file() else []

    def _embedding(self) -> "torch.Tensor":
        from pixelherd.features.backbones.networks import prompts

        if self.kept and self.kept.is_file():
            return prompts.read(self.kept)
        found = prompts.embed(located(self.path), str(self.condition or ""))
        if self.kept:
            prompts.write(self.kept, found)
        return found


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


class Folder(Source):
    """A folder that a study names by its path alone."""

    scheduled: ClassVar[bool] = True

    path: PathText = Field(description="A diffusers folder.")

    def stored(self) -> DiffusersFolder:
        """Return the model in the folder."""
        return DiffusersFolder(Path(self.path))

    def watched(self) -> list[Path]:
        """Return the parts of the folder that maps depend on."""
        return _parts_below(located(self.path))

    def made(self, path: Path) -> DiffusersFolder:
        """Return the model in a folder."""
        return DiffusersFolder(path)


def _parts_below(folder: Path) -> list[Path]:
    """The parts that a folder has, and those that every model has; of one that is gone, all that it may have had."""
    return [folder / part for part in PARTS if part in PARTS[:2] or not folder.is_dir() or (folder / part).is_dir()]


class HubModel(Source):
    """A diffusion model of the Hugging Face hub, downloaded by diffusers unless it is in the hub's local cache."""

    scheduled: ClassVar[bool] = True

    diffusers: PathText = Field(
        description="Id of the model, such as `google/ddpm-ema-church-256`, or a diffusers folder."
    )
    revision: str | None = Field(
        default=None, min_length=1, description="Branch, tag or commit; by default the main branch."
    )
    condition: Annotated[int, Field(ge=0, le=MANY)] | Annotated[str, Field(max_length=1000)] | None = Field(
        default=None,
        description="What conditions the network: a prompt, by default an empty one, or a class, by default none.",
    )

    def identity(self) -> dict[str, Any]:
        """Return what results depend on; a revision that is not named counts too, as it did at first."""
        found = self.model_dump(mode="json")
        return {key: value for key, value in found.items() if key != "condition" or value is not None}

    def stored(self) -> DiffusersFolder | None:
        """Return the model where a folder is named; None where it is one of the hub."""
        folder = located(self.diffusers)
        return DiffusersFolder(folder, self.condition) if folder.is_dir() else None

    def watched(self) -> list[Path]:
        """Return the parts of the folder that maps depend on, where one is named."""
        folder = located(self.diffusers)
        return [] if HUB_ID.fullmatch(self.diffusers) and not folder.is_dir() else _parts_below(folder)

    def describe(self, where: str) -> Description:
        """Return what a model of the hub takes and gives; fetches no weights.

        Raises:
            UserError: it is neither on the hub nor in its local cache, or of a kind that nobody knows.
        """
        from pixelherd.features.backbones.sources import hub

        self._check_id()
        found = hub.read(self.diffusers, self.revision)
        found.check_condition(self.condition)
        return found.describe()

    def offer(self) -> list[str]:
        """Say what the hub says of the model."""
        from pixelherd.features.backbones.sources import hub

        return hub.offer(self.diffusers, self.revision, [f"{part}/*.*" for part in PARTS] + BESIDE_INDEX)

    def make(self, folder: Path) -> dict[str, Any]:
        """Copy the parts of a model of the hub into a folder; downloads what is not cached.

        Returns:
            Its id and commit.

        Raises:
            UserError: as :meth:`describe`, or its weights are of another architecture.
        """
        from pixelherd.features.backbones.sources import hub

        self._check_id()
        commit = hub.fetch(self.diffusers, self.revision, folder, PARTS)
        self.made(folder).load("cpu", None, None)  # weights of another architecture are found here, not in each job
        return {"diffusers": self.diffusers, "commit": commit}

    def made(self, path: Path) -> DiffusersFolder:
        """Return the model in a folder."""
        return DiffusersFolder(path, self.condition)

    def _check_id(self) -> None:
        if not HUB_ID.fullmatch(self.diffusers):
            raise UserError(
                f"there is no diffusers folder {self.diffusers}",
                remedy="give a folder, or an id of the hub: OWNER/NAME",
            )
