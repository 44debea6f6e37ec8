"""DropQuery: dropout in float64, and one pixel of each cluster of what changes."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from pixelherd.selection.rules import dropquery
from pixelherd.selection.rules.clusters import clustered
from pixelherd.selection.rules.dropquery import changed, choose, nearest
from unit.selection import drawn


def test_changes_are_those_of_dropout_on_the_inputs():
    head, x = drawn.head(), drawn.union().vectors
    bias = torch.tensor([0.8, -0.4, 0.1])  # beside which the size of what is kept matters
    with torch.no_grad():
        head.first.bias.copy_(bias)
    weight = head.first.weight.detach().double().numpy()
    found = changed(head, x, torch.Generator().manual_seed(3))
    generator, expected = torch.Generator().manual_seed(3), np.zeros(len(x))
    for _ in range(3):
        kept = (torch.rand(x.shape, generator=generator) >= 0.75).numpy()
        logits = (np.where(kept, x.astype(np.float64), 0) / 0.25) @ weight.T + bias.numpy()
        expected += (logits.argmax(axis=1) != (x.astype(np.float64) @ weight.T + bias.numpy()).argmax(axis=1)) / 3
    np.testing.assert_allclose(found, expected)
    assert 0 < found.mean() < 1


def test_three_quarters_of_the_inputs_are_dropped():
    """A head that says 1 where any of 2 equal inputs is left: it changes where both are dropped."""
    head = drawn.head()
    with torch.no_grad():
        head.first.weight.zero_()
        head.first.weight[1, :2] = 1.0
        head.first.bias.copy_(torch.tensor([0.5, 0.0, -9.0]))
    x = np.ones((20_000, 5), np.float16)
    assert changed(head, x, torch.Generator().manual_seed(0)).mean() == pytest.approx(0.75**2, abs=0.01)


def test_the_nearest_to_each_centre_is_asked():
    offer = drawn.offer("dropquery", 6)
    changes = changed(offer.head, offer.vectors, offer.generator("dropquery"))
    candidates = np.flatnonzero(changes >= 2 / 3 - 1e-9)  # in more than half of three
    assert len(candidates) > 6
    x = offer.vectors[candidates].astype(np.float64)
    labels, centres = clustered(offer.vectors[candidates], 6, offer.seed("dropquery clusters"))
    expected = {
        min(np.flatnonzero(labels == name), key=lambda at: cdist(x[[at]], centres[[name]])[0, 0]) for name in range(6)
    }
    rows, scores = choose(offer)
    assert set(rows) == set(offer.rows[candidates[sorted(expected)]])
    assert set(np.round(scores * 3)) <= {2, 3}


def test_too_few_candidates_are_all_asked_with_others_by_chance(monkeypatch):
    few = np.zeros(80)
    few[[7, 30]] = 1.0
    monkeypatch.setattr(dropquery, "changed", lambda *given: few)
    rows, scores = choose(drawn.offer("dropquery", 6))
    assert rows[:2].tolist() == drawn.offer("dropquery", 6).rows[[7, 30]].tolist()
    assert len(set(rows)) == 6 and scores.tolist() == [1, 1, 0, 0, 0, 0]


def test_duplicates_leave_clusters_empty_and_the_budget_is_still_spent(monkeypatch):
    offer = drawn.offer("dropquery", 6)
    same = np.tile(np.array([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]], np.float16), (40, 1))
    object.__setattr__(offer, "vectors", same)
    monkeypatch.setattr(dropquery, "changed", lambda *given: np.ones(80))
    assert len(nearest(same, 6, 0)) < 6
    assert len(set(choose(offer)[0])) == 6
