"""Filters made by hand, without any weights: what a learnt network has to be better than.

At each scale, of each channel of CIELAB, a pixel's value after Gaussian smoothing, gradient magnitude, Laplacian,
eigenvalues of the Hessian and of the structure tensor: what ilastik's pixel classification offers (Berg et al. 2019).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pixelherd.features.backbones.backbone import Encoder
from pixelherd.features.backbones.description import Description
from pixelherd.features.backbones.networks.shapes import TRUNCATE
from pixelherd.features.perturbations import Perturbation
from pixelherd.features.windows import Windows


class FilterBank(Encoder):
    """Responses of filters, scaled by what is usual for them.

    Args:
        description: what they give.
        scales: their σ in pixels.
        position: whether a pixel's row and column count too.
        device: where the maps shall be; filters are computed on the CPU.
    """

    def __init__(
        self, description: Description, scales: Sequence[float], *, position: bool, device: torch.device | str
    ):
        super().__init__(description, "filters", device)
        self.scales, self.position = scales, position

    def levels(self, images: Tensor, blocks: Sequence[int]) -> dict[int, Tensor]:
        """Return responses ``[b, C, H, W]`` by scale."""
        found: dict[int, list[np.ndarray]] = {block: [] for block in blocks}
        for image in images.cpu().numpy():
            lab = to_lab((image + 1) / 2)
            for block in blocks:
                maps = [each for channel in lab for each in responses(channel, self.scales[block])]
                found[block].append(np.stack(maps).astype(np.float32))
        return {block: torch.from_numpy(np.stack(maps)).to(self.device) for block, maps in found.items()}

    def padded_maps(
        self,
        images: Tensor,
        perturbation: Tensor | Perturbation | None,
        timesteps: Sequence[int],
        blocks: Sequence[int],
        windows: Windows,
    ) -> dict[int, Tensor]:
        """Return responses; behind those of the last scale the position, which windows and draws do not change."""
        found = super().padded_maps(images, perturbation, timesteps, blocks, windows)
        last = len(self.scales) - 1
        if self.position and last in found:
            sides = [torch.linspace(-1, 1, side, device=self.device) for side in images.shape[-2:]]
            place = torch.stack(torch.meshgrid(*sides, indexing="ij")).expand(len(images), 1, -1, -1, -1)
            found[last] = torch.cat([found[last], place], dim=2)
        return found


def responses(channel: np.ndarray, scale: float) -> list[np.ndarray]:
    """Return the responses of a channel ``[H, W]`` at a scale σ in pixels; derivatives are multiplied by σ."""
    from scipy.ndimage import gaussian_filter

    def derivative(down: int, along: int) -> np.ndarray:
        filtered = gaussian_filter(channel, scale, order=(down, along), mode="nearest", truncate=TRUNCATE)
        return filtered * scale ** (down + along)

    dy, dx = derivative(1, 0), derivative(0, 1)
    dyy, dxx, dxy = derivative(2, 0), derivative(0, 2), derivative(1, 1)
    tensor = [gaussian_filter(each, scale, mode="nearest", truncate=TRUNCATE) for each in (dy * dy, dx * dx, dy * dx)]
    structure = [np.sqrt(np.maximum(each, 0)) for each in eigenvalues(*tensor)]
    return [derivative(0, 0), np.hypot(dy, dx), dyy + dxx, *eigenvalues(dyy, dxx, dxy), *structure]


def eigenvalues(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the larger and the smaller eigenvalue of ``[[a, c], [c, b]]``."""
    middle, radius = (a + b) / 2, np.hypot((a - b) / 2, c)
    return middle + radius, middle - radius


def to_lab(image: np.ndarray) -> np.ndarray:
    """Return CIELAB ``[3, H, W]`` float64 of sRGB ``[3, H, W]`` in [0, 1], D65, scaled to about [-1, 1]."""
    linear = np.where(image <= 0.04045, image / 12.92, ((np.maximum(image, 0) + 0.055) / 1.055) ** 2.4)
    xyz = np.tensordot(TO_XYZ, linear.astype(np.float64), axes=1) / WHITE[:, None, None]
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([1.16 * root[1] - 0.66, 5 * (root[0] - root[1]), 2 * (root[1] - root[2])])


TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])

WHITE = np.array([0.95047, 1.0, 1.08883])
