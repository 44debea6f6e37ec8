"""Masks that end where the image has edges: the guided filter of He, Sun & Tang (TPAMI 2013) on probabilities."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

RADIUS = 4
"""Of the windows, in pixels of the image that the network sees; measured in docs/heads.md, as is :data:`EPSILON`."""

EPSILON = 1e-4
"""Variance of colours in [0, 1] below which a window counts as flat."""


def keep_to_edges(probabilities: Tensor, image: np.ndarray, radius: int = RADIUS, epsilon: float = EPSILON) -> Tensor:
    """Filter probabilities so that they follow the edges of the image.

    In each window probabilities are fitted as a linear function of the colours, by ridge regression (eq. 14 to 16); the
    functions of all windows that hold a pixel are averaged. Functions that are fitted to a small image are not for the
    colours of a larger one: noise, which the small one has averaged away, would become specks.

    Args:
        probabilities: ``[C, H, W]`` float32.
        image: ``[H, W, 3]`` uint8.
        radius: of the windows of (2·radius + 1)² pixels, which end where the image does.
        epsilon: of the ridge regression, above 0.

    Returns:
        ``[C, H, W]`` float32, at least 0 and with a sum of 1 at every pixel.
    """
    colours = torch.tensor(image, device=probabilities.device).permute(2, 0, 1).float() / 255
    mean, means = _box(colours, radius), _box(probabilities, radius)
    spread = _box(colours[:, None] * colours, radius) - mean[:, None] * mean
    spread = spread.permute(2, 3, 0, 1) + epsilon * torch.eye(3, device=colours.device)
    shared = _box(probabilities[:, None] * colours, radius) - means[:, None] * mean
    slopes = torch.linalg.solve(spread, shared.permute(2, 3, 1, 0)).permute(3, 2, 0, 1)
    offsets = means - (slopes * mean).sum(1)
    found = ((_box(slopes, radius) * colours).sum(1) + _box(offsets, radius)).clamp_(min=0)
    return found.div_(found.sum(0))


def _box(values: Tensor, radius: int) -> Tensor:
    """Means of ``[…, H, W]`` over windows of 2·radius + 1, which end where the image does."""
    shape, size = values.shape, 2 * radius + 1
    values = values.reshape(-1, 1, *shape[-2:])
    values = avg_pool2d(values, (size, 1), 1, (radius, 0), count_include_pad=False)
    return avg_pool2d(values, (1, size), 1, (0, radius), count_include_pad=False).reshape(shape)
