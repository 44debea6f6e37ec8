"""Checkpoints of guided-diffusion, which become diffusers folders."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from pixelherd.errors import UserError
from pixelherd.features.backbones.description import Description
from pixelherd.features.backbones.diffusion.architecture import PRESETS, Architecture
from pixelherd.features.backbones.diffusion.pipeline import Pipeline
from pixelherd.features.backbones.sources.folder import DiffusersFolder
from pixelherd.features.backbones.sources.source import Examined, Source
from pixelherd.settings import MANY, Count, PathText
from pixelherd.storage.download import download
from pixelherd.storage.files import digest_of

FLOAT32 = 4

PresetName = Annotated[Literal["imagenet_256", "lsun_bedroom"], Tag("preset")]


class Checkpoint(Source):
    """A checkpoint of guided-diffusion, converted to a diffusers folder in the cache."""

    scheduled: ClassVar[bool] = True

    checkpoint: PathText = Field(
        description="File of the state dict, `.pt` or `.safetensors`; a download is put there."
    )
    architecture: Annotated[
        PresetName | Annotated[Architecture, Tag("Architecture")],
        Discriminator(lambda value: "preset" if isinstance(value, str) else "Architecture"),
    ] = Field(description="A published network, or guided-diffusion's options of another one.")
    url: str | None = Field(
        default=None, pattern=r"^https?://\S+$", description="Where the file is downloaded from if it is not there."
    )
    bytes: Count | None = Field(default=None, description="Size of the file; another one is an error.")
    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the file in small letters; another one is an error.",
    )
    condition: Annotated[int, Field(ge=0, le=MANY)] | None = Field(
        default=None, description="Number of the class that conditions a class-conditional network, by default none."
    )

    @property
    def network(self) -> Architecture:
        """The architecture, whether it was named or written out."""
        return Architecture.read(self.architecture)

    def identity(self) -> dict[str, Any]:
        """Return what results depend on: neither where the file comes from, nor what the training alone needed."""
        options = self.network.model_dump(
            mode="json", exclude_defaults=True, exclude={"out_channels", "dropout", "use_fp16"}
        )
        found = {"checkpoint": self.checkpoint, "architecture": options}
        return found if self.condition is None else found | {"condition": self.condition}

    def published(self) -> str | None:
        """Where the authors of a named network keep its checkpoint."""
        return PRESETS[self.architecture].url if isinstance(self.architecture, str) else None

    def stored(self) -> None:
        """Return None: a checkpoint is converted."""

    def watched(self) -> list[Path]:
        """Return the file, unless it may be downloaded: then it is checked when it comes."""
        return [] if self.url or self.published() else [Path(self.checkpoint)]

    def describe(self, where: str) -> Description:
        """Return what the architecture takes and gives."""
        schedule = {"num_train_timesteps": self.network.diffusion_steps}
        found = Pipeline(where, {}, self.network.unet_config(), schedule)
        found.check_condition(self.condition)
        return found.describe()

    def bytes_made(self) -> int:
        """Return the bytes of the converted weights."""
        return self.network.parameters * FLOAT32

    def examine(self) -> Examined:
        """Compare the file with the architecture, where it is there.

        Raises:
            UserError: they do not fit.
        """
        from pixelherd.features.backbones.diffusion import convert

        path = Path(self.checkpoint)
        if not path.is_file() and self.url:
            return Examined(False, f"checkpoint {path} will be downloaded from {self.url}")
        self.find()
        convert.check(convert.read_checkpoint(path), self.network, where=f"checkpoint {path}")
        blocks = len(self.describe("").levels)
        return Examined(True, f"{path}: {self.network.parameters:,} parameters, {blocks} blocks")

    def find(self) -> Path:
        """Return the checkpoint's file, downloaded if it is not there and has a URL; its size is right.

        Raises:
            UserError: the file is missing or has another size, or its download failed.
        """
        path = Path(self.checkpoint)
        if path.is_dir():
            raise UserError(
                f"checkpoint {path} is a folder", remedy="name a file, or give a diffusers folder by its path"
            )
        if not path.is_file():
            if self.url is None:
                published = self.published()
                fetch = f"download {published} and put it there" if published else "put the file there"
                raise UserError(
                    f"there is no checkpoint {path}", remedy=f"{fetch}, or give a `url` to download it from"
                )
            download(self.url, path, size=self.bytes)
        size = path.stat().st_size
        if self.bytes not in (None, size):
            raise UserError(
                f"checkpoint {path} has {size} bytes rather than {self.bytes}",
                remedy=("delete it and fetch it again, or correct `bytes`"),
            )
        return path

    def make(self, folder: Path) -> dict[str, Any]:
        """Convert the checkpoint; one whose tensors are all float16 stays float16, others are stored as float32.

        Returns:
            The checkpoint's path, SHA-256 and architecture.

        Raises:
            UserError: as :meth:`find`, or it is damaged, or of another architecture.
        """
        import torch

        from pixelherd.features.backbones.diffusion import convert

        path = self.find()
        digest = digest_of(path)
        if self.sha256 not in (None, digest):
            raise UserError(
                f"checkpoint {path} has SHA-256 {digest} rather than {self.sha256}",
                remedy=("delete it and fetch it again, or correct `sha256`"),
            )
        state_dict = convert.read_checkpoint(path)
        network = convert.convert_adm(state_dict, self.network, where=f"checkpoint {path}")
        if all(tensor.dtype == torch.float16 for tensor in state_dict.values()):
            network.half()
        network.save_pretrained(folder / "unet")
        convert.scheduler(self.network).save_pretrained(folder / "scheduler")
        return {"checkpoint": str(path), "sha256": digest, "architecture": self.network.model_dump(mode="json")}

    def made(self, path: Path) -> DiffusersFolder:
        """Return the converted network."""
        return DiffusersFolder(path, self.condition)
