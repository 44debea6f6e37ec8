"""Tests over data sets against a published example, scipy, and formulas written down independently."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pixelherd.results.tables import ranking

# Demšar (JMLR 2006), table 6: AUC of C4.5, C4.5+m, C4.5+cf, C4.5+m+cf on 14 data sets
DEMSAR = np.array(
    [
        *([0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967]),
        *([0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931]),
        *([0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875]),
        *([1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669]),
        *([0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970]),
    ]
)
"""The paper ranks two values that it prints as 0.975 one behind the other: one of them is written a little larger."""


def test_the_published_example():
    found = ranking.friedman(DEMSAR)
    assert found.average == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    # the paper's statistic leaves ties uncorrected: 12N/(k(k+1)) (Σ R² - k (k+1)²/4)
    plain = 12 * 14 / 20 * (np.sum(found.average**2) - 4 * 25 / 4)
    assert plain == pytest.approx(9.28, abs=5e-3)
    assert 13 * plain / (14 * 3 - plain) == pytest.approx(3.69, abs=5e-3)
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert ranking.critical_difference(4, 14, confidence=0.9) == pytest.approx(1.12, abs=5e-3)
    assert found.chi2 >= plain, "ties leave less spread within blocks"


@pytest.mark.parametrize("seed", range(4))
def test_friedman_is_scipys_with_ties_too(seed):
    values = np.random.default_rng(seed).integers(0, 6 if seed % 2 else 1000, (7, 5))
    expected = stats.friedmanchisquare(*values.T)
    found = ranking.friedman(values)
    assert (found.chi2, found.chi2_p) == pytest.approx((expected.statistic, expected.pvalue))


def test_f_is_that_of_an_analysis_of_variance_of_ranks():
    values = np.random.default_rng(3).normal(size=(6, 4))
    placed = stats.rankdata(-values, axis=1)
    between = 6 * ((placed.mean(axis=0) - 2.5) ** 2).sum() / 3
    rest = ((placed - placed.mean(axis=0)) ** 2).sum() / 15
    found = ranking.friedman(values)
    assert found.f == pytest.approx(between / rest)
    assert found.f_p == pytest.approx(stats.f.sf(between / rest, 3, 15))


def test_what_is_always_in_one_order_differs_as_clearly_as_can_be():
    found = ranking.friedman([[0.1, 0.2, 0.3]] * 5)
    assert found.average.tolist() == [3, 2, 1] and math.isinf(found.f) and found.f_p == 0
    equal = ranking.friedman([[0.1, 0.1, 0.1]] * 5)
    assert equal.average.tolist() == [2, 2, 2] and math.isnan(equal.chi2)


@pytest.mark.parametrize("shape", [(1, 4), (5, 2), (5, 1)])
def test_too_few_blocks_or_methods_give_no_test(shape):
    found = ranking.friedman(np.random.default_rng(0).normal(size=shape))
    assert math.isnan(found.f_p) and math.isnan(found.critical_difference) and len(found.average) == shape[1]


def test_nemenyis_values_are_those_of_the_paper():
    # Demšar 2006, table 5 (a): q at 0.05 for 2 to 10 methods
    expected = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    for methods, q in enumerate(expected, 2):
        assert ranking.critical_difference(methods, 1) / math.sqrt(methods * (methods + 1) / 6) == pytest.approx(
            q, abs=1.1e-3
        )


def test_groups_are_the_largest_that_are_not_told_apart():
    assert ranking.groups([1.0, 1.5, 2.4, 4.0], 1.0) == [(1.0, 1.5), (1.5, 2.4)]
    assert ranking.groups([1.0, 1.5, 2.4, 4.0], 1.5) == [(1.0, 2.4)]
    assert ranking.groups([1.0, 3.0], 1.0) == []


@given(st.lists(st.floats(1, 20), min_size=1, max_size=9), st.floats(0.01, 10))
def test_two_methods_share_a_group_just_where_they_are_not_told_apart(average, difference):
    found = ranking.groups(average, difference)
    for one, other in itertools.combinations(sorted(average), 2):
        if one != other:
            together = any(low <= one and other <= high for low, high in found)
            assert together == (other <= one + difference)


def test_wilcoxon_is_exact_for_few_blocks():
    differences = [0.01, 0.03, -0.02, 0.05, 0.04]
    signs = itertools.product((1, -1), repeat=5)
    placed = stats.rankdata(np.abs(differences))
    found = sum(rank for rank, value in zip(placed, differences, strict=True) if value > 0)
    sums = [sum(rank for rank, sign in zip(placed, each, strict=True) if sign > 0) for each in signs]
    extreme = sum(abs(each - 7.5) >= abs(found - 7.5) for each in sums)
    assert ranking.wilcoxon(differences) == pytest.approx(extreme / 32)
    assert ranking.wilcoxon([0.0, 0.0]) == 1 and math.isnan(ranking.wilcoxon([0.3]))


def by_hand(differences, rope, draws=4000):
    """The same posterior by sums over pairs, weights as normalised gamma variates."""
    generator = np.random.default_rng(1)
    values = [0.0, *differences]
    won = np.zeros(3)
    for _ in range(draws):
        raw = [generator.gamma(0.5), *generator.gamma(1.0, size=len(differences))]
        weights = np.array(raw) / sum(raw)
        shares = np.zeros(3)
        for (i, one), (j, other) in itertools.product(enumerate(values), repeat=2):
            shares[0 if one + other < -2 * rope else 2 if one + other > 2 * rope else 1] += weights[i] * weights[j]
        won[shares.argmax()] += 1
    return won / draws


@pytest.mark.parametrize(
    ("differences", "rope"),
    [
        ([0.021, 0.013, -0.004, 0.031], 0.01),
        ([0.001, -0.002, 0.003], 0.01),
        ([-0.05, 0.047, 0.022, -0.03, 0.012], 0.005),
    ],
)
def test_the_signed_rank_posterior_by_hand(differences, rope):
    found = ranking.signed_rank(differences, rope, np.random.default_rng(0))
    assert found == pytest.approx(by_hand(differences, rope), abs=0.03)
    assert sum(found) == pytest.approx(1)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=8), st.sampled_from([0, 5, 10]))
def test_the_other_way_round_the_other_wins(differences, rope):
    values = np.array(differences) / 1000
    one = ranking.signed_rank(values, rope / 1000, np.random.default_rng(0))
    other = ranking.signed_rank(-values, rope / 1000, np.random.default_rng(0))
    assert one == pytest.approx(other[::-1], abs=1e-9) and sum(one) == pytest.approx(1)
    assert ranking.signed_rank(values, 0.06, np.random.default_rng(0)) == (0, 1, 0)


def test_clear_differences_are_clear_and_none_leaves_the_prior():
    assert ranking.signed_rank([0.1] * 8, 0.01, np.random.default_rng(0))[2] > 0.99
    assert ranking.signed_rank([], 0.01, np.random.default_rng(0)) == (0, 1, 0)
    assert ranking.signed_rank([0.0] * 4, 0.0, np.random.default_rng(0)) == pytest.approx((0.5, 0, 0.5))


def test_power_is_the_share_of_samples_in_which_the_t_test_finds_the_difference():
    generator = np.random.default_rng(0)
    samples = generator.normal(0.01, 0.02, (40_000, 12))
    share = (stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05).mean()
    assert ranking.power(0.01, 0.02, 12, 0.05) == pytest.approx(share, abs=0.008)
    assert ranking.power(0, 0.02, 12, 0.05) == pytest.approx(0.05, abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 2), st.integers(2, 200), st.sampled_from([0.05, 0.01, 0.001]))
def test_power_is_that_of_the_noncentral_t(ratio, seeds, level):
    critical, shift = stats.t.ppf(1 - level / 2, seeds - 1), ratio * math.sqrt(seeds)
    expected = stats.nct.sf(critical, seeds - 1, shift) + stats.nct.cdf(-critical, seeds - 1, shift)
    found = ranking.power(ratio, 1, seeds, level)
    assert math.isnan(expected) or found == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("std", [1e-6, 0.01, 0.3])
def test_two_seeds_detect_what_is_large_enough(std):
    """There scipy's noncentral t has no value."""
    size = ranking.detectable(std, 2)
    assert ranking.power(size, std, 2, 0.05) == pytest.approx(0.8)
    assert ranking.power(1e3 * size, std, 2, 0.05) == pytest.approx(1, abs=1e-3)


