"""Herding in two levels: what a coreset stands for, and how little is lost."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from pixelherd.errors import UserError
from pixelherd.selection.coverage.herding import max_herding, median_bandwidth
from pixelherd.selection.coverage.levels import pick, shrink


def clouds(n: int, seed: int, dim: int = 6, centres: int = 12) -> torch.Tensor:
    """Vectors around centres, more around some than around others."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randn(centres, dim, generator=generator) * 3
    which = torch.multinomial(torch.arange(1.0, centres + 1), n, replacement=True, generator=generator)
    return places[which] + torch.randn(n, dim, generator=generator)


def coverage(x: torch.Tensor, picks: torch.Tensor, bandwidth: float) -> float:
    """``mean_i max_s exp(-d²/σ²)`` in float64, as written."""
    distances = torch.cdist(x.double(), x[picks].double())
    return float((-((distances / bandwidth) ** 2)).exp().amax(dim=1).mean())


def in_levels(x: torch.Tensor, budget: int, shard: int, kept: int, bandwidth: float) -> torch.Tensor:
    parts = ((x[first : first + shard], first) for first in range(0, len(x), shard))
    return pick((shrink(part, kept, first, bandwidth=bandwidth) for part, first in parts), budget, bandwidth=bandwidth)


def test_one_shard_that_keeps_all_is_herding_itself():
    x = clouds(200, 0)
    bandwidth = median_bandwidth(x)
    assert in_levels(x, 20, 200, 200, bandwidth).tolist() == max_herding(x, 20, bandwidth=bandwidth).indices.tolist()


@settings(deadline=None, max_examples=20)
@given(seed=some.integers(0, 1000), n=some.integers(5, 120), shard=some.integers(3, 50), kept=some.integers(1, 10))
def test_picks_are_distinct_rows_and_weights_count_each_vector_once(seed, n, shard, kept):
    x = clouds(n, seed)
    coresets = [
        shrink(x[first : first + shard], kept, first, bandwidth=2.0) for first in range(0, n, shard)
    ]  # the last may be smaller
    assert sum(float(each.weights.sum()) for each in coresets) == n
    for each in coresets:
        assert torch.equal(x[each.rows], each.vectors)
    picks = pick(coresets, 7, bandwidth=2.0).tolist()
    assert len(set(picks)) == len(picks) == min(7, sum(len(each.rows) for each in coresets))
    assert set(picks) <= set(torch.cat([each.rows for each in coresets]).tolist())


@pytest.mark.parametrize("seed", range(3))
def test_coverage_is_almost_that_of_one_selection_and_far_above_the_bound(seed):
    x, budget = clouds(2000, seed), 40
    bandwidth = median_bandwidth(x)
    exact = coverage(x, max_herding(x, budget, bandwidth=bandwidth).indices, bandwidth)
    found = coverage(x, in_levels(x, budget, 250, budget, bandwidth), bandwidth)
    assert found > 0.98 * exact


def test_weights_keep_a_large_shard_from_counting_as_a_small_one():
    """Nine in ten vectors are of one shard; with as many of each in the coreset the picks must still show it."""
    generator = torch.Generator().manual_seed(0)
    large, small = torch.randn(1800, 3, generator=generator), torch.randn(200, 3, generator=generator) + 50
    coresets = [shrink(part, 40, first, bandwidth=1.0) for part, first in ((large, 0), (small, 1800))]
    picks = pick(coresets, 20, bandwidth=1.0)
    alike = [replace(each, weights=torch.ones_like(each.weights)) for each in coresets]
    of_large = int((picks < 1800).sum())
    x = torch.cat([large, small])
    assert of_large > int((pick(alike, 20, bandwidth=1.0) < 1800).sum())
    assert abs(of_large - int((max_herding(x, 20, bandwidth=1.0).indices < 1800).sum())) <= 1


def test_vectors_that_are_not_finite_are_refused():
    with pytest.raises(UserError):
        shrink(torch.full((4, 2), float("nan")), 2, 0, bandwidth=1.0)
