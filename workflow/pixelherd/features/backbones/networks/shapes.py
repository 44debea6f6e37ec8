"""The shapes of the networks that are written out here, which planning reads: imports no torch."""

from typing import NamedTuple


class Stage(NamedTuple):
    """Blocks of a kind in a row, the first of which has the stride."""

    channels: int
    repeats: int
    kernel: int
    stride: int
    expansion: int


STEM = 32

STEM_KERNEL, STEM_STRIDE = 3, 2

STAGES = (
    # EfficientNet-Lite2: EfficientNet-Lite0 with 1.1 times the channels and 1.2 times the blocks
    Stage(16, 1, 3, 1, 1),
    Stage(24, 3, 3, 2, 6),
    Stage(48, 3, 5, 2, 6),
    Stage(88, 4, 3, 2, 6),
    Stage(120, 4, 5, 1, 6),
    Stage(208, 5, 5, 2, 6),
    Stage(352, 1, 3, 1, 6),
)

RESPONSES = 7
"""Responses of filters to each colour channel at a scale."""

TRUNCATE = 3.0
"""Radius of the filters in standard deviations."""
