"""Feature vectors and predictions at image resolution from maps at native resolution.

The maps of one image are ``{block: [T, C, h, w]}``, float16 or float32; C, h and w differ between blocks. A pixel's
vector has length D = Σ T·C: blocks ascending, within a block timesteps outer and channels inner, each map bilinearly
interpolated to ``size = (H, W)`` as by ``F.interpolate(mode="bilinear", align_corners=False)``, the whole then
L2-normalised.

Nothing here builds H×W×D numbers. A linear layer commutes with interpolation, so a head's first layer is applied to the
native maps; and the square of an interpolated vector is a combination of inner products of neighbouring native vectors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from .head import Head

Maps = Mapping[int, torch.Tensor]

EPS = 1e-12
"""Vectors shorter than this are divided by it instead of their norm, as in ``F.normalize``."""

MEMORY = 32 * 2**20
"""Bytes of first-layer outputs that :func:`predict` holds at a time; measured: on a CPU 256 MB take twice as long."""

CHANNELS = 128
"""Channels of a map converted to float32 at a time for the inner products of :func:`norms`."""


def vectors(maps: Maps, rows: torch.Tensor, columns: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Normalised vectors of n pixels.

    Args:
        rows, columns: ``[n]`` integer pixel coordinates, 0 <= row < H and 0 <= column < W.
        size: (H, W).

    Returns:
        ``[n, D]`` float32 of length 1 (0 where the maps are 0), on the maps' device. Only the four native neighbours
        of each pixel are read.

    Raises:
        ValueError: a pixel lies outside ``size``.
    """
    device = next(iter(maps.values())).device
    rows, columns = (torch.as_tensor(axis, device=device, dtype=torch.int64) for axis in (rows, columns))
    for name, axis, length in (("row", rows, size[0]), ("column", columns, size[1])):
        if len(axis) and not 0 <= int(axis.min()) <= int(axis.max()) < length:
            raise ValueError(f"a pixel's {name} lies outside 0..{length - 1}")
    parts = []
    for stack in _stacks(maps):
        down, across = (
            _Taps.of(native, length, device)[at]
            for native, length, at in zip(stack.shape[1:], size, (rows, columns), strict=True)
        )
        above, under = (
            torch.lerp(stack[:, row, across.near].float(), stack[:, row, across.far].float(), across.fraction)
            for row in (down.near, down.far)
        )
        parts.append(torch.lerp(above, under, down.fraction))
    return F.normalize(torch.cat(parts).T, dim=1, eps=EPS)


def norms(maps: Maps, size: tuple[int, int]) -> torch.Tensor:
    """Length of the interpolated, not yet normalised vector of every pixel: ``[H, W]`` float32, at least ``EPS``.

    With a, b, c, d the four native neighbours and their bilinear weights, ``|αa + βb + γc + δd|²`` needs each square
    and each of the six products once; all are sums over channels at native resolution.
    """
    total = torch.zeros(size, device=next(iter(maps.values())).device)
    for stack in _stacks(maps):
        down, across = (
            _Taps.of(native, length, stack.device) for native, length in zip(stack.shape[1:], size, strict=True)
        )
        squares, below, beside, diagonal = _inner_products(stack)
        total += across.squares(down.squares(squares, 0), 1)
        total += across.squares(down.products(below, 0), 1)
        total += across.products(down.squares(beside, 0), 1)
        total += across.products(down.products(diagonal, 0), 1) / 2
    return total.clamp(min=0).sqrt().clamp(min=EPS)


def project(
    maps: Maps, weight: torch.Tensor, size: tuple[int, int], norms: torch.Tensor, rows: slice | None = None
) -> torch.Tensor:
    """A linear layer without bias at every pixel's normalised vector; differentiable in ``weight``.

    Args:
        weight: ``[O, D]`` float32.
        norms: ``[H, W]`` from :func:`norms`.
        rows: the image rows wanted, ``slice(start, stop)``; all by default.

    Returns:
        ``[O, H, W]`` float32, or ``[O, stop - start, W]``.

    Raises:
        ValueError: the weight's D is not the maps'.
    """
    rows = slice(0, size[0]) if rows is None else rows
    lengths = [maps[block].shape[0] * maps[block].shape[1] for block in sorted(maps)]
    if weight.shape[1] != sum(lengths):
        raise ValueError(f"the layer takes vectors of length {weight.shape[1]}, the maps have {sum(lengths)}")
    total = None
    for stack, part in zip(_stacks(maps), weight.split(lengths, dim=1), strict=True):
        down = _Taps.of(stack.shape[1], size[0], stack.device)[rows]
        first, last = int(down.near[0]), int(down.far[-1])
        native = stack[:, first : last + 1].float()
        answer = (part @ native.flatten(1)).unflatten(1, native.shape[1:])
        answer = down.shifted(-first).blend(answer, 1)
        if stack.shape[2] != size[1]:
            answer = F.interpolate(answer[None], (answer.shape[1], size[1]), mode="bilinear", align_corners=False)[0]
        total = answer if total is None else total + answer
    return total / norms[rows]


