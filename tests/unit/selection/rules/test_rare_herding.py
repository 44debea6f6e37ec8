"""Herding by doubt and by the rarity of classes."""

from dataclasses import replace

import numpy as np
import pytest

from pixelherd.selection.rules import rare_herding, uherding
from unit.selection import drawn


def test_pixels_weigh_their_doubt_and_the_rarity_of_their_classes(monkeypatch):
    offer = drawn.offer("rare_herding", 7)
    labelled = drawn.labelled(offer.union, np.arange(0, 90, 5), np.repeat([0, 2, 255], [12, 4, 2]))
    offer = replace(offer, current=replace(offer.current, labelled=labelled))
    logits = offer.vectors.astype(np.float64) @ offer.head.first.weight.detach().double().numpy().T
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    first, second = np.sort(p, axis=1)[:, :-3:-1].T
    mean = 16 / 3
    expected = (1 - (first - second)) * (p @ np.sqrt([(mean + 1) / 13, (mean + 1) / 1, (mean + 1) / 5]))
    weighed = []
    herded = rare_herding.herded
    monkeypatch.setattr(rare_herding, "herded", lambda of, weigh: weighed.append(weigh(of.rows)) or herded(of, weigh))
    rows, _ = rare_herding.choose(offer)
    np.testing.assert_allclose(weighed[0], expected, atol=1e-6)
    assert rows.tolist() != uherding.choose(offer)[0].tolist()


@pytest.mark.parametrize("labels", [[], [0, 1, 2]])
def test_classes_with_equally_many_labels_leave_uncertainty_herding(labels):
    offer = drawn.offer("rare_herding", 7)
    labelled = drawn.labelled(offer.union, np.arange(len(labels)), np.array(labels))
    offer = replace(offer, current=replace(offer.current, labelled=labelled))
    chosen, expected = rare_herding.choose(offer), uherding.choose(offer)
    assert chosen[0].tolist() == expected[0].tolist()
    np.testing.assert_allclose(chosen[1], expected[1], atol=1e-6)
