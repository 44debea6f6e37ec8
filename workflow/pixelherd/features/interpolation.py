"""Feature vectors and predictions at image resolution from maps at native resolution.

The maps of one image are ``{block: [T, C, h, w]}``, float16 or float32; C, h and w differ between blocks. A network
that sees a padded image leaves maps beyond the image's border: :class:`NativeMaps` say how far the image goes. A
pixel's vector has length D = Σ T·C: blocks ascending, within a block timesteps outer and channels inner, each map
bilinearly interpolated to ``size = (H, W)`` as by ``F.interpolate(mode="bilinear", align_corners=False)``, the whole
then L2-normalised.

Nothing here builds H×W×D numbers. A linear layer commutes with interpolation, so a head's first layer is applied to the
native maps; and the square of an interpolated vector is a combination of inner products of neighbouring native vectors.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from pixelherd.compute.matmul import linear

Maps = Mapping[int, torch.Tensor]

Covered = tuple[float, float]
"""Rows and columns of native positions that an image covers, whole or not."""

EPS = 1e-12
"""Vectors shorter than this are divided by it instead of their norm, as in ``F.normalize``."""

NORMALISATIONS = ("unit",)
"""What is done to a pixel's interpolated activations: ``unit`` divides them by their length."""

CHUNK = 2 * 2**20
"""Bytes of a float32 map whose inner products :func:`norms` takes at a time on a CPU, as for :data:`TILE`."""

ACCELERATED = 256 * 2**20
"""What takes the place of :data:`TILE` and :data:`CHUNK` on any other device."""


class NativeMaps(dict[int, torch.Tensor]):
    """Maps of one image by block, ``[T, C, h, w]`` each, of which the image may cover a part, from the top left.

    Args:
        maps: the maps.
        covered: of blocks that reach beyond the image, native rows and columns that it covers.
    """

    def __init__(self, maps: Maps, covered: Mapping[int, Covered] | None = None):
        super().__init__(maps)
        self.covered = dict(covered or {})

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "NativeMaps":
        """Return maps of which each is changed."""
        return NativeMaps({block: change(values) for block, values in self.items()}, self.covered)

    @classmethod
    def of(cls, maps: Maps) -> "NativeMaps":
        """Return maps as they are; a plain mapping is of images that are not padded."""
        return maps if isinstance(maps, cls) else cls(maps)


def vectors(
    maps: Maps, rows: torch.Tensor, columns: torch.Tensor, size: tuple[int, int], normalisation: str = "unit"
) -> torch.Tensor:
    """Normalised vectors of n pixels.

    Args:
        maps: of one image.
        rows, columns: ``[n]`` integer pixel coordinates, 0 <= row < H and 0 <= column < W.
        size: (H, W).
        normalisation: one of :data:`NORMALISATIONS`.

    Returns:
        ``[n, D]`` float32 of length 1 (0 where the maps are 0), on the maps' device. On a CPU a pixel's vector has the
        same bits whatever n. Only the four native neighbours of each pixel are read.

    Raises:
        ValueError: a pixel lies outside ``size``, or the normalisation is unknown.
    """
    check_normalisation(normalisation)
    device = next(iter(maps.values())).device
    rows, columns = (torch.as_tensor(axis, device=device, dtype=torch.int64) for axis in (rows, columns))
    for name, axis, length in (("row", rows, size[0]), ("column", columns, size[1])):
        if len(axis) and not 0 <= int(axis.min()) <= int(axis.max()) < length:
            raise ValueError(f"a pixel's {name} lies outside 0..{length - 1}")
    parts = []
    for stack, covered in stacks_of(maps):
        down, across = (taps[at] for taps, at in zip(taps_of(stack, size, covered), (rows, columns), strict=True))
        above, under = (
            torch.lerp(stack[:, row, across.near].float(), stack[:, row, across.far].float(), across.fraction)
            for row in (down.near, down.far)
        )
        parts.append(torch.lerp(above, under, down.fraction))
    joined = torch.cat(parts)
    if joined.shape[1] == 1:  # alone, its squares would be summed in another order than those of several pixels
        joined = joined.repeat(1, 2)
    return F.normalize(joined.T, dim=1, eps=EPS)[: len(rows)]


def norms(maps: Maps, size: tuple[int, int]) -> torch.Tensor:
    """Length of the interpolated, not yet normalised vector of every pixel: ``[H, W]`` float32, at least ``EPS``.

    With a, b, c, d the four native neighbours and their bilinear weights, ``|αa + βb + γc + δd|²`` needs each square
    and each of the six products once; all are sums over channels at native resolution.
    """
    total = torch.zeros(size, device=next(iter(maps.values())).device)
    for stack, covered in stacks_of(maps):
        if covered == size:
            for part in _chunks(stack[:, : size[0], : size[1]]):
                total += part.square().sum(dim=0)
            continue
        down, across = taps_of(stack, size, covered)
        squares, below, beside, diagonal = _inner_products(stack)
        # down last: whole rows are read there, and numbers one by one across
        total += down.squares(across.squares(squares, 1) + across.products(beside, 1), 0)
        total += down.products(across.squares(below, 1) + across.products(diagonal, 1) / 2, 0)
    return total.clamp(min=0).sqrt().clamp(min=EPS)


