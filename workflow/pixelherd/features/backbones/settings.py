"""How backbones are pretrained; light, so that a study is checked without importing torch."""

from typing import Annotated, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from pixelherd.settings import Count, Seed, Settings, Side, Whole

Size = tuple[Side, Side]

Width = Annotated[int, Field(gt=0, le=65_536)]

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
