"""What a study says about the tables of its finished runs. It changes no run."""

from pydantic import Field

from pixelherd.settings import Settings
from pixelherd.study.settings import EffortSettings


class PublishedResults(Settings):
    """Results that others published, shown beside a study's own.

    Attributes:
        source: where they stand, and what differs from the study.
        miou: mIoU after the last round in percent, by dataset and method.
    """

    source: str
    miou: dict[str, dict[str, float]]


class TableSettings(Settings):
    """How finished runs are compared, with every reference found.

    Attributes:
        reference: the method that all others are compared with, if there is one.
        stages: by two-stage method the single-stage one of the same score.
        features: the features entry that others are compared with, or by dataset the entry, if there is one.
        confidence: coverage of the intervals of differences, in (0, 1).
        rope: difference in mIoU, in [0, 1], up to which two methods count as practically the same.
        fractions: fractions of the fully supervised mIoU, in (0, 1], for which the labels needed are counted.
        published: results of others.
        effort: the seconds that a person's answers take.
    """

    reference: str | None = None
    stages: dict[str, str] = Field(default_factory=dict)
    features: str | dict[str, str] | None = None
    confidence: float = 0.95
    rope: float = 0.01
    fractions: tuple[float, ...] = (0.7, 0.8, 0.9)
    published: PublishedResults | None = None
    effort: EffortSettings = EffortSettings()


DEFAULTS = TableSettings()
