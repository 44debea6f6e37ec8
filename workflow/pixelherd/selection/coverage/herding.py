"""MaxHerding: exact greedy selection of the vectors that cover a set best, at any size.

The generalised coverage of S is ``C(S) = Σ_i w_i max_{s in S} k(x_i, x_s) / Σ_i w_i`` (Bae et al., *Generalized
Coverage for More Robust Low-Budget Active Learning*, ECCV 2024; with weights, *Uncertainty Herding*, ICLR 2025). It is
monotone and submodular: a gain found for fewer picks bounds the gain for more picks from above, so most candidates
need no second look before a pick (Minoux, *Accelerated greedy algorithms*, 1978).

Coverage only rises, and a candidate j is worth something to a vector i only where ``k(x_i, x_j)`` exceeds the coverage
that i has. After p picks that is about one pair in p. So the selection has two parts: a dense one, lazy greedy on rows
of the kernel matrix, which may be held or computed when needed; and, as soon as the pairs that still matter are few, a
sparse one on those pairs alone, which needs neither vectors nor kernel. Both are exact.
"""

import operator
from dataclasses import dataclass

import numpy as np
import torch

from pixelherd.compute.matmul import widest
from pixelherd.compute.randomness import torch_generator
from pixelherd.errors import UserError
from pixelherd.selection.coverage.pairs import Pairs
from pixelherd.selection.coverage.products import Products, VectorProducts, as_float32
from pixelherd.selection.coverage.similarities import BATCH, KERNELS, Similarities

TIE = 1e-6
"""Gains closer to the best than this fraction of it are ties: float32 sums do not tell them apart."""