def project(maps: Maps, weight: torch.Tensor, size: tuple[int, int], norms: torch.Tensor) -> torch.Tensor:
    """A linear layer without bias at every pixel's normalised vector; differentiable in ``weight``.

    Args:
        weight: ``[O, D]`` float32.
        norms: ``[H, W]`` from :func:`norms`.

    Returns:
        ``[H·W, O]`` float32, pixels row by row.

    Raises:
        ValueError: the weight's D is not the maps'.
    """
    return (Projection(maps, weight, size).rows(slice(0, size[0])) / norms.flatten()).T.contiguous()


def check_normalisation(normalisation: str) -> None:
    """Raise a ValueError unless it is one of :data:`NORMALISATIONS`."""
    if normalisation not in NORMALISATIONS:
        raise ValueError(f"unknown normalisation {normalisation!r}: choose one of {', '.join(NORMALISATIONS)}")


def at_once(on_cpu: int, device: torch.device) -> int:
    """Return how many bytes to work on at a time: ``on_cpu`` on a CPU, :data:`ACCELERATED` elsewhere."""
    return on_cpu if device.type == "cpu" else ACCELERATED


class Projection:
    """A linear layer at the not yet normalised vector of every pixel of some rows.

    Maps of the image's size go through the layer pixel by pixel, smaller ones at native resolution. Interpolation
    along columns is a matrix product with few terms, since products are what processors do best: it takes a tenth of
    the time that reading four neighbours for each of the layer's outputs does. Outputs lie channel by channel as the
    maps do: the maps are the larger side, and turning them round takes half as long as their product.

    Args:
        maps: of one image.
        weight: ``[O, D]`` float32.
        size: (H, W).

    Raises:
        ValueError: the weight's D is not the maps'.
    """

    def __init__(self, maps: Maps, weight: torch.Tensor, size: tuple[int, int]):
        stacks = stacks_of(maps)
        lengths = [len(stack) for stack, _ in stacks]
        if weight.shape[1] != sum(lengths):
            raise ValueError(f"the layer takes vectors of length {weight.shape[1]}, the maps have {sum(lengths)}")
        fine: list[tuple[torch.Tensor, torch.Tensor]] = []
        coarse: list[tuple[torch.Tensor, torch.Tensor, tuple[Taps, Taps]]] = []
        for (stack, covered), part in zip(stacks, weight.split(lengths, dim=1), strict=True):
            if covered == size:
                fine.append((stack[:, : size[0], : size[1]], part))
            else:
                coarse.append((stack, part, taps_of(stack, size, covered)))
        self._fine = [stack for stack, _ in fine]
        self._fine_weight = torch.cat([part for _, part in fine], dim=1) if fine else weight[:, :0]
        # outputs at native positions, [O, h, w], and how rows of the image interpolate them
        self._coarse = [
            (linear(part, stack.flatten(1).float().T).unflatten(1, stack.shape[1:]), down)
            for stack, part, (down, _) in coarse
        ]
        across = [beside.matrix(stack.shape[2]) for stack, _, (_, beside) in coarse]
        self._across = torch.cat(across, dim=1) if coarse else weight[:0]

    def rows(self, rows: slice) -> torch.Tensor:
        """Outputs ``[O, (stop - start)·W]`` float32 of the rows ``start:stop`` of the image."""
        parts = []
        if self._fine:
            vectors = torch.cat([stack[:, rows] for stack in self._fine]).float()
            parts.append(linear(self._fine_weight, vectors.flatten(1).T))
        if self._coarse:
            lines = torch.cat([taps[rows].blend(native) for native, taps in self._coarse], dim=2)
            parts.append(linear(lines.flatten(0, 1), self._across).view(len(lines), -1))
        return parts[0] if len(parts) == 1 else parts[0].add_(parts[1])


def stacks_of(maps: Maps) -> list[tuple[torch.Tensor, Covered]]:
    """Return the maps in the order of the vector, each as ``[T·C, h, w]`` with what the image covers of it."""
    native = NativeMaps.of(maps)
    stacks = {block: native[block].flatten(0, 1) for block in sorted(native)}
    whole = {block: (stack.shape[1], stack.shape[2]) for block, stack in stacks.items()}
    return [(stack, native.covered.get(block, whole[block])) for block, stack in stacks.items()]


