"""Settings of the head and its training; light, so that a study is checked without importing torch."""

from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    Tag,
)

from pixelherd.settings import Count, Seed, Settings

Balance = Literal["none", "balanced", "sqrt"]


class SelfTrainingSettings(Settings):
    """Pixels that nobody labelled as further labels: those of each class that a first fit is surest of (Lee 2013)."""

    rounds: Annotated[int, Field(gt=0, le=10)] = Field(
        default=1, description="How often the head labels pixels and is fitted again."
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.2, description="Of the pixels that a class is predicted at, the part it is surest of."
    )
    weight: PositiveFloat = Field(
        default=0.2, description="Of all pixels that the head labelled itself, as a multiple of the labels' weight."
    )
    pixels: Count = Field(
        default=32, description="Context pixels that are looked at in each image; all where there are fewer."
    )


class LinearSettings(Settings):
    """Softmax regression on the labelled pixels: deterministic, without a seed, batches or a stop rule."""

    kind: Literal["linear"] = Field(default="linear", description="Softmax regression.")
    l2: PositiveFloat = Field(
        default=0.05,
        description="λ of the penalty λ/2·‖W‖² beside the sum of the labelled pixels' losses: the precision of the "
        "weights' Gaussian prior, which does not change with the number of labels.",
    )
    class_balance: Balance = Field(
        default="balanced",
        description="Weight of a labelled pixel in the loss: all alike (`none`), by the inverse of its class's number "
        "of labelled pixels (`balanced`), or of that number's square root (`sqrt`).",
    )
    self_training: SelfTrainingSettings | None = Field(
        default=None, description="Learn from pixels that nobody labelled, too: `{}` for its defaults; off by default."
    )


class MlpSettings(Settings):
    """The paper's network of three layers and its training; the defaults are those of the paper."""

    kind: Literal["mlp"] = Field(default="mlp", description="The paper's network of three layers.")
    hidden: Annotated[list[Annotated[int, Field(gt=0, le=65_536)]], Field(min_length=2, max_length=2)] | None = Field(
        default=None,
        description="Widths of the two hidden layers; null means 128 and 32, or 256 and 128 from 30 classes on.",
    )
    epochs: Count = Field(default=50, description="Largest number of passes over the labelled batches.")
    batch_images: Count = Field(default=5, description="Images in a batch; batches without a label are skipped.")
    learning_rate: PositiveFloat = Field(default=1e-3, description="Adam's learning rate in the first epoch.")
    weight_decay: NonNegativeFloat = Field(default=1e-5, description="Adam's weight decay.")
    period: Count = Field(default=5, description="Epochs in which the cosine schedule falls to its minimum (T_max).")
    minimum_learning_rate: NonNegativeFloat = Field(default=1e-6, description="Bottom of the cosine schedule.")
    patience: Count = Field(default=50, description="Batches without a new lowest loss before training may stop early.")
    accuracy: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.95,
        description="Training stops early only after a batch whose labelled pixels are right more often than this.",
    )
    minimum_epochs: Count = Field(
        default=5, description="First epoch whose losses count for `patience`, and in which training may stop early."
    )
    context: Literal["kept", "all"] = Field(
        default="kept",
        description="Pixels of a batch's images whose statistics BatchNorm sees: the `kept` context pixels of the "
        "features, or `all` pixels, as in the authors' code.",
    )


def _kind(settings: Any) -> str | None:
    """Which kind of head is meant: the one named, else the one that the keys belong to, else linear."""
    if not isinstance(settings, dict):
        return getattr(settings, "kind", None)
    alone = set(MlpSettings.model_fields) - set(LinearSettings.model_fields)
    kind = settings.get("kind", "mlp" if alone & set(settings) else "linear")
    return kind if kind in ("linear", "mlp") else None


HeadSettings = Annotated[
    Annotated[LinearSettings, Tag("linear")] | Annotated[MlpSettings, Tag("mlp")],
    Discriminator(
        _kind,
        custom_error_type="head",
        custom_error_message="give a mapping whose `kind` is `linear` (the default) or `mlp`",
    ),
    Field(json_schema_extra=lambda schema: schema.update(anyOf=schema.pop("oneOf"))),  # `{}` is of both
]


class TrainingSettings(Settings):
    """What a run's heads depend on besides its features and labels."""

    head: HeadSettings = Field(description="Of the head.")
    seed: Seed = Field(description="Seed of the run: of the weights, and of the order of images.")
    threads: Count = Field(description="Numerical threads, since sums differ with them.")

    def identity(self) -> dict[str, Any]:
        """Return what results depend on, as JSON.

        Seals without a kind are older than it, and of the paper's head; those without self-training have none.
        """
        head = self.head.model_dump(mode="json")
        if head["kind"] == "mlp":
            del head["kind"]
        elif head["self_training"] is None:
            del head["self_training"]
        return head | {"seed": self.seed, "threads": self.threads}
