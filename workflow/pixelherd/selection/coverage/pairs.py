"""Pairs of vectors that still matter to a selection: what they are worth, and greedy picks among them alone."""

from dataclasses import dataclass

import numpy as np

from pixelherd.compute.compiled import compiled

BLOCK = 128
"""Bounds looked at together: of so many the greatest is known."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of vectors with their kernel values, by candidate: those of j are ``starts[j]:starts[j + 1]``.

    Attributes:
        starts: ``[n + 1]`` int64.
        terms: ``[p]`` int32, the vector that the candidate covers, ascending for each candidate.
        values: ``[p]`` float32 kernel values.
    """

    starts: np.ndarray
    terms: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, n: int, candidates: np.ndarray, terms: np.ndarray, values: np.ndarray) -> "Pairs":
        """Distinct pairs in any order."""
        from scipy.sparse import coo_array

        matrix = coo_array((values, (candidates, terms)), shape=(n, n)).tocsr()
        matrix.sort_indices()
        return cls(matrix.indptr.astype(np.int64), matrix.indices, matrix.data)

    def candidates(self) -> np.ndarray:
        """``[p]`` int32, the candidate of each pair."""
        return np.repeat(np.arange(len(self.starts) - 1, dtype=np.int32), np.diff(self.starts))

    def gains(self, c: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Unnormalised gain ``[n]`` float64 of each candidate over coverage ``c [n]``, terms weighing ``[n]``."""
        return _gains(self.starts, self.terms, self.values, c, weights)

    def among(self, new: np.ndarray, floor: np.ndarray) -> "Pairs":
        """Pairs of some of the vectors, whose value exceeds what the covered vector has.

        Args:
            new: ``[n]`` the place of each vector among them, ascending; -1 for those that are not among them.
            floor: ``[m]`` float32, for each of them.
        """
        return Pairs(*_among(self.starts, self.terms, self.values, new.astype(np.int32), floor))

    def picks(
        self, c: np.ndarray, weights: np.ndarray, taken: np.ndarray, budget: int, tie: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pick greedily, as long as a pick is worth anything; the pairs are used up.

        Args:
            c: ``[n]`` float32 coverage, which is overwritten.
            weights: ``[n]`` float32, of the terms.
            taken: candidates that are picked already.
            budget: how many to pick at most.
            tie: gains closer to the best than this fraction of it are ties, which go to the lowest candidate.

        Returns:
            ``[k ≤ budget]`` candidates in order, and their unnormalised gains.
        """
        bounds = self.gains(c, weights)
        bounds[taken] = -1
        columns = self.starts[:-1], self.starts[1:].copy(), self.terms, self.values
        return _picks(columns, (c, weights), bounds, budget, tie)


@dataclass(frozen=True)
class Neighbours:
    """All pairs whose kernel value exceeds a threshold of the covered vector: what selections among them share.

    Once a vector's coverage has reached its threshold, nothing else can matter to it.

    Attributes:
        thresholds: ``[m]`` float32, infinite for a vector of which nothing is known.
        pairs: the pairs among n vectors.
        places: ``[n]`` the place of each of these among the m vectors, ascending, or -1 for one that is not among them;
            None where they are the same.
    """

    thresholds: np.ndarray
    pairs: Pairs
    places: np.ndarray | None = None

    def at(self, places: np.ndarray) -> "Neighbours":
        """The same among other vectors.

        Args:
            places: ``[m]`` the place here of each, or -1 for one that is not here; those that are here in order.

        Raises:
            ValueError: they are not the vectors that neighbours were looked for among.
        """
        if self.places is not None:
            raise ValueError("these are neighbours among other vectors already")
        thresholds = np.append(self.thresholds, np.float32(np.inf))[places]
        new = np.full(len(self.thresholds), -1, dtype=np.int32)
        new[places[places >= 0]] = np.flatnonzero(places >= 0)
        return Neighbours(thresholds, self.pairs, new)

    def above(self, floor: np.ndarray) -> Pairs:
        """Return the pairs whose value exceeds a floor ``[m]`` float32 of the covered vector."""
        return self.pairs.among(np.arange(len(floor)) if self.places is None else self.places, floor)


@compiled
def _gains(starts: np.ndarray, terms: np.ndarray, values: np.ndarray, c: np.ndarray, weights: np.ndarray) -> np.ndarray:
    gains = np.zeros(len(starts) - 1)
    for j in range(len(gains)):
        for pair in range(starts[j], starts[j + 1]):
            over = values[pair] - c[terms[pair]]
            if over > 0:
                gains[j] += over * weights[terms[pair]]
    return gains


@compiled
def _among(
    starts: np.ndarray, terms: np.ndarray, values: np.ndarray, new: np.ndarray, floor: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    most = 0
    for j in range(len(new)):
        if new[j] >= 0:
            most += starts[j + 1] - starts[j]
    # of what is not written to, no memory is taken
    ends, at = np.zeros(len(floor) + 1, np.int64), 0
    new_terms, new_values = np.empty(most, np.int32), np.empty(most, np.float32)
    for j in range(len(new)):
        if new[j] >= 0:
            for pair in range(starts[j], starts[j + 1]):
                term = new[terms[pair]]
                if term >= 0 and values[pair] > floor[term]:
                    new_terms[at], new_values[at] = term, values[pair]
                    at += 1
            ends[new[j] + 1] = at
    for j in range(len(floor)):
        ends[j + 1] = max(ends[j], ends[j + 1])
    return ends, new_terms[:at], new_values[:at]


Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Where the pairs of each candidate start and end, their terms and their values."""


@compiled
def _picks(
    columns: Columns, covered: tuple[np.ndarray, np.ndarray], bounds: np.ndarray, budget: int, tie: float
) -> tuple[np.ndarray, np.ndarray]:
    """Lazy greedy: a gain found for fewer picks bounds the gain for more picks from above."""
    (starts, ends, terms, values), (c, _) = columns, covered
    picks, gains, count = np.empty(budget, np.int64), np.empty(budget), 0
    evaluated_at, tops = np.zeros(len(bounds), np.int64), np.empty((len(bounds) + BLOCK - 1) // BLOCK)
    for block in range(len(tops)):
        _refresh(tops, bounds, block)
    while count < budget:
        block = int(tops.argmax())
        pick = block * BLOCK + int(bounds[block * BLOCK : (block + 1) * BLOCK].argmax())
        if bounds[pick] <= 0:
            break
        if evaluated_at[pick] < count:
            bounds[pick], evaluated_at[pick] = _gain(pick, columns, covered), count
            _refresh(tops, bounds, block)
            continue
        pick = _first_tie(pick, bounds[pick] * (1 - tie), columns, covered, (bounds, evaluated_at, tops), count)
        picks[count], gains[count], bounds[pick] = pick, bounds[pick], -1
        _refresh(tops, bounds, pick // BLOCK)
        for pair in range(starts[pick], ends[pick]):
            c[terms[pair]] = max(c[terms[pair]], values[pair])
        count += 1
    return picks[:count], gains[:count]


@compiled
def _first_tie(
    best: int,
    least: float,
    columns: Columns,
    covered: tuple[np.ndarray, np.ndarray],
    known: tuple[np.ndarray, np.ndarray, np.ndarray],
    count: int,
) -> int:
    """The first candidate that is worth at least so much, up to the best one."""
    bounds, evaluated_at, tops = known
    for block in range(best // BLOCK + 1):
        if tops[block] < least:
            continue
        for j in range(block * BLOCK, min((block + 1) * BLOCK, best)):
            if bounds[j] >= least and evaluated_at[j] < count:
                bounds[j], evaluated_at[j] = _gain(j, columns, covered), count
            if bounds[j] >= least:
                return j
        _refresh(tops, bounds, block)
    return best


@compiled
def _refresh(tops: np.ndarray, bounds: np.ndarray, block: int) -> None:
    tops[block] = bounds[block * BLOCK]
    for j in range(block * BLOCK + 1, min((block + 1) * BLOCK, len(bounds))):
        tops[block] = max(tops[block], bounds[j])


@compiled
def _gain(j: int, columns: Columns, covered: tuple[np.ndarray, np.ndarray]) -> float:
    """The gain of a candidate, of whose pairs only those are kept that still matter."""
    (starts, ends, terms, values), (c, weights) = columns, covered
    gain, kept = 0.0, starts[j]
    for pair in range(starts[j], ends[j]):
        over = values[pair] - c[terms[pair]]
        if over > 0:
            gain += over * weights[terms[pair]]
            terms[kept], values[kept] = terms[pair], values[pair]
            kept += 1
    ends[j] = kept
    return gain


def load_loops() -> None:
    """Compile or load what is compiled here, by calling it: a process that forks does so for its forks."""
    ones, places = np.ones(3, np.float32), np.arange(3, dtype=np.int32)
    pairs = Pairs.of(3, places, places, ones)
    stored = Pairs(*(np.frombuffer(each.tobytes(), each.dtype) for each in (pairs.starts, pairs.terms, pairs.values)))
    for each in (pairs, stored):  # numba tells arrays that can be written from those of files
        each.among(places, ones)
    pairs.picks(np.zeros(3, np.float32), ones, places[:1], 2, 1e-6)
