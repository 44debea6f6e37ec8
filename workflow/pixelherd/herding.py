"""MaxHerding: exact lazy greedy selection of the vectors that cover a set best.

The generalised coverage of S is ``C(S) = Σ_i w_i max_{s in S} k(x_i, x_s) / Σ_i w_i`` (Bae et al., *Generalized
Coverage for More Robust Low-Budget Active Learning*, ECCV 2024; with weights, *Uncertainty Herding*, ICLR 2025). It is
monotone and submodular: a gain found for fewer picks bounds the gain for more picks from above, so most candidates
need no second look before a pick (Minoux, *Accelerated greedy algorithms*, 1978). The bounds hold in floating point
too: each term of a sum can only shrink, the order of summation is fixed, and rounding keeps order.
"""

import itertools
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import psutil
import torch

from .errors import UserError
from .randomness import torch_generator

KERNELS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "rbf": lambda u: u.neg_().exp_(),
    "laplace": lambda u: u.sqrt_().neg_().exp_(),
    "cauchy": lambda u: u.add_(1).reciprocal_(),
    "student_t": lambda u: u.div_(3).add_(1).pow_(-2),
    "rational_quadratic": lambda u: u.div_(4).add_(1).pow_(-2),
    "top_hat": lambda u: u.le_(1),
}
"""Kernels as functions of ``u = d² / σ²`` that overwrite it; all are 1 at distance 0 and never rise with distance.

``rbf`` exp(-u); ``laplace`` exp(-√u); ``cauchy`` 1 / (1 + u); ``student_t`` (1 + u/ν)^(-(ν+1)/2) with ν = 3;
``rational_quadratic`` (1 + u/(2α))^(-α) with α = 2; ``top_hat`` 1 where d <= σ, else 0.
"""

TIE = 1e-6
"""Gains closer to the best than this fraction of it are ties: float32 sums do not tell them apart."""

ROWS, COLUMNS = 256, 512
"""Size of the pieces in which kernel values are computed, so that they are still in the cache when they are used."""


@dataclass(frozen=True)
class Herding:
    """A greedy selection of b vectors.

    Attributes:
        indices: ``[b]`` int64 on the CPU; distinct, in greedy order: every prefix is the selection of a smaller budget.
        coverage: ``[b]`` float64 on the CPU; ``Σ w c / Σ w`` after each pick, in [0, 1] and never falling.
        credited: the coverage before the first pick, which is that of the ``covered`` vectors.
    """

    indices: torch.Tensor
    coverage: torch.Tensor
    credited: float = 0.0


