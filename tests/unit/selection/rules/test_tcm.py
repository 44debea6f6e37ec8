"""TCM: TypiClust below the transition, margin from it on."""

from dataclasses import replace

import numpy as np

from pixelherd.selection.rules import tcm, typiclust
from unit.selection import drawn


def test_typiclust_chooses_while_labels_are_few():
    offer = drawn.offer("tcm", 7)
    assert len(offer.labels) < tcm.TYPICAL * offer.classes
    for chosen, expected in zip(tcm.choose(offer), typiclust.choose(offer), strict=True):
        assert np.array_equal(chosen, expected)


def test_the_margin_chooses_from_ten_labels_a_class_on():
    offer = drawn.offer("tcm", 7)
    labelled = drawn.labelled(offer.union, np.arange(0, 90, 3), np.arange(30) % 3)
    offer = replace(offer, current=replace(offer.current, labelled=labelled))
    assert len(offer.labels) == tcm.TYPICAL * offer.classes
    rows, scores = tcm.choose(offer)
    logits = offer.vectors.astype(np.float64) @ offer.head.first.weight.detach().double().numpy().T
    p = np.sort(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), axis=1)
    margins = p[:, -1] - p[:, -2]
    assert rows.tolist() == offer.rows[np.argsort(margins, kind="stable")[:7]].tolist()
    np.testing.assert_allclose(scores, -np.sort(margins)[:7], atol=1e-6)
