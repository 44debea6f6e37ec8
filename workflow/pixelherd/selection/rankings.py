"""How scores rank a pool: what a round keeps of it, in two small files beside its queries.

``scores.csv`` holds quantiles of every score over the pool and over the chosen pixels; ``correlations.csv`` Spearman's
rank correlation of every two scores over the pool. A single-stage method's pool, every pixel, is represented by a
uniform sample of each image. Rounds that rank no pool (round 0, coverage, random selection) have
both files without rows.
"""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pixelherd.storage.files import write_csv

LEVELS = tuple(range(0, 101, 5))
"""Levels of the quantiles that are kept, in percent."""

QUANTILES = tuple(f"q{level}" for level in LEVELS)

SCORE_COLUMNS = ("round", "score", "group", "pixels", *QUANTILES)

CORRELATION_COLUMNS = ("round", "first", "second", "pixels", "spearman")


@dataclass(frozen=True)
class Ranking:
    """Scores of a pool of n pixels, and the b of them that were chosen.

    Attributes:
        scores: by name ``[n]``, the method's own first; empty where no pool was ranked.
        chosen: ``[b]`` positions among the n.
        pool: positions among the n that stand for the pool; all of them where it is None.
    """

    scores: dict[str, np.ndarray] = field(default_factory=dict)
    chosen: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    pool: np.ndarray | None = None

    def over_pool(self, name: str) -> np.ndarray:
        """The score called ``name`` over the pool."""
        return self.scores[name] if self.pool is None else self.scores[name][self.pool]


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two scores [n], ties with their mean rank; NaN where one is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(_mean_ranks(first), _mean_ranks(second))[0, 1])


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    # scipy.stats has this too, and takes half a second to import, in every job that scores.
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def write(scores: Path | str, correlations: Path | str, round_number: int, ranking: Ranking) -> None:
    """Write both tables of a round: :func:`write_scores` and :func:`write_correlations`."""
    write_scores(scores, round_number, ranking)
    write_correlations(correlations, round_number, ranking)


def write_scores(path: Path | str, round_number: int, ranking: Ranking) -> None:
    """Write quantiles of each score over the pool and over the chosen pixels."""
    rows = []
    for name, scores in ranking.scores.items():
        for group, values in (("pool", ranking.over_pool(name)), ("chosen", scores[ranking.chosen])):
            quantiles = np.quantile(values, np.array(LEVELS) / 100)
            rows.append([round_number, name, group, len(values), *(f"{value:.9g}" for value in quantiles)])
    write_csv(path, SCORE_COLUMNS, rows)


def write_correlations(path: Path | str, round_number: int, ranking: Ranking) -> None:
    """Write the rank correlation of every two scores over the pool; an empty field where it is not defined."""
    rows = []
    pool = {name: ranking.over_pool(name) for name in ranking.scores}
    for (first, a), (second, b) in itertools.combinations(pool.items(), 2):
        correlation = spearman(a, b)
        written = "" if np.isnan(correlation) else f"{correlation:.6f}"
        rows.append([round_number, first, second, len(a), written])
    write_csv(path, CORRELATION_COLUMNS, rows)