def max_herding(
    features: torch.Tensor | np.ndarray,
    budget: int,
    *,
    bandwidth: float | None = None,
    kernel: str = "rbf",
    covered: torch.Tensor | np.ndarray | None = None,
    weights: torch.Tensor | np.ndarray | None = None,
    generator: torch.Generator | None = None,
    memory: int | None = None,
) -> Herding:
    """Pick ``min(budget, n)`` vectors, each the one that raises the weighted coverage of all n most.

    Gains are sums of float32 kernel values; those within a fraction :data:`TIE` of the best are ties, and ties go to
    the lowest index. Where no pick can add anything (duplicates, everything covered) the lowest indices left follow.

    Args:
        features: ``[n, D]`` of any float type; computed in float32 on the tensor's device (arrays on the CPU).
        budget: how many to pick.
        bandwidth: σ > 0, a distance; ``None`` takes :func:`median_bandwidth` of the features.
        kernel: a name in :data:`KERNELS`.
        covered: ``[m, D]`` vectors whose coverage is credited from the start, such as labelled pixels.
        weights: ``[n]``, not negative: the weight of each vector's term in the mean.
        generator: draws the subset behind the bandwidth.
        memory: bytes for kernel rows, by default half of what is free on the device. Where ``4 n²`` do not fit, the
            rows used last are kept and others are computed again when needed: slower, with the same picks (on a GPU,
            up to the rounding of matrix products of another shape). The float32 features come on top.

    Raises:
        UserError: features or covered vectors are not finite, or the kernel is unknown.
        ValueError: shapes disagree, there is no vector, the budget is negative, the bandwidth is not positive or too
            small for the features, or weights are negative, not finite or sum to zero.
    """
    if kernel not in KERNELS:
        raise UserError(f"unknown kernel {kernel!r}: choose one of {', '.join(KERNELS)}")
    if operator.index(budget) < 0:
        raise ValueError(f"budget must not be negative, got {budget}")
    x = _as_float32(features, "features")
    if bandwidth is None:
        bandwidth = median_bandwidth(x, generator=generator)
    if not 0 < bandwidth < float("inf"):
        raise ValueError(f"bandwidth must be positive and finite, got {bandwidth}")
    weights = _normalised(weights, x)
    # A shift leaves distances alone, and shorter vectors lose fewer digits in |x|² + |y|² - 2xy.
    centre = x.mean(dim=0)
    x.sub_(centre).div_(bandwidth)
    if covered is not None and len(covered) == 0:
        covered = None
    if covered is not None:
        covered = _as_float32(covered, "covered").to(x.device)
        if covered.shape[1] != x.shape[1]:
            raise ValueError(f"covered vectors have {covered.shape[1]} dimensions, features have {x.shape[1]}")
        covered.sub_(centre).div_(bandwidth)
    rows = _KernelRows(x, KERNELS[kernel], memory)
    c = torch.zeros(len(x), device=x.device)
    if covered is not None:
        for block in covered.split(ROWS):
            c = torch.maximum(c, rows.between(block).amax(dim=0))
    return _greedy(rows, c, weights, min(budget, len(x)))


