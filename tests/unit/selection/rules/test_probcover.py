"""ProbCover against counting by all distances in float64."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from pixelherd.selection.rules import clusters, probcover
from pixelherd.selection.rules.probcover import choose, pure_radius
from unit.selection import drawn


def balls(x: np.ndarray, chosen: np.ndarray, radius: float) -> np.ndarray:
    """Which of ``x`` lie in a ball around one that is chosen."""
    return (cdist(x, chosen) <= radius).any(axis=1) if len(chosen) else np.zeros(len(x), bool)


@pytest.mark.parametrize("number", [0, 3])
def test_each_pick_covers_most_of_what_labels_and_picks_leave(number):
    offer = drawn.offer("probcover", 12, number)
    x, everything = offer.vectors.astype(np.float64), offer.union.vectors.astype(np.float64)
    rows, scores = choose(offer)
    first = offer.union.vectors[offer.union.ranks < 8]
    radius = pure_radius(first, 3, 4)
    chosen = list(offer.labelled)
    for row, score in zip(rows, scores, strict=True):
        covered = balls(x, everything[chosen], radius)
        gains = ((cdist(x, x) <= radius) & ~covered[:, None]).sum(axis=0)
        gains[np.isin(offer.rows, chosen)] = -1
        assert row == offer.rows[gains.argmax()], "the most, ties to the first"
        assert score == pytest.approx(gains.max() / len(x), abs=1e-9)
        chosen.append(row)
    assert scores[0] > 0


def test_the_radius_is_that_of_the_seed_in_every_round(monkeypatch):
    found, find = [], probcover.pure_radius
    monkeypatch.setattr(probcover, "pure_radius", lambda *given: found.append(find(*given)) or found[-1])
    for number in (0, 3):
        choose(drawn.offer("probcover", 2, number))
    assert found[0] == found[1]


@given(st.integers(0, 2**31), st.integers(2, 6), st.integers(20, 90), st.sampled_from([0.0, 50.0]))
@example(0, 2, 20, 0.0)
@settings(max_examples=25, deadline=None)
def test_no_larger_radius_is_as_pure(seed, classes, n, shift):
    generator = np.random.default_rng(seed)
    x = (generator.normal(size=(4, 3))[generator.integers(4, size=n)] * 2 + generator.normal(size=(n, 3))).astype("f4")
    labels, labelled = None, clusters.clustered

    def noted(*given):
        nonlocal labels
        labels = labelled(*given)[0]
        return labels, None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probcover, "clustered", noted)
        radius = pure_radius(x + np.float32(shift), classes, seed)
    distances = cdist(x.astype(np.float64), x.astype(np.float64))
    differ = labels[:, None] != labels

    def purity(delta: float) -> float:
        return 1 - ((distances < delta) & differ).any(axis=1).mean()

    slack = 1e-3 if shift else 1e-5
    assert purity(radius - slack) >= 0.95 > purity(radius + slack)


def test_vectors_that_cannot_be_told_apart_have_a_radius_all_the_same():
    assert pure_radius(np.ones((30, 4), np.float16), 5, 0) == 1.0
    two = np.repeat(np.array([[0.0, 0.0], [3.0, 4.0]], np.float32), 10, axis=0)
    assert pure_radius(two, 1, 0) == pytest.approx(5), "one class: balls as large as the data"
