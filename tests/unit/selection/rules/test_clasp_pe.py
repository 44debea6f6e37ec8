"""ClaSP PE against its formula written class by class."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pixelherd.selection.rules.clasp_pe import choose
from unit.selection import drawn


def predicted(offer) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities ``[n, C]`` and their entropy ``[n]``, float64."""
    layer = offer.head.first
    logits = offer.vectors.astype(np.float64) @ layer.weight.detach().double().numpy().T
    logits += layer.bias.detach().double().numpy()
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p, -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=1)


@pytest.mark.parametrize(("budget", "stratified"), [(1, 1), (5, 3), (9, 6), (14, 9)])
def test_two_thirds_are_asked_class_by_class_and_the_rest_over_all(budget, stratified):
    offer = drawn.offer("clasp_pe", budget)
    rows, scores = choose(offer)
    p, entropy = predicted(offer)
    generator = offer.numpy_generator("clasp_pe")
    parts = [0, 0, 0]
    for place in range(stratified):
        parts[place % 3] += 1
    taken: list[int] = []
    values: list[float] = []
    for name, part in [*zip(generator.permutation(3), parts, strict=True), (None, budget - stratified)]:
        score = entropy if name is None else entropy * p[:, name]
        noisy = np.log(score) + generator.gumbel(size=len(p)) / 3
        for place in [place for place in np.argsort(-noisy) if place not in taken][:part]:
            taken.append(int(place))
            values.append(float(noisy[place]))
    assert rows.tolist() == offer.rows[taken].tolist()
    np.testing.assert_allclose(scores, values, atol=1e-4)


def test_a_rare_class_has_its_part():
    """A class that is the likeliest nowhere is asked where it is likeliest, and one without labels is not."""
    offer = drawn.offer("clasp_pe", 60)
    with torch.no_grad():
        offer.head.first.bias.copy_(torch.tensor([0.0, -4.0, -torch.inf]))
    late = replace(offer, current=replace(offer.current, number=10**6))  # no noise to speak of
    p, entropy = predicted(late)
    assert (p[:, 1] < 0.5).all() and (p[:, 2] == 0).all()
    asked = set(choose(late)[0])
    for name in (0, 1):
        likely = late.rows[np.argsort(-entropy * p[:, name])[:20]]
        assert set(likely) <= asked, "twenty of sixty are the part of each of two classes"


def test_noise_fades_from_round_to_round():
    """The same share of the best is asked by more chance in early rounds."""

    def overlap(number: int) -> float:
        found = []
        for seed in range(20):
            offer = drawn.offer("clasp_pe", 20)
            settings = offer.current.settings.model_copy(update={"seed": seed})
            offer = replace(offer, current=replace(offer.current, number=number, settings=settings))
            sure = replace(offer, current=replace(offer.current, number=10**6))
            found.append(len(set(choose(offer)[0]) & set(choose(sure)[0])))
        return float(np.mean(found))

    assert overlap(1) < overlap(4) < overlap(50)
