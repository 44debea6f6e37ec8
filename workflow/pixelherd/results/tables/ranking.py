"""Methods over several data sets: average ranks, Friedman's test with Nemenyi's, signed ranks of Wilcoxon and Bayes.

Sources: Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7 (2006); Benavoli, Corani,
Demšar, Zaffalon, Time for a Change, JMLR 18 (2017).
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

SAMPLES = 20_000
"""Draws from a posterior: the Monte Carlo error of a probability is 0.004 at most."""


def ranks(values: ArrayLike) -> np.ndarray:
    """Rank methods in each block, 1 the highest value, ties sharing their mean rank.

    Args:
        values: [blocks, methods].
    """
    from scipy import stats

    return stats.rankdata(-np.asarray(values, dtype=float), axis=1)


@dataclass(frozen=True)
class Friedman:
    """Whether methods differ at all over blocks; what so few blocks or methods cannot give is NaN.

    Attributes:
        blocks, methods: their numbers N and k.
        average: mean rank of each method [k].
        chi2, chi2_p: Friedman's statistic with k - 1 degrees of freedom, corrected for ties.
        f, f_p: that of Iman and Davenport, which is less conservative, with k - 1 and (k - 1)(N - 1).
        critical_difference: of Nemenyi: average ranks that are further apart differ.
    """

    blocks: int
    methods: int
    average: np.ndarray
    chi2: float = math.nan
    chi2_p: float = math.nan
    f: float = math.nan
    f_p: float = math.nan
    critical_difference: float = math.nan


def friedman(values: ArrayLike, confidence: float = 0.95) -> Friedman:
    """Test whether methods have the same average ranks (Demšar 2006, section 3.2.2).

    Args:
        values: [blocks, methods], higher is better.
        confidence: 1 minus the level of Nemenyi's test, in (0, 1).
    """
    from scipy import stats

    placed = ranks(values)
    blocks, methods = placed.shape
    average = placed.mean(axis=0)
    if blocks < 2 or methods < 3:  # two methods are a sign test's, and one block has no spread
        return Friedman(blocks, methods, average)
    cd = critical_difference(methods, blocks, confidence)
    # by what ranks spread within blocks: without ties k (k + 1) / 12, and then the statistic of the textbooks
    within = ((placed - (methods + 1) / 2) ** 2).sum() / (blocks * (methods - 1))
    if within == 0:
        return Friedman(blocks, methods, average, critical_difference=cd)
    chi2 = blocks * float(((average - (methods + 1) / 2) ** 2).sum()) / within
    rest = blocks * (methods - 1) - chi2
    f = (blocks - 1) * chi2 / rest if rest > 1e-9 else math.inf
    return Friedman(
        blocks,
        methods,
        average,
        chi2,
        float(stats.chi2.sf(chi2, methods - 1)),
        f,
        float(stats.f.sf(f, methods - 1, (methods - 1) * (blocks - 1))),
        cd,
    )


def critical_difference(methods: int, blocks: int, confidence: float = 0.95) -> float:
    """Return how far average ranks must be apart to differ, by Nemenyi: q √(k (k + 1) / 6N)."""
    from scipy import stats

    q = stats.studentized_range.ppf(confidence, methods, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(methods * (methods + 1) / (6 * blocks)))


def groups(average: ArrayLike, difference: float) -> list[tuple[float, float]]:
    """Return lowest and highest average rank of each largest group of methods that are not told apart, if several."""
    placed = np.sort(np.asarray(average, dtype=float))
    found: list[tuple[float, float]] = []
    for low in placed:
        high = placed[placed <= low + difference][-1]
        if high > low and (not found or high > found[-1][1]):
            found.append((float(low), float(high)))
    return found


def wilcoxon(differences: ArrayLike) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test [n], exact up to 50 without ties; 1 where all are 0."""
    from scipy import stats

    sample = np.round(np.asarray(differences, dtype=float), 12)
    if len(sample) < 2:
        return math.nan
    return float(stats.wilcoxon(sample).pvalue) if np.any(sample) else 1.0


def signed_rank(differences: ArrayLike, rope: float, generator: np.random.Generator) -> tuple[float, float, float]:
    """Return the probabilities that a method is worse, practically the same, and better: Bayes's signed-rank test.

    Benavoli et al. 2017, section 4.2: the differences have a Dirichlet process as prior, of strength 1/2 with all of
    its mass at 0. A draw of weights gives the share of pairs whose mean lies below, in and above the region of
    practical equivalence; what is counted is which share is the largest. Half of a tie belongs to each side.

    Args:
        differences: method minus the other [n].
        rope: half the width of the region, in units of the differences, at least 0.
        generator: of the weights.
    """
    sample = np.r_[0.0, np.asarray(differences, dtype=float)]
    means = (sample[:, None] + sample) / 2
    below, above = (np.heaviside(np.round(sign * means - rope, 12), 0.5) for sign in (-1, 1))
    weights = generator.dirichlet([0.5, *[1.0] * (len(sample) - 1)], SAMPLES) if len(sample) > 1 else np.ones((1, 1))
    worse, better = ((weights @ each * weights).sum(axis=1) for each in (below, above))
    shares = np.column_stack([worse, 1 - worse - better, better])
    largest = np.isclose(shares, shares.max(axis=1, keepdims=True), rtol=0, atol=1e-12)
    found = (largest / largest.sum(axis=1, keepdims=True)).mean(axis=0)
    return float(found[0]), float(found[1]), float(found[2])


def power(difference: float, std: float, seeds: int, level: float) -> float:
    """Return the power of the two-sided paired t-test: noncentral t with δ = √n · difference / std.

    Taken as the mean over quantiles of the sample's standard deviation, given which the mean is normal; scipy's
    noncentral t is NaN where the difference is large and seeds are few.

    Args:
        difference: true mean difference.
        std: standard deviation of paired differences, above 0.
        seeds: pairs, at least 2.
        level: of the test, in (0, 1).
    """
    from scipy import special, stats

    freedom, shift = seeds - 1, math.sqrt(seeds) * abs(difference) / std
    places, weights = _quadrature()
    spread = np.sqrt(2 * special.gammaincinv(freedom / 2, (places + 1) / 2) / freedom)
    bound = stats.t.ppf(1 - level / 2, freedom) * spread
    return float(weights @ (special.ndtr(shift - bound) + special.ndtr(-shift - bound)) / 2)


QUANTILES = 256
"""Of the sample's standard deviation, at which the power is computed: four digits of it are right."""


@cache
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(QUANTILES)


MOST_SEEDS = 10_000


def seeds_needed(difference: float, std: float, level: float = 0.05, wanted: float = 0.8) -> float:
    """Return the fewest seeds with which the paired t-test finds a difference with the power ``wanted``.

    At least 2; infinite beyond ``MOST_SEEDS``; NaN where the standard deviation is not known.
    """
    if math.isnan(std):
        return math.nan
    if std == 0:
        return 2
    low, high = 1, 2  # of `low` it is known that it does not do
    while power(difference, std, high, level) < wanted:
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(difference, std, middle, level) >= wanted else (middle, high)
    return high


def detectable(std: float, seeds: int, level: float = 0.05, wanted: float = 0.8) -> float:
    """Return the difference that so many seeds find with the power ``wanted``; NaN with fewer than two seeds."""
    from scipy import optimize

    if seeds < 2 or math.isnan(std):
        return math.nan
    if std == 0:
        return 0.0
    highest = std
    while power(highest, std, seeds, level) < wanted:
        highest *= 2
    return float(optimize.brentq(lambda size: power(size, std, seeds, level) - wanted, 0, highest))
