"""Whether a difference between two methods is more than the seeds' chance: paired tests, and what they cannot say.

Runs of one seed share candidates, the head's initialisation and the order of images, so methods are compared seed by
seed. Seeds repeat what is random in a run. They do not repeat the choice of training and test images, so no p-value
here speaks about other images of the same kind.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

EXACT_UNTIL = 16
"""Seeds up to which all 2^n flips of signs are tried; beyond, 99,999 random ones."""


@dataclass(frozen=True)
class Paired:
    """A method against the reference over n common seeds; what n seeds cannot give is NaN.

    Attributes:
        seeds: n.
        mean: mean of the differences, method minus reference.
        std: their sample standard deviation (n - 1).
        low, high: t-interval of the mean difference.
        t_p: two-sided p of the paired t-test; NaN also where all differences are the same.
        flip_p: two-sided p of the sign-flip test.
        smallest_p: the smallest p that the sign-flip test can reach with n seeds.
    """

    seeds: int
    mean: float = math.nan
    std: float = math.nan
    low: float = math.nan
    high: float = math.nan
    t_p: float = math.nan
    flip_p: float = math.nan
    smallest_p: float = math.nan


def paired(values: ArrayLike, reference: ArrayLike, confidence: float = 0.95) -> Paired:
    """Compare two methods whose values [n] belong to the same seeds in the same order.

    The t-test supposes differences that are about normal; the sign-flip test only that without an effect each one could
    as well have had the other sign.

    Args:
        confidence: coverage of the t-interval, in (0, 1).

    Raises:
        ValueError: the two have different lengths.
    """
    from scipy import stats

    these, those = np.asarray(values, dtype=float), np.asarray(reference, dtype=float)
    if these.shape != those.shape or these.ndim != 1:
        raise ValueError(f"pairs need values [n] and reference [n], not {these.shape} and {those.shape}")
    count, differences = len(these), these - those
    if count < 2:
        return Paired(count, mean=float(differences.mean()) if count else math.nan)
    mean, std = float(differences.mean()), float(differences.std(ddof=1))
    found = {"mean": mean, "std": std, "flip_p": sign_flip(differences), "smallest_p": smallest_p(count)}
    # without spread (up to rounding) t would be infinite, or 0/0: the test's assumption fails, so it gives no answer
    if std > 1e-12 * np.abs(np.r_[these, those]).max():
        test = stats.ttest_rel(these, those)
        interval = test.confidence_interval(confidence)
        found |= {"t_p": float(test.pvalue), "low": float(interval.low), "high": float(interval.high)}
    return Paired(count, **found)


def sign_flip(differences: ArrayLike) -> float:
    """Compute the two-sided p of the sign-flip (paired permutation) test of the mean of ``differences`` [n].

    The share of all 2^n choices of signs whose mean is at least as far from 0 as the one found.
    """
    return _share_of_flips(tuple(np.asarray(differences, dtype=float).tolist()))


@cache
def _share_of_flips(differences: tuple[float, ...]) -> float:
    """:func:`sign_flip`, once for all tables that compare the same methods."""
    from scipy import stats

    sample = np.array(differences)
    exact, largest = len(sample) <= EXACT_UNTIL, np.abs(sample).max(initial=0) or 1.0
    test = stats.permutation_test(
        (sample / largest,),
        lambda flipped, axis: np.round(np.mean(flipped, axis=axis), 12),  # equal means are equal, whatever the order
        permutation_type="samples",  # of a single sample: flips of signs
        vectorized=True,
        n_resamples=np.inf if exact else 99_999,
        batch=4096,
        rng=np.random.default_rng(0),
    )
    return float(min(test.pvalue, 1))


def smallest_p(count: int) -> float:
    """Return the smallest two-sided p of the sign-flip test with ``count`` pairs: all signs alike, either way."""
    return min(1.0, 2 * (2.0**-count if count <= EXACT_UNTIL else 1 / 100_000))


def holm(p_values: ArrayLike) -> np.ndarray:
    """Correct p-values [m] for m comparisons, by Holm (1979); NaN stays NaN and counts as no comparison."""
    found = np.asarray(p_values, dtype=float)
    corrected = np.full_like(found, np.nan)
    tested = np.flatnonzero(~np.isnan(found))
    order = tested[np.argsort(found[tested], kind="stable")]
    # the smallest p is multiplied by m, the next by m - 1, …; none may fall below the one before
    corrected[order] = np.minimum(1, np.maximum.accumulate(found[order] * np.arange(len(order), 0, -1)))
    return corrected
