"""Paired tests against formulas written down independently, and what too few seeds cannot give."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import integrate, special, stats

from pixelherd.results.tables import statistics

thousandths = st.integers(-1000, 1000)
p_values = st.floats(0, 1, allow_nan=False)


def all_flips(differences: list[int]) -> Fraction:
    """The share of sign choices with a sum at least as far from 0, in whole numbers."""
    found = abs(sum(differences))
    sums = [
        sum(sign * value for sign, value in zip(signs, differences, strict=True))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return Fraction(sum(abs(total) >= found for total in sums), len(sums))


@given(st.lists(thousandths, min_size=2, max_size=8))
@example([0, 0, 0, 0, 0, -18, -41, 59])  # sums of 0, which rounding tells apart
def test_sign_flip_tries_all_signs(differences):
    assert statistics.sign_flip([value / 1000 for value in differences]) == pytest.approx(float(all_flips(differences)))


@pytest.mark.parametrize("count", range(2, 11))
def test_the_smallest_p_is_reached_when_all_signs_agree(count):
    differences = np.random.default_rng(count).uniform(0.1, 1, count)
    assert (
        statistics.sign_flip(differences) == pytest.approx(statistics.smallest_p(count)) == pytest.approx(2 / 2**count)
    )


def test_many_seeds_are_flipped_at_random_and_the_same_way_each_time():
    differences = np.random.default_rng(0).normal(0.4, 1, 20)
    first = statistics.sign_flip(differences)
    assert first == statistics.sign_flip(differences)
    assert first == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.03)
    assert statistics.sign_flip(np.ones(20) + differences / 100) == statistics.smallest_p(20)


def test_paired_t_by_its_definition():
    values, reference = [0.31, 0.35, 0.28, 0.40, 0.33], [0.30, 0.31, 0.27, 0.33, 0.34]
    found = statistics.paired(values, reference, confidence=0.9)
    differences = [a - b for a, b in zip(values, reference, strict=True)]
    mean = math.fsum(differences) / 5
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in differences) / 4)

    def density(t: float, freedom: int = 4) -> float:
        scale = special.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * special.gamma(freedom / 2))
        return scale * (1 + t * t / freedom) ** (-(freedom + 1) / 2)

    t = abs(mean) / (std / math.sqrt(5))
    assert (found.seeds, found.mean, found.std) == (5, pytest.approx(mean), pytest.approx(std))
    assert found.t_p == pytest.approx(2 * integrate.quad(density, t, np.inf)[0])
    half = (found.high - found.low) / 2
    assert found.high - half == pytest.approx(mean)
    assert integrate.quad(density, -half / (std / math.sqrt(5)), half / (std / math.sqrt(5)))[0] == pytest.approx(0.9)


@given(st.lists(st.tuples(thousandths, thousandths), min_size=2, max_size=6))
def test_swapping_the_methods_turns_the_differences_round(pairs):
    values, reference = np.array(pairs, dtype=float).T / 1000
    one, other = statistics.paired(values, reference), statistics.paired(reference, values)
    np.testing.assert_allclose([one.mean, one.std], [-other.mean, other.std], atol=1e-12)
    np.testing.assert_allclose([one.low, one.high], [-other.high, -other.low], atol=1e-12)
    np.testing.assert_allclose([one.t_p, one.flip_p], [other.t_p, other.flip_p], atol=1e-9)


def test_one_seed_gives_a_difference_and_no_test():
    found = statistics.paired([0.5], [0.4])
    assert (found.seeds, found.mean) == (1, pytest.approx(0.1))
    assert all(math.isnan(value) for value in (found.std, found.low, found.t_p, found.flip_p, found.smallest_p))
    assert statistics.paired([], []).seeds == 0 and math.isnan(statistics.paired([], []).mean)


@pytest.mark.parametrize("shift", [0, 0.1])
def test_differences_without_spread_have_no_t_test(shift, recwarn):
    reference = np.array([0.3, 0.7, 0.1, 0.2])
    found = statistics.paired(reference + shift, reference)
    assert math.isnan(found.t_p) and math.isnan(found.low)
    assert found.flip_p == pytest.approx(2 / 16 if shift else 1)
    assert not recwarn.list


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="pairs"):
        statistics.paired([0.1, 0.2], [0.1])


@given(st.lists(p_values, min_size=1, max_size=8))
def test_holm_rejects_what_its_steps_reject(ps):
    """Holm's procedure as he wrote it: from the smallest p on, stop at the first above α / (comparisons left)."""
    corrected = statistics.holm(ps)
    for alpha in (0.01, 0.05, 0.2, *(p * k for p in ps for k in range(1, len(ps) + 1) if 0 < p * k < 1)):
        rejected = set()
        for step, index in enumerate(np.argsort(ps, kind="stable")):
            if ps[index] * (len(ps) - step) > alpha:
                break
            rejected.add(index)
        assert set(np.flatnonzero(corrected <= alpha)) == rejected


def test_holm_leaves_out_what_was_not_tested():
    np.testing.assert_allclose(statistics.holm([0.03, np.nan, 0.01, 0.04]), [0.06, np.nan, 0.03, 0.06])
    assert len(statistics.holm([])) == 0
