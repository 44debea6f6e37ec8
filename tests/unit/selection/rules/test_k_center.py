"""Greedy k-center against all distances in float64."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pixelherd.selection.rules.k_center import farthest_first


def greedy(x: np.ndarray, covered: np.ndarray, budget: int) -> tuple[list[int], list[float]]:
    """Each pick by all distances to everything covered or picked."""
    picks, distances = [], []
    for _ in range(budget):
        nearest = cdist(x, np.concatenate([covered, x[picks]])).min(axis=1)
        nearest[picks] = -1
        picks.append(int(nearest.argmax()))
        distances.append(nearest.max())
    return picks, distances


@pytest.mark.parametrize("shift", [0, 100])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_farthest_first_is_greedy_k_center(shift, dtype):
    generator = np.random.default_rng(0)
    x = (generator.normal(size=(300, 12)) + shift).astype(dtype)
    covered = (generator.normal(size=(7, 12)) + shift).astype(dtype)
    picks, distances = farthest_first(x, covered, 40)
    expected, far = greedy(x.astype(np.float64), covered.astype(np.float64), 40)
    np.testing.assert_allclose(distances, far, rtol=1e-3)
    if dtype == "float32" or not shift:
        assert picks.tolist() == expected


def test_farthest_first_never_picks_twice_even_among_duplicates():
    x = np.ones((6, 3), np.float32)
    picks, distances = farthest_first(x, x[:1], 6)
    assert sorted(picks) == list(range(6)) and distances.tolist() == [0] * 6