SLACK = 1 + 1e-5
"""Factor that makes a float32 sum an upper bound of the same sum in another order."""


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
    features: torch.Tensor | np.ndarray | Products,
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
    A kernel value is within about 1e-6 of that of the float32 vectors, and so is the coverage of a set of picks:
    products are of float32 where no squared distance from the mean exceeds a few σ², otherwise, and for ``laplace`` and
    ``top_hat``, of float64. Products of another kind stay in float32, and values of theirs are within about
    ``1e-6 · (|x|² + |y|²) / σ²``, those of ``laplace`` within its root.

    It has eight arguments, since it is the whole of stage 1 for those who call the package from Python.

    Args:
        features: ``[n, D]`` of any float type, computed in float32 on the tensor's device (arrays on the CPU); or
            inner products of vectors that are never gathered, such as
            :class:`~pixelherd.selection.coverage.products.MapProducts`.
        budget: how many to pick.
        bandwidth: σ > 0, a distance; ``None`` takes :func:`median_bandwidth` of the features.
        kernel: a name in :data:`KERNELS`.
        covered: ``[m, D]`` vectors whose coverage is credited from the start, such as labelled pixels.
        weights: ``[n]``, not negative: the weight of each vector's term in the mean.
        generator: draws the subset behind the bandwidth.
        memory: bytes for kernel values, by default half of what is free on the device; the ``4 n D`` bytes of the
            float32 features and some 50 MB to work with come on top. ``5 n²`` bytes hold the kernel in float32.
            ``3 n²`` hold upper bounds of it in float16, and the rows that these cannot rule out are computed again.
            With less, rows are computed whenever they are needed. The picks are the same (up to the rounding of
            matrix products of another shape). What is left serves for pairs that still matter, which lie on the CPU;
            at least 1.5 kB a vector are used for them. Half of Cityscapes' union, n = 148,750 and D = 6144, takes
            ``2 n²`` = 44 GB of float16 and ``4 n D`` = 3.7 GB of features (twice that while they are copied to the
            device): one GPU of 80 GB with ``memory=70 * 10**9``, beside at most 17 GB of pairs.

    Raises:
        UserError: features or covered vectors are not finite, or the kernel is unknown.
        ValueError: shapes disagree, there is no vector, the budget is negative, the bandwidth is not positive or too
            small for the features, or weights are negative, not finite or sum to zero.
    """
    if kernel not in KERNELS:
        raise UserError(f"unknown kernel {kernel!r}: choose one of {', '.join(KERNELS)}")
    if operator.index(budget) < 0:
        raise ValueError(f"budget must not be negative, got {budget}")
    products = features if isinstance(features, Products) else VectorProducts(features)
    if bandwidth is None:
        bandwidth = median_bandwidth(products, generator=generator)
    similarities = Similarities(products, bandwidth, kernel, memory)
    return herd(similarities, budget, covered=covered, weights=weights)


def herd(
    similarities: Similarities,
    budget: int,
    *,
    covered: torch.Tensor | np.ndarray | None = None,
    weights: torch.Tensor | np.ndarray | None = None,
) -> Herding:
    """:func:`max_herding` on similarities that are there already; arguments and errors as there."""
    weights = _normalised(weights, similarities)
    c = torch.zeros(similarities.n, device=similarities.device)
    if covered is not None and len(covered):
        c = similarities.best_with(covered)
    return _Greedy(similarities, c, weights, min(budget, similarities.n)).run()


def median_bandwidth(
    features: torch.Tensor | np.ndarray | Products,
    *,
    generator: torch.Generator | None = None,
    scale: float = 2,
    least: int = 10,
) -> float:
    """σ = 2 × the median of the non-zero pairwise distances of a random subset.

    The subset is 1 % of the ``[n, D]`` vectors, at least ``least`` and at most 2,000; all of them if there are no more.
    Where all distances are zero, σ = 1: any value gives the same kernel then.

    Args:
        generator: a CPU generator; without one the subset is a fixed function of n.
        scale: the multiple of the median, if not 2.
        least: vectors of the subset where 1 % is fewer.

    Raises:
        UserError: a vector of the subset is not finite.
        ValueError: features are not ``[n, D]`` with n > 0.
    """
    if isinstance(features, Products):
        return _bandwidth_of(features.vectors(_subset(features.n, least, generator)), scale)
    subset = _subset(len(features), least, generator)
    chosen = features[subset.to(features.device) if torch.is_tensor(features) else subset.numpy()]
    return _bandwidth_of(as_float32(chosen, "features"), scale)


def _subset(n: int, least: int, generator: torch.Generator | None) -> torch.Tensor:
    generator = torch_generator("bandwidth") if generator is None else generator
    size = min(max(n // 100, least), 2000)
    return torch.randperm(n, generator=generator)[:size].sort().values


def _bandwidth_of(x: torch.Tensor, scale: float) -> float:
    x = x.to(widest(x.device))
    x = x - x.mean(dim=0)
    norms = (x * x).sum(dim=1)
    total = norms[:, None] + norms
    squared = total - 2 * (x @ x.T)
    rounding = 8 * torch.finfo(x.dtype).eps * total
    distances = squared[(squared > rounding).triu(diagonal=1)].sqrt()
    return scale * float(distances.quantile(0.5)) if len(distances) else 1.0


class _Greedy:
    """One selection: the picks so far, the coverage ``c [n]`` that they give, and weights of mean 1."""

    def __init__(self, similarities: Similarities, c: torch.Tensor, weights: torch.Tensor | None, budget: int):
        self._similarities, self._c, self._weights, self._budget = similarities, c, weights, budget
        self._n = similarities.n
        self._picks: list[int] = []
        self._increments: list[float] = []

    def run(self) -> Herding:
        c, weights = self._c.cpu().double(), None if self._weights is None else self._weights.cpu().double()
        credited = float(c.sum() if weights is None else c @ weights)
        total = self._n if weights is None else float(weights.sum())
        if self._budget:
            pairs = self._similarities.pairs_above(self._c)
            if pairs is None:
                pairs = self._pick_from_rows()
            if pairs is not None:
                self._pick_from_pairs(pairs)
        left = torch.ones(self._n, dtype=torch.bool)
        left[self._picks] = False
        chosen = torch.cat([torch.tensor(self._picks, dtype=torch.int64), left.nonzero()[:, 0]])[: self._budget]
        increments = self._increments + [0.0] * (self._budget - len(self._picks))
        coverage = (credited + torch.tensor(increments, dtype=torch.float64).cumsum(0)) / total
        return Herding(chosen, coverage.clamp(max=1), min(credited / total, 1.0))

    def _pick_from_rows(self) -> Pairs | None:
        """Pick with rows of the kernel matrix until the budget is spent, or return the few pairs that still matter."""
        similarities, n, c = self._similarities, self._n, self._c
        positions = torch.arange(n, device=c.device)
        bounds = similarities.hold(c, self._weights) * SLACK
        fresh = torch.zeros_like(positions, dtype=torch.bool)  # the bound is the gain, given c
        tight = fresh.clone()  # the bound comes from the held upper bounds, given c
        count, look = BATCH, 1

        while len(self._picks) < self._budget:
            evaluated, swept = 0, False
            kept: dict[int, torch.Tensor] = {}  # the row of the best so far
            while True:
                best = float(bounds.where(fresh, -1).amax())
                ties = fresh & (bounds >= best * (1 - TIE))
                pick = int(ties.byte().argmax()) if best > 0 else n
                stale = bounds.masked_fill(fresh, -1)
                candidates = _candidates(stale, best, pick, count)
                if not len(candidates):
                    break
                if not (similarities.holds or swept) and evaluated >= n // 64 and int((stale > best).sum()) > n // 4:
                    # Of so many rows each would be computed whole, and a sweep computes half the matrix.
                    swept, upper = True, similarities.hold(c, self._weights) * SLACK
                    bounds = torch.where(fresh, bounds, torch.minimum(bounds, upper))
                    continue
                if similarities.holds_bounds:
                    loose = candidates[~tight[candidates]]
                    self._tighten(bounds, loose)
                    tight[loose] = True
                    count = min(2 * count, 256)
                    if len(loose):
                        continue
                    candidates = candidates[:8]  # exact rows cost far more than bounds
                kept = self._evaluate(bounds, candidates, best) or kept
                fresh[candidates] = True
                evaluated += len(candidates)
                count = min(2 * count, 256)
            if best <= 0:
                break
            row = kept[pick] if pick in kept else similarities.rows(positions[pick : pick + 1])[0]
            self._add(pick, float(bounds[pick]))
            c = self._c = torch.maximum(c, row)
            bounds[pick] = -1
            fresh.fill_(False)
            tight.fill_(False)
            count = max(BATCH, evaluated // 2)
            # Looking costs some rows, and collecting the pairs about as much as n rows.
            left = self._budget - len(self._picks)
            if len(self._picks) >= look and left * BATCH >= n // 2:
                look = 2 * len(self._picks)
                if (pairs := similarities.pairs_above(c)) is not None:
                    return pairs
        return None

    def _tighten(self, bounds: torch.Tensor, candidates: torch.Tensor) -> None:
        """Lower the bounds of candidates to what the held upper bounds say."""
        for batch in candidates.split(BATCH):
            upper = self._gains(self._similarities.upper_rows(batch)) * SLACK
            bounds[batch] = torch.minimum(bounds[batch], upper)

    def _evaluate(self, bounds: torch.Tensor, candidates: torch.Tensor, best: float) -> dict[int, torch.Tensor]:
        """Make the bounds of candidates their gains; returns the row of the best of them, if it beats ``best``."""
        kept: dict[int, torch.Tensor] = {}
        for batch in candidates.split(BATCH):
            rows = self._similarities.rows(batch)
            bounds[batch] = gains = self._gains(rows.clone())
            if float(gains.amax()) > best:
                best, kept = float(gains.amax()), {int(batch[gains.argmax()]): rows[gains.argmax()].clone()}
        return kept

    def _gains(self, rows: torch.Tensor) -> torch.Tensor:
        """Unnormalised gains ``[b]`` of candidates whose kernel rows are ``[b, n]``, which are overwritten."""
        values = rows.sub_(self._c).clamp_(min=0)
        return (values if self._weights is None else values.mul_(self._weights)).sum(dim=1)

    def _pick_from_pairs(self, pairs: Pairs) -> None:
        """Pick with the pairs that still matter, on the CPU: columns are short, and each pick looks at few."""
        c = self._c.cpu().numpy().copy()
        weights = np.ones(self._n, np.float32) if self._weights is None else self._weights.cpu().numpy()
        taken = np.array(self._picks, np.int64)
        for pick, gain in zip(*pairs.picks(c, weights, taken, self._budget - len(taken), TIE), strict=True):
            self._add(int(pick), float(gain))

    def _add(self, pick: int, gain: float) -> None:
        self._picks.append(pick)
        self._increments.append(gain)


def _candidates(stale: torch.Tensor, best: float, pick: int, count: int) -> torch.Tensor:
    """Positions whose stale bound matters: while it may beat the best, then where it may be a tie of a lower index.

    Args:
        stale: ``[n]`` bounds; −1 where they are gains.
        best: the greatest gain so far.
        pick: its position.
        count: the most positions to return.
    """
    top = stale.topk(min(count, len(stale)))
    candidates = top.indices[top.values > max(best, 0)]
    if len(candidates):
        return candidates
    lower = (stale > 0) & (stale >= best * (1 - TIE))
    return lower[:pick].nonzero()[:count, 0]


def _normalised(weights: torch.Tensor | np.ndarray | None, similarities: Similarities) -> torch.Tensor | None:
    """Weights as float32 of mean 1 on the device of the similarities."""
    if weights is None:
        return None
    n = similarities.n
    weights = torch.as_tensor(weights).cpu().double()
    if weights.shape != (n,):
        raise ValueError(f"weights must have shape [{n}], got {list(weights.shape)}")
    total = float(weights.sum())
    if not weights.isfinite().all() or weights.min() < 0 or not 0 < total < float("inf"):
        raise ValueError("weights must be finite and not negative, with a positive sum")
    return (weights * (n / total)).float().to(similarities.device)