@torch.inference_mode()
def predict(maps: Maps, heads: Sequence["Head"], size: tuple[int, int]) -> list[torch.Tensor]:
    """Logits of every pixel for each head: ``[classes, H, W]`` float32 each.

    The heads share one reading of the maps and the norms. The modules run in the mode they are in, so that dropout may
    be on for Monte-Carlo samples; BatchNorm has to be in evaluation mode.

    Raises:
        ValueError: a head's BatchNorm is in training mode, or its D is not the maps'.
    """
    for head in heads:
        if any(module.training for module in head.modules() if isinstance(module, torch.nn.BatchNorm1d)):
            raise ValueError("a head to predict with must have its BatchNorm in evaluation mode: call head.eval()")
    lengths = norms(maps, size)
    logits = [[] for _ in heads]
    for group in _groups(heads, size):
        weight = torch.cat([heads[index].first.weight for index in group])
        widths = [heads[index].first.out_features for index in group]
        tile = max(MEMORY // (4 * len(weight) * size[1]), 1)
        for start in range(0, size[0], tile):
            rows = slice(start, min(start + tile, size[0]))
            for index, hidden in zip(group, project(maps, weight, size, lengths, rows).split(widths), strict=True):
                first, rest = heads[index].first, heads[index].rest
                activations = hidden.flatten(1).T.contiguous()
                if first.bias is not None:
                    activations += first.bias
                logits[index].append(rest(activations).T.unflatten(1, hidden.shape[1:]))
    return [torch.cat(tiles, dim=1) for tiles in logits]


def _groups(heads: Sequence["Head"], size: tuple[int, int]) -> list[list[int]]:
    """Heads whose hidden activations fit :data:`MEMORY` in tiles of at least 32 rows; lower tiles repeat much work."""
    groups, width = [], 0
    for index, head in enumerate(heads):
        width += head.first.out_features
        if not groups or 4 * width * size[1] * min(32, size[0]) > MEMORY:
            groups.append([])
            width = head.first.out_features
        groups[-1].append(index)
    return groups


def _stacks(maps: Maps) -> list[torch.Tensor]:
    """The maps in the order of the vector, each as ``[T·C, h, w]``."""
    return [maps[block].flatten(0, 1) for block in sorted(maps)]


@dataclass(frozen=True)
class _Taps:
    """Where bilinear interpolation reads along one axis: ``(1 - fraction) * x[near] + fraction * x[far]``."""

    near: torch.Tensor
    far: torch.Tensor
    fraction: torch.Tensor

    @classmethod
    def of(cls, native: int, length: int, device: torch.device) -> "_Taps":
        """Taps of ``length`` positions in ``native`` ones, in float32 as torch computes them."""
        scale = torch.tensor(native, dtype=torch.float32) / length
        source = ((torch.arange(length) + 0.5) * scale - 0.5).clamp(min=0)
        near = source.long().clamp(max=native - 1)
        far = (near + 1).clamp(max=native - 1)
        return cls(near.to(device), far.to(device), (source - near).clamp(max=1).to(device))

    def __getitem__(self, at: torch.Tensor | slice) -> "_Taps":
        return _Taps(self.near[at], self.far[at], self.fraction[at])

    def shifted(self, by: int) -> "_Taps":
        return _Taps(self.near + by, self.far + by, self.fraction)

    def blend(self, x: torch.Tensor, dim: int) -> torch.Tensor:
        """Interpolate ``x`` along ``dim``."""
        if not self.fraction.any() and torch.equal(self.near, torch.arange(x.shape[dim], device=x.device)):
            return x
        fraction = self.fraction.reshape(-1, *[1] * (x.ndim - 1 - dim))
        return torch.lerp(x.index_select(dim, self.near), x.index_select(dim, self.far), fraction)

    def squares(self, x: torch.Tensor, dim: int) -> torch.Tensor:
        """``(1 - f)² x[near] + f² x[far]``: what squares of native values give to the interpolated one's square."""
        fraction = self.fraction.unsqueeze(1 - dim)
        return (1 - fraction) ** 2 * x.index_select(dim, self.near) + fraction**2 * x.index_select(dim, self.far)

    def products(self, x: torch.Tensor, dim: int) -> torch.Tensor:
        """``2 f (1 - f) x[near]``, where ``x[i]`` is the product of native values i and i + 1."""
        fraction = self.fraction.unsqueeze(1 - dim)
        return 2 * fraction * (1 - fraction) * x.index_select(dim, self.near)


def _inner_products(stack: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sums over channels of a map ``[channels, h, w]``, each ``[h, w]``; beyond the border the last value repeats.

    Squares; products with the vector below; with the one to the right; and the sum of the products of both diagonals of
    each 2×2 square.
    """
    squares, below, beside, diagonal = torch.zeros(4, *stack.shape[1:], device=stack.device)
    for part in stack.split(CHANNELS):
        x = F.pad(part.float()[None], (0, 1, 0, 1), mode="replicate")[0]
        here, right, under, across = x[:, :-1, :-1], x[:, :-1, 1:], x[:, 1:, :-1], x[:, 1:, 1:]
        squares += here.square().sum(dim=0)
        below += (here * under).sum(dim=0)
        beside += (here * right).sum(dim=0)
        diagonal += (here * across).sum(dim=0) + (right * under).sum(dim=0)
    return squares, below, beside, diagonal
