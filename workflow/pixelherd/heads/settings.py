"""Settings of the head and its training; light, so that a study is checked without importing torch."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from pixelherd.settings import Settings


class HeadSettings(Settings):
    """How a head is built and trained; the defaults are those of the paper."""

    hidden: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)] | None = Field(
        default=None,
        description="Widths of the two hidden layers; null means 128 and 32, or 256 and 128 from 30 classes on.",
    )
    epochs: PositiveInt = Field(default=50, description="Largest number of passes over the labelled batches.")
    batch_images: PositiveInt = Field(default=5, description="Images in a batch; batches without a label are skipped.")
    learning_rate: PositiveFloat = Field(default=1e-3, description="Adam's learning rate in the first epoch.")
    weight_decay: NonNegativeFloat = Field(default=1e-5, description="Adam's weight decay.")
    period: PositiveInt = Field(
        default=5, description="Epochs in which the cosine schedule falls to its minimum (T_max)."
    )
    minimum_learning_rate: NonNegativeFloat = Field(default=1e-6, description="Bottom of the cosine schedule.")
    patience: PositiveInt = Field(
        default=50, description="Batches without a new lowest loss before training may stop early."
    )
    accuracy: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.95,
        description="Training stops early only after a batch whose labelled pixels are right more often than this.",
    )
    minimum_epochs: PositiveInt = Field(default=5, description="First epoch in which training may stop early.")
    context: Literal["kept", "all"] = Field(
        default="kept",
        description="Pixels of a batch's images whose statistics BatchNorm sees: the `kept` context pixels of the "
        "features, or `all` pixels, as in the authors' code.",
    )


class TrainingSettings(HeadSettings):
    """What a run's heads depend on besides its features and labels."""

    seed: NonNegativeInt = Field(description="Seed of the run: of the weights, and of the order of images.")
    threads: PositiveInt = Field(description="Numerical threads, since sums differ with them.")