def test_seeds_needed_are_those_of_cohens_tables():
    # paired t, two-sided 0.05, power 0.8: d = 0.2, 0.5, 0.8 take 199, 34, 15 pairs (G*Power 3.1)
    assert [ranking.seeds_needed(size, 1) for size in (0.2, 0.5, 0.8)] == [199, 34, 15]
    assert math.isinf(ranking.seeds_needed(0.01, 1)) and math.isnan(ranking.seeds_needed(0.01, math.nan))
    assert ranking.seeds_needed(0.01, 0) == 2


@settings(deadline=None, max_examples=30)
@given(st.floats(0.2, 3), st.sampled_from([0.05, 0.01]), st.sampled_from([0.8, 0.9]))
def test_seeds_needed_are_the_fewest_that_do(ratio, level, wanted):
    count = ranking.seeds_needed(ratio, 1, level, wanted)
    assert ranking.power(ratio, 1, count, level) >= wanted
    assert count == 2 or ranking.power(ratio, 1, count - 1, level) < wanted


def test_what_is_detectable_is_detected():
    size = ranking.detectable(0.02, 10)
    assert ranking.power(size, 0.02, 10, 0.05) == pytest.approx(0.8)
    assert math.isnan(ranking.detectable(0.02, 1)) and ranking.detectable(0.0, 5) == 0