def median_bandwidth(
    features: torch.Tensor | np.ndarray,
    *,
    generator: torch.Generator | None = None,
) -> float:
    """σ = 2 × the median of the non-zero pairwise distances of a random subset.

    The subset is 1 % of the ``[n, D]`` vectors, at least 10 and at most 2,000; all of them if n < 10. Where all
    distances are zero, σ = 1: any value gives the same kernel then.

    Args:
        generator: a CPU generator; without one the subset is a fixed function of n.

    Raises:
        UserError: a vector of the subset is not finite.
        ValueError: features are not ``[n, D]`` with n > 0.
    """
    size = min(max(len(features) // 100, 10), 2000)
    generator = torch_generator("bandwidth") if generator is None else generator
    subset = torch.randperm(len(features), generator=generator)[:size].sort().values
    x = _as_float32(features[subset.to(features.device) if torch.is_tensor(features) else subset.numpy()], "features")
    x = x.double()
    x -= x.mean(dim=0)
    norms = (x * x).sum(dim=1)
    total = norms[:, None] + norms
    squared = total - 2 * (x @ x.T)
    rounding = 8 * torch.finfo(torch.float64).eps * total
    distances = squared[(squared > rounding).triu(diagonal=1)].sqrt()
    return 2 * float(distances.quantile(0.5)) if len(distances) else 1.0


def _greedy(rows: "_KernelRows", c: torch.Tensor, weights: torch.Tensor | None, budget: int) -> Herding:
    """Pick ``budget`` vectors, given the kernel, the coverage ``c [n]`` credited already and weights of mean 1."""
    n = len(c)
    positions = torch.arange(n, device=c.device)

    def gains(values: torch.Tensor) -> torch.Tensor:
        """Unnormalised gains ``[b]`` of kernel rows ``[b, n]``, which are overwritten."""
        values.sub_(c).clamp_(min=0)
        return (values if weights is None else values.mul_(weights)).sum(dim=1)

    covered = float(c.double().sum() if weights is None else c.double() @ weights.double())
    bounds = torch.cat([gains(values) for values in rows.sweep()]) if budget else c
    fresh = torch.ones_like(positions, dtype=torch.bool)
    picks, increments, count = [], [], rows.batch
    while len(picks) < budget:
        evaluated = 0
        while True:
            best = float(bounds.where(fresh, -1).amax())
            ties = fresh & (bounds >= best * (1 - TIE))
            pick = int(ties.byte().argmax()) if best > 0 else n
            # A stale bound matters while it may beat the best, then where it may be a tie of a lower index.
            stale = bounds.masked_fill(fresh, -1)
            top = stale.topk(min(count, n))
            candidates = top.indices[top.values > max(best, 0)]
            if not len(candidates):
                lower = (stale > 0) & (stale >= best * (1 - TIE)) & (positions < pick)
                candidates = lower.nonzero()[:count, 0]
            if not len(candidates):
                break
            for batch in candidates.split(rows.batch):
                bounds[batch] = gains(rows[batch])
            fresh[candidates] = True
            evaluated += len(candidates)
            count = min(2 * count, ROWS)
        if best <= 0:
            break
        picks.append(pick)
        increments.append(float(bounds[pick]))
        c = torch.maximum(c, rows[positions[pick : pick + 1]][0])
        bounds[pick] = -1
        fresh.fill_(False)
        count = max(rows.batch, evaluated // 2)

    left = torch.ones(n, dtype=torch.bool)
    left[picks] = False
    indices = torch.cat([torch.tensor(picks, dtype=torch.int64), left.nonzero()[:, 0]])[:budget]
    increments += [0.0] * (budget - len(picks))
    total = n if weights is None else float(weights.double().sum())
    coverage = (covered + torch.tensor(increments, dtype=torch.float64).cumsum(0)) / total
    return Herding(indices, coverage.clamp(max=1), min(covered / total, 1.0))


class _KernelRows:
    """Rows of the symmetric kernel matrix of ``x [n, D]``, which has been divided by σ: all kept, or those used last.

    Columns would be as good, but rows are contiguous.
    """

    batch = 32  # rows looked at together: few enough for the cache, enough for a fast matrix product

    def __init__(self, x: torch.Tensor, kernel: Callable[[torch.Tensor], torch.Tensor], memory: int | None):
        n = len(x)
        self._x, self._kernel = x, kernel
        # Norms come from the same product as the rest, so that duplicates are at distance 0 without rounding.
        self._norms = torch.cat([(block @ block.T).diagonal() for block in x.split(64)])
        if not self._norms.isfinite().all():
            raise ValueError("the bandwidth is too small for features of this size: their squared ratio overflows")
        self._capacity = min(n, max((_half_of_free(x.device) if memory is None else memory) // (4 * n), self.batch))
        self._values = torch.empty(self._capacity, n, device=x.device)
        self._complete = self._capacity == n
        if self._complete:
            self._fill()
        else:
            self._slot = torch.full((n,), -1, device=x.device)
            self._owner = torch.full((self._capacity,), -1, device=x.device)
            self._used = torch.zeros(self._capacity, dtype=torch.int64, device=x.device)
            self._clock = 0

    def __getitem__(self, indices: torch.Tensor) -> torch.Tensor:
        """A copy ``[b, n]`` of the rows at ``indices [b]``, b <= ``batch``."""
        if self._complete:
            return self._values.index_select(0, indices)
        self._clock += 1
        slots = self._slot[indices]
        self._used[slots[slots >= 0]] = self._clock
        missing = indices[slots < 0]
        if len(missing):
            free = self._used.topk(len(missing), largest=False).indices
            evicted = self._owner[free]
            self._slot[evicted[evicted >= 0]] = -1
            self._owner[free], self._slot[missing], self._used[free] = missing, free, self._clock
            self._values[free] = self._rows(missing)
        return self._values.index_select(0, self._slot[indices])

    def sweep(self) -> Iterator[torch.Tensor]:
        """Copies of all rows in order, ``[b, n]`` at a time."""
        for indices in torch.arange(len(self._x), device=self._x.device).split(self.batch):
            yield self._values[indices] if self._complete else self._rows(indices)

    def between(self, y: torch.Tensor) -> torch.Tensor:
        """Kernel values ``[b, n]`` of vectors ``y [b, D]`` (divided by σ) with all of ``x``."""
        norms = torch.cat([(block @ block.T).diagonal() for block in y.split(64)])
        return torch.cat([self._piece(y, norms, columns) for columns in _slices(0, len(self._x), COLUMNS)], dim=1)

    def _rows(self, indices: torch.Tensor) -> torch.Tensor:
        # A product of very few rows takes another path in BLAS and is rounded differently: repeat a row.
        padded = torch.cat([indices, indices[:1].expand(max(8 - len(indices), 0))])
        y, norms = self._x[padded], self._norms[padded]
        columns = _slices(0, len(self._x), COLUMNS)
        values = torch.cat([self._piece(y, norms, piece) for piece in columns], dim=1)[: len(indices)]
        values[torch.arange(len(indices), device=indices.device), indices] = 1
        return values

    def _fill(self) -> None:
        """Compute the upper triangle piece by piece and mirror each while it is in the cache."""
        for rows in _slices(0, len(self._x), ROWS):
            for columns in _slices(rows.start, len(self._x), COLUMNS):
                piece = self._piece(self._x[rows], self._norms[rows], columns)
                self._values[rows, columns] = piece
                self._values[columns, rows] = piece.T
        self._values.fill_diagonal_(1)

    def _piece(self, y: torch.Tensor, norms: torch.Tensor, columns: slice) -> torch.Tensor:
        squares = norms[:, None] + self._norms[columns]
        u = y @ self._x[columns].T
        torch.sub(squares, u, alpha=2, out=u)
        # What rounding alone can make of distance 0 is distance 0; this also removes negative values.
        u.masked_fill_(u <= squares.mul_(4 * torch.finfo(torch.float32).eps), 0)
        return self._kernel(u)


def _slices(start: int, stop: int, size: int) -> list[slice]:
    """Cut ``start:stop`` into pieces of nearly equal length, at most ``size``: no piece is tiny unless all is."""
    pieces = max(-(-(stop - start) // size), 1)
    edges = [start + (stop - start) * piece // pieces for piece in range(pieces + 1)]
    return [slice(low, high) for low, high in itertools.pairwise(edges)]


def _as_float32(vectors: torch.Tensor | np.ndarray, name: str) -> torch.Tensor:
    """A float32 copy, made block by block so that a memory-mapped float16 array is never held in a third form."""
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise ValueError(f"{name} must be [n, D] with at least one vector, got shape {tuple(vectors.shape)}")
    device = vectors.device if torch.is_tensor(vectors) else "cpu"
    copy = torch.empty(tuple(vectors.shape), dtype=torch.float32, device=device)
    for rows in _slices(0, len(copy), 4096):
        block = vectors[rows]
        copy[rows] = block if torch.is_tensor(block) else torch.from_numpy(np.array(block, dtype=np.float32))
        bad = ~copy[rows].isfinite().all(dim=1)
        if bad.any():
            where = rows.start + int(bad.nonzero()[0])
            raise UserError(
                f"{name} are not finite at vector {where}: extract them again in float32, or check the input"
            )
    return copy


def _normalised(weights: torch.Tensor | np.ndarray | None, x: torch.Tensor) -> torch.Tensor | None:
    """Weights as float32 of mean 1 on the device of ``x``."""
    if weights is None:
        return None
    weights = torch.as_tensor(weights).to(x.device, torch.float64)
    if weights.shape != x.shape[:1]:
        raise ValueError(f"weights must have shape [{len(x)}], got {list(weights.shape)}")
    total = float(weights.sum())
    if not weights.isfinite().all() or weights.min() < 0 or not 0 < total < float("inf"):
        raise ValueError("weights must be finite and not negative, with a positive sum")
    return (weights * (len(x) / total)).float()


def _half_of_free(device: torch.device) -> int:
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return free // 2
