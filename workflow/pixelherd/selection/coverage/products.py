"""Inner products of n vectors: of gathered vectors, or of vectors that follow from native feature maps."""

import copy
import itertools
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch.nn import functional as F

from pixelherd.compute.matmul import matmul, widest
from pixelherd.errors import UserError
from pixelherd.features import interpolation

CHANNELS = 32
"""Channels of a map converted to float32 at a time."""

POSITIONS = 256
"""Rows of a Gram matrix computed at a time."""


@runtime_checkable
class Products(Protocol):
    """Inner products of n vectors on a device.

    Attributes:
        n: number of vectors.
        device: where the products are computed.
        norms: ``[n]`` squared lengths, of the type of the products.
    """

    n: int
    device: torch.device
    norms: torch.Tensor

    def left(self, rows: slice | torch.Tensor) -> Any:
        """What :meth:`times` needs of some vectors, as the left factor."""

    def times(self, left: Any, columns: slice) -> torch.Tensor:
        """Inner products ``[rows, columns]``, which the caller may overwrite."""

    def vectors(self, indices: torch.Tensor) -> torch.Tensor:
        """Some of the vectors, ``[m, D]`` float32."""


class VectorProducts:
    """Inner products of gathered vectors ``[n, D]``, taken from a centre.

    A shift leaves distances alone, and shorter vectors lose fewer digits in ``|x|² + |y|² - 2xy``.

    Args:
        features: the vectors, of any float type.
        centre: ``[D]``, their mean by default.

    Attributes:
        centre: ``[D]`` float32.

    Raises:
        UserError: a vector is not finite.
        ValueError: features are not ``[n, D]`` with n > 0.
    """

    def __init__(self, features: torch.Tensor | np.ndarray, centre: np.ndarray | None = None):
        self._x = as_float32(features, "features")
        self.centre = self._x.mean(dim=0) if centre is None else torch.from_numpy(np.array(centre)).to(self._x)
        self._x.sub_(self.centre)
        self.n, self.device = len(self._x), self._x.device
        self._type = torch.float32
        self.norms = _norms(self._x, self._type)

    def precise(self) -> "VectorProducts":
        """The same vectors with products in the :func:`widest` type; they share memory."""
        other = copy.copy(self)
        other._type = widest(self.device)
        other.norms = _norms(self._x, other._type)
        return other

    def left(self, rows: slice | torch.Tensor) -> torch.Tensor:
        """Return some vectors as left factors ``[rows, D]``, see :class:`Products`."""
        return self._x[rows].to(self._type)

    def times(self, left: torch.Tensor, columns: slice) -> torch.Tensor:
        """Return inner products ``[rows, columns]``."""
        return matmul(left, self._x[columns].to(self._type).T)

    def vectors(self, indices: torch.Tensor) -> torch.Tensor:
        """Return some of the vectors ``[m, D]`` float32, taken from the centre."""
        return self._x[indices.to(self.device)]

    def outside(self, vectors: torch.Tensor | np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Other vectors as left factors, with their squared lengths."""
        y = as_float32(vectors, "covered").to(self.device)
        if y.shape[1] != self._x.shape[1]:
            raise ValueError(f"covered vectors have {y.shape[1]} dimensions, features have {self._x.shape[1]}")
        y.sub_(self.centre)
        return y.to(self._type), _norms(y, self._type)


class MapProducts:
    """Inner products of normalised vectors interpolated from native maps, as ``interpolation.vectors`` makes them.

    A vector's part of one map is ``Σ_a α_a m_a`` over four native positions, so a product of two parts is
    ``Σ_a Σ_b α_a β_b (m_a · m_b)``. Where a map has few positions (for ADM: 1,024 and 4,096), products of its positions
    are computed once and interpolated on both sides; the channels of such a map are never touched again. Maps with more
    positions than half the pixels are gathered: there the Gram matrix would be the larger one.

    Args:
        maps: ``{block: [T, C, h, w]}`` float16 or float32.
        pixels: ``[n]`` flat positions ``row · W + column``.
        size: (H, W).
    """

    def __init__(self, maps: interpolation.Maps, pixels: np.ndarray, size: tuple[int, int]):
        self._maps, self._size = maps, size
        stacks = interpolation.stacks_of(maps)
        self.device, self.n = stacks[0][0].device, len(pixels)
        self._pixels = torch.as_tensor(np.asarray(pixels, dtype=np.int64), device=self.device)
        self._grams, self._taps, self._weights, fine = [], [], [], []
        squares = torch.zeros(self.n, device=self.device)
        for stack, covered in stacks:
            taps, weights = _bilinear(stack, covered, self._pixels, size)
            if 2 * stack[0].numel() <= self.n:
                gram = _gram(stack.flatten(1))
                for rows in slices(0, self.n, POSITIONS):
                    half = F.embedding_bag(taps[rows], gram, mode="sum", per_sample_weights=weights[rows])
                    squares[rows] += (half.gather(1, taps[rows]) * weights[rows]).sum(dim=1)
                self._grams.append(gram)
                self._taps.append(taps)
                self._weights.append(weights)
            else:
                fine.append((stack, taps, weights))
        self._fine = torch.zeros(self.n, sum(len(stack) for stack, *_ in fine), device=self.device)
        start = 0
        for stack, taps, weights in fine:
            for part in stack.split(CHANNELS):
                native = part.flatten(1).T.float().contiguous()
                self._fine[:, start : start + len(part)] = F.embedding_bag(
                    taps, native, mode="sum", per_sample_weights=weights
                )
                start += len(part)
        squares += (self._fine * self._fine).sum(dim=1)
        scale = squares.clamp(min=0).sqrt().clamp(min=1e-12).reciprocal()
        self._fine *= scale[:, None]
        self._weights = [weights * scale[:, None] for weights in self._weights]
        self.norms = squares * scale * scale

    def left(self, rows: slice | torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return what :meth:`times` needs of some vectors: gathered parts ``[rows, D']``, and a half product a map."""
        half = [
            F.embedding_bag(taps[rows], gram, mode="sum", per_sample_weights=weights[rows]).T.contiguous()
            for gram, taps, weights in zip(self._grams, self._taps, self._weights, strict=True)
        ]
        return self._fine[rows], half

    def times(self, left: tuple[torch.Tensor, list[torch.Tensor]], columns: slice) -> torch.Tensor:
        """Return inner products ``[rows, columns]`` float32."""
        fine, halves = left
        products = matmul(fine, self._fine[columns].T)
        for half, taps, weights in zip(halves, self._taps, self._weights, strict=True):
            products += F.embedding_bag(taps[columns], half, mode="sum", per_sample_weights=weights[columns]).T
        return products

    def vectors(self, indices: torch.Tensor) -> torch.Tensor:
        """Return some of the vectors ``[m, D]`` float32, of length 1."""
        chosen = self._pixels[indices.to(self.device)]
        return interpolation.vectors(self._maps, chosen // self._size[1], chosen % self._size[1], self._size)


def slices(start: int, stop: int, size: int) -> list[slice]:
    """Cut ``start:stop`` into pieces of nearly equal length, at most ``size``: no piece is tiny unless all is."""
    pieces = max(-(-(stop - start) // size), 1)
    edges = [start + (stop - start) * piece // pieces for piece in range(pieces + 1)]
    return [slice(low, high) for low, high in itertools.pairwise(edges)]


def as_float32(vectors: torch.Tensor | np.ndarray, name: str) -> torch.Tensor:
    """A float32 copy, made block by block so that a memory-mapped float16 array is never held in a third form.

    Raises:
        UserError: a vector is not finite.
        ValueError: vectors are not ``[n, D]`` with n > 0 and D > 0.
    """
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise ValueError(f"{name} must be [n, D] with at least one vector, got shape {tuple(vectors.shape)}")
    device = vectors.device if torch.is_tensor(vectors) else "cpu"
    copy = torch.empty(tuple(vectors.shape), dtype=torch.float32, device=device)
    for rows in slices(0, len(copy), 4096):
        if torch.is_tensor(vectors):
            copy[rows] = vectors[rows]
        else:
            copy.numpy()[rows] = vectors[rows]
        # a sum takes a tenth of the time of looking at each, and is never finite if one of them is not
        if not copy[rows].sum().isfinite() and (bad := ~copy[rows].isfinite().all(dim=1)).any():
            where = rows.start + int(bad.nonzero()[0])
            raise UserError(
                f"{name} are not finite at vector {where}: extract them again in float32, or check the input"
            )
    return copy


def _norms(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Squared lengths, by the same product as the rest, so that duplicates are at distance 0 without rounding."""
    blocks = (block.to(dtype) for block in x.split(64))
    return torch.cat([matmul(block, block.T).diagonal() for block in blocks])


def _gram(x: torch.Tensor) -> torch.Tensor:
    """Inner products ``[P, P]`` of the columns of ``x [channels, P]``, in float32."""
    x = x.T.float().contiguous()
    gram = torch.empty(len(x), len(x), device=x.device)
    for rows in slices(0, len(x), POSITIONS):
        part = matmul(x[rows], x[rows.start :].T)
        gram[rows, rows.start :] = part
        gram[rows.start :, rows] = part.T
    return gram


def _bilinear(
    stack: torch.Tensor, covered: interpolation.Covered, pixels: torch.Tensor, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat native positions ``[n, 4]`` and weights ``[n, 4]`` that interpolate a map at flat pixels."""
    places = pixels // size[1], pixels % size[1]
    down, across = (taps[at] for taps, at in zip(interpolation.taps_of(stack, size, covered), places, strict=True))
    taps = [row * stack.shape[2] + column for row in (down.near, down.far) for column in (across.near, across.far)]
    weights = [v * h for v in (1 - down.fraction, down.fraction) for h in (1 - across.fraction, across.fraction)]
    return torch.stack(taps, dim=1), torch.stack(weights, dim=1)
