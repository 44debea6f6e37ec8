"""Where backbones come from, and how they are pretrained; light, so that a study is checked without importing torch."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    Tag,
    ValidationError,
    model_validator,
)

from pixelherd.errors import UserError
from pixelherd.features.backbones.sources.architecture import PRESETS, Architecture
from pixelherd.settings import Count, PathText, Seed, Settings, Side, Whole, explain

Size = tuple[Side, Side]

Width = Annotated[int, Field(gt=0, le=65_536)]

PresetName = Annotated[Literal["imagenet_256", "lsun_bedroom"], Tag("preset")]


class Checkpoint(Settings):
    """A checkpoint of guided-diffusion, converted to a diffusers folder in the cache."""

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

    @property
    def network(self) -> Architecture:
        """The architecture, whether it was named or written out."""
        return Architecture.read(self.architecture)

    def identity(self) -> dict[str, Any]:
        """What results depend on: neither where the file is fetched from, nor what the training alone needed."""
        options = self.network.model_dump(
            mode="json", exclude_defaults=True, exclude={"out_channels", "dropout", "use_fp16"}
        )
        return {"checkpoint": self.checkpoint, "architecture": options}

    def published(self) -> str | None:
        """Where the authors of a named network keep its checkpoint."""
        return PRESETS[self.architecture].url if isinstance(self.architecture, str) else None


class HubModel(Settings):
    """A model of the Hugging Face hub, downloaded by diffusers unless it is in the hub's local cache."""

    diffusers: str = Field(
        pattern=r"^[\w.-]+/[\w.-]+$", description="Id of the model, such as `google/ddpm-ema-church-256`."
    )
    revision: str | None = Field(
        default=None, min_length=1, description="Branch, tag or commit; by default the main branch."
    )

    def identity(self) -> dict[str, Any]:
        """What results depend on."""
        return self.model_dump(mode="json")


class Embedded(Settings):
    """The encoder that comes with the installation."""

    embedded: Literal["efficientnet_lite2"] = Field(
        description="EfficientNet-Lite2, which learnt from photographs: small, and fast without a GPU."
    )

    def identity(self) -> dict[str, Any]:
        """What results depend on."""
        return self.model_dump(mode="json")


class Filters(Settings):
    """Filters made by hand, without any weights."""

    filters: list[Annotated[float, Field(ge=0.3, le=100)]] = Field(
        min_length=1, max_length=20, description="Their scales σ in pixels, such as `[0.7, 1.6, 3.5, 8]`."
    )
    position: bool = Field(default=False, description="Whether a pixel's row and column count too.")

    def identity(self) -> dict[str, Any]:
        """What results depend on."""
        return self.model_dump(mode="json")


class PretrainedEncoder(Settings):
    """An encoder of the transformers library."""

    encoder: PathText = Field(
        description="Folder that `save_pretrained` wrote, or id of a model of the Hugging Face hub, such as "
        "`facebook/dinov2-small`."
    )
    revision: str | None = Field(
        default=None, min_length=1, description="Branch, tag or commit of the hub; by default the main branch."
    )

    def identity(self) -> dict[str, Any]:
        """What results depend on."""
        return self.model_dump(mode="json", exclude_none=True)


Source = Checkpoint | HubModel | Embedded | Filters | PretrainedEncoder
"""Backbones that are described by settings, and are no folder yet, or never."""

KINDS: dict[str, type[Source]] = {
    "checkpoint": Checkpoint,
    "diffusers": HubModel,
    "embedded": Embedded,
    "filters": Filters,
    "encoder": PretrainedEncoder,
}
"""Kinds of sources by the key that names each."""


def read_source(content: Mapping[str, Any]) -> Source:
    """Read where a backbone comes from, as a study has it.

    Raises:
        UserError: one line for all mistakes, with the nearest known name for an unknown one.
    """
    kind = next((each for key, each in KINDS.items() if key in content), Checkpoint)
    try:
        return kind.model_validate(dict(content))
    except ValidationError as error:
        raise UserError(explain(error.errors(), dict(content), kind.model_json_schema(), "backbone")) from None


TRAINING_TIMESTEPS = 1000
"""Length of the noise schedule of backbones that a study trains."""


class Stage(Settings):
    """A first part of the training, at another resolution."""

    size: Size = Field(description="[height, width] of the images in this stage.")
    steps: Count = Field(description="Optimisation steps of this stage.")


class PretrainingSettings(Settings):
    """An unconditional DDPM, trained from scratch on unlabelled training images."""

    dataset: str = Field(description="Dataset whose training images are used; labels are not.")
    size: Size = Field(description="[height, width] of the images in pixels.")
    channels: list[Width] = Field(
        default=[32, 64, 128, 256], min_length=1, max_length=12, description="Channels of each level, the finest first."
    )
    layers_per_block: PositiveInt = Field(
        default=1, le=100, description="Residual blocks of each level of the encoder; the decoder has one more."
    )
    attention: list[Whole] = Field(
        default=[3],
        description="Levels with self-attention, 0 being the finest; the middle of the network always has it.",
    )
    head_dim: Count = Field(default=32, description="Channels of an attention head.")
    groups: Count = Field(default=16, description="Groups of the group normalisation.")
    steps: Count = Field(description="Optimisation steps altogether.")
    stages: list[Stage] = Field(
        default=[],
        description="What the first steps do at other resolutions, in this order; the other steps are at `size`.",
    )
    batch: Width = Field(default=16, description="Images in a batch.")
    learning_rate: PositiveFloat = Field(default=2e-4, description="AdamW's learning rate after warm-up.")
    warmup_steps: Whole = Field(
        default=500,
        description="Steps in which the learning rate rises from 0, before it falls to 0 again along a cosine.",
    )
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.999, description="Decay of the moving average of the weights, which is what is saved."
    )
    flip: bool = Field(default=True, description="Mirror half of the images horizontally.")
    crop: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="Smallest part of height and width that a random crop keeps; 1 does not crop."
    )
    seed: Seed = Field(default=0, description="Key of the initial weights, batches and noise.")
    checkpoint_every: Count = Field(default=1000, description="Steps between two checkpoints.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        factor = 2 ** (len(self.channels) - 1)
        for size in (self.size, *(stage.size for stage in self.stages)):
            if size[0] % factor or size[1] % factor:
                raise ValueError(f"size {list(size)}: {len(self.channels)} levels need multiples of {factor}")
        if any(channels % self.groups for channels in self.channels):
            raise ValueError(f"channels {self.channels}: choose multiples of groups ({self.groups})")
        if any(level >= len(self.channels) for level in self.attention):
            raise ValueError(f"attention {self.attention}: levels count from 0 to {len(self.channels) - 1}")
        for level in {*self.attention, len(self.channels) - 1}:
            if self.channels[level] % self.head_dim:
                raise ValueError(
                    f"head_dim {self.head_dim}: does not divide the {self.channels[level]} channels of level {level}"
                )
        if sum(stage.steps for stage in self.stages) > self.steps:
            raise ValueError("stages: they have more steps than `steps` allows")
        return self