def taps_of(
    stack: torch.Tensor,
    size: tuple[int, int],
    covered: Covered,
    places: tuple[torch.Tensor | None, torch.Tensor | None] = (None, None),
) -> "tuple[Taps, Taps]":
    """Return where all rows and all columns of an image of ``size`` read a map ``[channels, h, w]``.

    Others may be asked for as ``places`` along either axis, see :meth:`Taps.of`.
    """
    down, across = (
        Taps.of(native, length, stack.device, part, at)
        for native, length, part, at in zip(stack.shape[1:], size, covered, places, strict=True)
    )
    return down, across


def knots_of(
    stacks: Sequence[tuple[torch.Tensor, Covered]], size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the :func:`knots` of maps ``[channels, h, w]`` along the height and the width of an image of ``size``."""
    down, across = (
        knots([(stack.shape[1 + axis], covered[axis]) for stack, covered in stacks], size[axis]) for axis in (0, 1)
    )
    return down, across


def knots(maps: Sequence[tuple[int, float]], length: int) -> torch.Tensor:
    """Return places ``[k]`` float32 along an axis of an image between which interpolated maps are linear, all of them.

    They are those of native values, and both ends; or each position of the image, where these are fewer.

    Args:
        maps: native positions along the axis, and how many of them the image covers, of each map.
        length: of the image.
    """
    native = [(torch.arange(count, dtype=torch.float64) + 0.5) * (length / covered) - 0.5 for count, covered in maps]
    ends = torch.tensor([0, length - 1], dtype=torch.float64)
    found = torch.cat([ends, *native]).clamp(0, length - 1).float().unique()
    return found if len(found) < length else torch.arange(length, dtype=torch.float32)


def _chunks(stack: torch.Tensor) -> Iterator[torch.Tensor]:
    """Some channels of ``[channels, h, w]`` at a time, in float32."""
    channels = max(at_once(CHUNK, stack.device) // (4 * stack[0].numel()), 1)
    return (part.float() for part in stack.split(channels))


@dataclass(frozen=True)
class Taps:
    """Where bilinear interpolation reads along one axis: ``(1 - fraction) * x[near] + fraction * x[far]``."""

    near: torch.Tensor
    far: torch.Tensor
    fraction: torch.Tensor

    @classmethod
    def of(
        cls,
        native: int,
        length: int,
        device: torch.device,
        covered: float | None = None,
        places: torch.Tensor | None = None,
    ) -> "Taps":
        """Taps of ``length`` positions in the first ``covered`` of ``native`` ones, in float32 as torch computes them.

        All are covered by default. Others than whole positions may be asked for as ``places``, between the first and
        the last of them.
        """
        scale = torch.tensor(native if covered is None else covered, dtype=torch.float32) / length
        source = (((torch.arange(length) if places is None else places) + 0.5) * scale - 0.5).clamp(min=0)
        near = source.long().clamp(max=native - 1)
        far = (near + 1).clamp(max=native - 1)
        return cls(near.to(device), far.to(device), (source - near).clamp(max=1).to(device))

    @classmethod
    def between(cls, places: torch.Tensor, length: int) -> "Taps":
        """Taps of ``length`` positions in values at ascending ``places [k]`` from the first position to the last."""
        positions = torch.arange(length).to(places)
        near = (torch.searchsorted(places, positions) - 1).clamp(min=0)
        far = (near + 1).clamp(max=len(places) - 1)
        apart = torch.where(far > near, places[far] - places[near], 1)
        return cls(near, far, (positions - places[near]) / apart)

    def __getitem__(self, at: torch.Tensor | slice) -> "Taps":
        return Taps(self.near[at], self.far[at], self.fraction[at])

    def matrix(self, native: int) -> torch.Tensor:
        """The interpolation as a matrix ``[positions, native]``."""
        matrix = torch.zeros(len(self.near), native, device=self.near.device)
        matrix.scatter_add_(1, self.near[:, None], 1 - self.fraction[:, None])
        return matrix.scatter_add_(1, self.far[:, None], self.fraction[:, None])

    def blend(self, x: torch.Tensor) -> torch.Tensor:
        """Interpolate rows of ``x [channels, native, w]``."""
        return torch.lerp(x.index_select(1, self.near), x.index_select(1, self.far), self.fraction[:, None])

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
    for part in _chunks(stack):
        x = F.pad(part[None], (0, 1, 0, 1), mode="replicate")[0]
        here, right, under, across = x[:, :-1, :-1], x[:, :-1, 1:], x[:, 1:, :-1], x[:, 1:, 1:]
        squares += here.square().sum(dim=0)
        below += (here * under).sum(dim=0)
        beside += (here * right).sum(dim=0)
        diagonal += (here * across).sum(dim=0) + (right * under).sum(dim=0)
    return squares, below, beside, diagonal
