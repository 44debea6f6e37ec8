"""What lists, pools and scores depend on; light, so that a study is checked without importing torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from pydantic import Field

from pixelherd.datasets.settings import AnnotatorSettings
from pixelherd.errors import UserError
from pixelherd.settings import PixelCount, Settings, Whole

if TYPE_CHECKING:
    from pixelherd.datasets.pixels import Pixels

Value = TypeVar("Value")

Kernel = Literal["rbf", "laplace", "cauchy", "student_t", "rational_quadratic", "top_hat"]


class ListSettings(Settings):
    """Stage 1 within an image: which pixels may be listed, and how many are."""

    pixels: PixelCount | Literal["all"] = Field(
        default=10_000, description="Random pixels of an image among which its list is herded, or `all`."
    )
    listed: PixelCount = Field(default=50, description="K, the pixels that an image offers in every round.")
    reserve: Whole = Field(
        default=50, description="Further listed pixels that take the place of those labelled already."
    )
    kernel: Kernel = Field(default="rbf", description="Similarity kernel of local and global herding.")
    bandwidth: float = Field(
        default=2.0,
        gt=0,
        description="σ of the kernel, as a multiple of the median distance between vectors of a sample.",
    )
    avoid_ignored: bool = Field(
        default=True, description="Leave out pixels that the ground truth ignores, as the paper's code does."
    )

    @property
    def length(self) -> int:
        """Pixels of an image's whole list, K + reserve."""
        return self.listed + self.reserve


class SelectionSettings(Settings):
    """What the queries of a run depend on besides its features and lists; None where the method does not use it.

    Attributes:
        score: the score, or the selection without a score.
        budget: pixels a round as the study has them, ``"40"`` or ``"0.1"``.
        seed: of the run.
        listed: K, what an image offers.
        kernel: of global herding.
        stages: 1 where the score ranks every pixel of every training image.
        pool_fraction: share of what is offered that the pool keeps.
        weight: λ of edald and ebald.
        avoid_ignored: leave out pixels that the ground truth ignores.
        draws: M.
        dropout: probability in the head that is sampled by dropout.
        samples: of a head, that the score compares.
        annotator: how the one errs who answers in place of masks; None where answers are right.
    """

    score: str
    budget: str
    seed: int
    listed: int | None = None
    kernel: Kernel | None = None
    stages: Literal[1] | None = None
    pool_fraction: float | None = None
    weight: float | None = None
    avoid_ignored: bool | None = None
    draws: int | None = None
    dropout: float | None = None
    samples: int | None = None
    annotator: AnnotatorSettings | None = None

    def pixels(self, images: int) -> int:
        """Return b, the pixels that a round labels of so many training images."""
        return pixels_a_round(self.budget, images)


def pixels_a_round(budget: str, images: int) -> int:
    """Return b = round(budget · images), or the absolute number where ``budget`` has no decimal point.

    Raises:
        UserError: that is no pixel.
    """
    pixels = int(budget) if budget.isdigit() else round(float(budget) * images)
    if pixels < 1:
        raise UserError(f"budgets: {budget} of {images} training images is no pixel", remedy="write a larger budget")
    return pixels


def used(setting: Value | None) -> Value:
    """Return one of the :class:`SelectionSettings` where a method must have it.

    Raises:
        ValueError: the method does not use it.
    """
    if setting is None:
        raise ValueError("the method does not use this setting, so a study gives it none")
    return setting


@dataclass(frozen=True)
class Round:
    """What a round knows before it asks.

    Attributes:
        number: of the round, from 0; keys what is random.
        budget: b, the pixels to ask for.
        labelled: pixels of the training images that are labelled already, and are not asked again; their values are the
            labels, 255 where nobody could tell.
        settings: of the run.
    """

    number: int
    budget: int
    labelled: "Pixels"
    settings: SelectionSettings
