"""Kernel values of n vectors: held, held as upper bounds, or computed from inner products when they are needed."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
import torch

from pixelherd.compute.matmul import widest
from pixelherd.selection.coverage.pairs import Neighbours, Pairs
from pixelherd.selection.coverage.products import Products, VectorProducts, slices

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

ROWS, COLUMNS = 256, 512
"""Size of the pieces in which kernel values are computed, so that they are still in the cache when they are used."""

BATCH = 32
"""Rows looked at together: few enough for the cache, enough for a fast matrix product."""

EXACT = 4
"""Squared distances of this many σ² and less come from float32 products with an error that no sum of gains notices."""

BYTES_A_PAIR = 24
"""What collecting a pair takes at most: position, position and value, twice."""

UP = 1 + 2**-11 + 2**-20, 2**-24
"""Factor and term that make the nearest float16 number an upper bound, also of the value computed in another shape."""


class Similarities:
    """The symmetric kernel matrix of n vectors.

    Args:
        features: ``[n, D]`` vectors, or their inner products.
        bandwidth: σ > 0.
        kernel: a name in :data:`KERNELS`.
        memory: bytes for kernel values, by default half of what is free on the device.
        neighbours: pairs of the same vectors and kernel that are known already.

    Raises:
        ValueError: the bandwidth is not positive, or too small for the features.
    """

    def __init__(
        self,
        features: torch.Tensor | np.ndarray | Products,
        bandwidth: float,
        kernel: str = "rbf",
        memory: int | None = None,
        neighbours: Neighbours | None = None,
    ):
        if not 0 < bandwidth < float("inf"):
            raise ValueError(f"bandwidth must be positive and finite, got {bandwidth}")
        self._products = features if isinstance(features, Products) else VectorProducts(features)
        self._kernel, self._neighbours = KERNELS[kernel], neighbours
        self._scale = 1 / bandwidth**2 if bandwidth > 1e-150 else float("inf")
        self._norms = self._products.norms
        largest = float((self._norms * self._scale).amax())
        if not largest < float("inf"):
            raise ValueError("the bandwidth is too small for features of this size: their squared ratio overflows")
        # The root magnifies the rounding of small distances, and a step that of distances about σ.
        delicate = kernel in ("laplace", "top_hat") or 2 * largest > EXACT
        if delicate and isinstance(self._products, VectorProducts):
            self._products = self._products.precise()
            self._norms = self._products.norms
        self.n, self.device = self._products.n, self._products.device
        memory = _half_of_free(self.device) if memory is None else memory
        square = self.n**2
        self._form = torch.float32 if memory >= 5 * square else torch.float16 if memory >= 3 * square else None
        held = square * self._form.itemsize if self._form else 0
        # Rows at hand are quick to look at, so that pairs pay later.
        worth = square // 64 if held else square // 8
        self._most = max((memory - held) // BYTES_A_PAIR, 64 * self.n)
        self._capacity = min(max(worth, 64 * self.n), 4 * self._most // 5)
        self._held: torch.Tensor | None = None

    @property
    def holds(self) -> bool:
        """Whether the values or upper bounds of them are held."""
        return self._held is not None

    @property
    def holds_bounds(self) -> bool:
        """Whether upper bounds are held instead of the values."""
        return self._held is not None and self._form == torch.float16

    def hold(self, c: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """Compute the matrix, hold what fits of it, and return all gains ``[n]`` over coverage ``c [n]``, float32.

        The gains are sums of another order than those of rows.
        """
        held = self._held
        if self._form and held is None:
            held = self._held = torch.empty(self.n, self.n, dtype=self._form, device=self.device)
        gains = torch.zeros(self.n, dtype=widest(self.device), device=self.device)
        for rows, columns, piece in self._pieces():
            if held is not None:
                upper = piece if self._form == torch.float32 else (piece * UP[0]).add_(UP[1]).half()
                held[rows, columns] = upper
                held[columns, rows] = upper.T
            for values, candidates, terms in _both(piece, rows, columns):
                over = (values - c[terms]).clamp_(min=0)
                gains[candidates] += (over if weights is None else over.mul_(weights[terms])).sum(dim=1)
        return gains.float()

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        """A copy ``[b, n]`` float32 of the rows at ``indices [b]``."""
        if self._held is not None and self._form == torch.float32:
            return self._held.index_select(0, indices)
        # A product of very few rows takes another path in BLAS and is rounded differently: repeat a row.
        padded = torch.cat([indices, indices[:1].expand(max(8 - len(indices), 0))])
        left = self._products.left(padded)
        pieces = [self._values(left, self._norms[padded], columns) for columns in slices(0, self.n, COLUMNS)]
        values = torch.cat(pieces, dim=1)[: len(indices)]
        values[torch.arange(len(indices), device=self.device), indices] = 1
        return values

    def upper_rows(self, indices: torch.Tensor) -> torch.Tensor:
        """Upper bounds ``[b, n]`` float32 of the rows at ``indices [b]``.

        Raises:
            ValueError: nothing is held.
        """
        if self._held is None:
            raise ValueError("no upper bounds are held: call hold() first")
        return self._held.index_select(0, indices).float()

    def best_with(self, others: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Each vector's greatest kernel value ``[n]`` with other vectors ``[m, D]``."""
        if not isinstance(self._products, VectorProducts):
            raise ValueError("covered vectors need features that are vectors")
        y, norms = self._products.outside(others)
        best = torch.zeros(self.n, device=self.device)
        for rows in slices(0, len(y), ROWS):
            for columns in slices(0, self.n, COLUMNS):
                values = self._values(y[rows], norms[rows], columns)
                best[columns] = torch.maximum(best[columns], values.amax(dim=0))
        return best

    def pairs_above(self, c: torch.Tensor) -> Pairs | None:
        """Pairs whose kernel value exceeds the coverage ``c [n]`` of the covered vector; None if they are too many."""
        if self._neighbours is not None and (pairs := self._known_above(self._neighbours, c)) is not None:
            return pairs
        # A sample of rows tells whether it is worth trying.
        sample = torch.arange(0, self.n, max(self.n // min(max(self.n // 64, 16), 256), 1), device=self.device)
        found = sum(int((self.rows(batch) > c[batch, None]).sum()) for batch in sample.split(BATCH))
        if found * self.n / len(sample) > self._capacity:
            return None
        return self._collect(c, min(2 * self._capacity, self._most))

    def neighbours(self, each: int) -> Neighbours:
        """About ``each`` nearest neighbours of every vector: thresholds come from a regular sample of the others."""
        step = max(min(16, self.n // 64), 1)
        columns = torch.arange(0, self.n, step, device=self.device)
        rank = min(max(each // step, 1), len(columns))
        thresholds = torch.zeros(self.n, device=self.device)
        if each < self.n:
            # The matrix is symmetric: rows of the sample are columns of the matrix.
            sampled = torch.cat([self.rows(batch) for batch in columns.split(BATCH)])
            for rows in slices(0, self.n, ROWS):
                thresholds[rows] = sampled[:, rows].T.topk(rank).values[:, -1]
        pairs = self._collect(thresholds, None)
        assert pairs is not None, "there is no limit to them"
        return Neighbours(thresholds.cpu().numpy(), pairs)

    def _collect(self, c: torch.Tensor, limit: int | None) -> Pairs | None:
        """Pairs above ``c``, or None as soon as there are more than ``limit``."""
        # Arrays that grow: small ones kept between the pieces would leave holes in which no other piece fits.
        found = [np.empty(64 * self.n, dtype) for dtype in (np.int32, np.int32, np.float32)]
        total = 0
        for values, candidates, terms in self._blocks():
            row, column = (values > c[terms]).nonzero(as_tuple=True)
            new = slice(total, total := total + len(row))
            if limit is not None and total > limit:
                return None
            parts = row + candidates.start, column + terms.start, values[row, column]
            for array, part in zip(found, parts, strict=True):
                if total > len(array):
                    array.resize(2 * total, refcheck=False)
                array[new] = part.cpu().numpy()
        return Pairs.of(self.n, *(array[:total] for array in found))

    def _known_above(self, known: Neighbours, c: torch.Tensor) -> Pairs | None:
        """Pairs above ``c`` from the known neighbours, or None where too little is known."""
        levels = c.cpu().numpy()
        unknown = np.isinf(known.thresholds)
        incomplete = levels < known.thresholds
        if 4 * np.count_nonzero(incomplete) > self.n:
            return None
        floor = np.where(incomplete, np.float32(np.inf), levels)
        pairs = known.above(floor)
        if not incomplete.any():
            return pairs
        parts = [(pairs.candidates(), pairs.terms, pairs.values)]
        missing = torch.from_numpy(np.flatnonzero(incomplete))
        for batch in missing.to(self.device).split(ROWS):
            values, rows = self.rows(batch).cpu().numpy(), batch.cpu().numpy()
            row, candidate = np.nonzero(values > levels[rows, None])  # as terms
            parts.append((candidate.astype(np.int32), rows[row].astype(np.int32), values[row, candidate]))
            new = unknown[rows]  # as candidates, for terms that are complete otherwise
            row, term = np.nonzero((values[new] > levels) & ~incomplete)
            parts.append((rows[new][row].astype(np.int32), term.astype(np.int32), values[new][row, term]))
        return Pairs.of(self.n, *(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _blocks(self) -> Iterator[tuple[torch.Tensor, slice, slice]]:
        """The whole matrix in blocks, each with its rows (candidates) and columns (terms)."""
        if self._held is not None and self._form == torch.float32:
            for rows in slices(0, self.n, ROWS):
                yield self._held[rows], rows, slice(0, self.n)
        else:
            for rows, columns, piece in self._pieces():
                yield from _both(piece, rows, columns)

    def _pieces(self) -> Iterator[tuple[slice, slice, torch.Tensor]]:
        """The upper triangle, computed piece by piece; pieces on the diagonal are squares or wider."""
        for rows in slices(0, self.n, ROWS):
            left, norms = self._products.left(rows), self._norms[rows]
            for columns in slices(rows.start, self.n, COLUMNS):
                piece = self._values(left, norms, columns)
                if columns.start == rows.start:
                    piece.fill_diagonal_(1)
                yield rows, columns, piece

    def _values(self, left: Any, norms: torch.Tensor, columns: slice) -> torch.Tensor:
        """Kernel values ``[rows, columns]``."""
        squares = norms[:, None] + self._norms[columns]
        u = self._products.times(left, columns)
        torch.sub(squares, u, alpha=2, out=u)
        # What rounding alone can make of distance 0 is distance 0; this also removes negative values.
        u.masked_fill_(u <= squares.mul_(4 * torch.finfo(u.dtype).eps), 0)
        # Scaled last, so that equal distances stay equal.
        return self._kernel(u.mul_(self._scale)).float()


def _both(piece: torch.Tensor, rows: slice, columns: slice) -> Iterator[tuple[torch.Tensor, slice, slice]]:
    """A piece of the upper triangle and what it says of the lower one, each with its candidates and terms."""
    yield piece, rows, columns
    new = slice(max(columns.start, rows.stop), columns.stop)
    if new.start < new.stop:
        yield piece[:, new.start - columns.start :].T, new, rows


def _half_of_free(device: torch.device) -> int:
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return free // 2
