"""Kernel values, held in any form, and what selections share of them, against the whole matrix in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelherd.selection.coverage.herding import herd
from pixelherd.selection.coverage.pairs import Pairs
from pixelherd.selection.coverage.similarities import KERNELS, Similarities


def vectors(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def whole(x: torch.Tensor, bandwidth: float) -> np.ndarray:
    return torch.exp(-((torch.cdist(x.double(), x.double()) / bandwidth) ** 2)).numpy()


def dense(pairs: Pairs) -> np.ndarray:
    """``[term, candidate]``, 0 where there is no pair."""
    n = len(pairs.starts) - 1
    matrix = np.zeros((n, n))
    matrix[pairs.terms, pairs.candidates()] = pairs.values
    return matrix


@pytest.mark.parametrize("bytes_a_value", [5, 3, 0])
def test_gains_rows_and_bounds_of_every_form(bytes_a_value):
    x, c = vectors(700, 8), torch.rand(700, generator=torch.Generator().manual_seed(1)) / 2
    kernel = whole(x, 4.0)
    similarities = Similarities(x, 4.0, memory=bytes_a_value * 700**2)
    gains = similarities.hold(c, None)
    np.testing.assert_allclose(gains, np.maximum(kernel - c.numpy(), 0).sum(1), rtol=1e-5)
    some = torch.tensor([3, 699, 0])
    np.testing.assert_allclose(similarities.rows(some), kernel[some], atol=1e-6)
    assert similarities.holds_bounds == (bytes_a_value == 3)
    if similarities.holds_bounds:
        upper = similarities.upper_rows(some)
        assert (upper >= similarities.rows(some)).all()
        assert (upper <= similarities.rows(some) * 1.002 + 1e-6).all()


@pytest.mark.parametrize("name", KERNELS)
def test_upper_bounds_of_tiny_values_are_bounds(name):
    x = vectors(600, 3)
    similarities = Similarities(x, 0.3, name, memory=3 * 600**2)
    similarities.hold(torch.zeros(600), None)
    everything = torch.arange(600)
    assert (similarities.upper_rows(everything) >= similarities.rows(everything)).all()


@pytest.mark.parametrize("bytes_a_value", [5, 3, 0])
@pytest.mark.parametrize("held", [True, False])
def test_pairs_above_a_coverage(bytes_a_value, held):
    x = vectors(700, 8)
    kernel = whole(x, 4.0)
    c = torch.from_numpy(np.sort(kernel, axis=1)[:, -9] + 1e-6).float()
    similarities = Similarities(x, 4.0, memory=bytes_a_value * 700**2)
    if held:
        similarities.hold(c, None)
    pairs = similarities.pairs_above(c)
    expected = np.where(kernel > c.numpy()[:, None], kernel, 0)
    np.testing.assert_allclose(dense(pairs), expected, atol=1e-6)
    weights = np.random.default_rng(0).random(700).astype(np.float32)
    over = np.maximum(expected - c.numpy()[:, None], 0)
    np.testing.assert_allclose(pairs.gains(c.numpy(), weights), weights @ over, atol=1e-4)
    for j in range(700):
        assert (np.diff(pairs.terms[pairs.starts[j] : pairs.starts[j + 1]]) > 0).all()


def test_too_many_pairs_are_none():
    assert Similarities(vectors(700, 8), 4.0, memory=0).pairs_above(torch.zeros(700)) is None


def test_neighbours_are_all_pairs_above_their_thresholds():
    x = vectors(1500, 8)
    kernel = whole(x, 4.0)
    known = Similarities(x, 4.0).neighbours(60)
    above = kernel > known.thresholds[:, None] + 1e-6
    assert (dense(known.pairs)[above] > 0).all()
    assert 30 < len(known.pairs.terms) / 1500 < 120
    everything = Similarities(x[:40], 4.0).neighbours(60)
    assert len(everything.pairs.terms) == 1600


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(0, 300), st.integers(1, 200), st.booleans())
def test_known_neighbours_change_nothing(seed, each, left_out, count, weighted):
    """Some vectors are new, others are gone, and some terms are known too little."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(400, 4, generator=generator)
    known = Similarities(x[:350], 3.0).neighbours(each)
    rows = torch.randperm(400, generator=generator)[left_out:].sort().values
    places = np.where(rows < 350, rows, -1)
    covered = torch.randn(30, 4, generator=generator)
    weights = torch.rand(len(rows), generator=generator) if weighted else None
    plain = herd(Similarities(x[rows], 3.0), count, covered=covered, weights=weights)
    informed = Similarities(x[rows], 3.0, neighbours=known.at(places))
    shared = herd(informed, count, covered=covered, weights=weights)
    # Kernel values are taken from another mean here, so that near ties may fall out otherwise.
    torch.testing.assert_close(shared.coverage, plain.coverage, rtol=0, atol=1e-5)
    assert len(set(shared.indices.tolist())) == min(count, len(rows))
