"""BADGE against whole gradients: those of autograd, and k-means++ on the matrix that the rule never builds."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from pixelherd.heads.network import MlpHead, embeddings
from pixelherd.selection.rules.badge import choose, k_means_plus_plus
from unit.selection import drawn


def gradients(head, vectors) -> np.ndarray:
    """``[n, C·h]`` float64: of the cross-entropy with the predicted class, by the last layer's weights."""
    found = []
    for vector in torch.from_numpy(vectors.astype(np.float32)).double():
        head.zero_grad()
        logits = head(vector[None])
        torch.nn.functional.cross_entropy(logits, logits.argmax(dim=1)).backward()
        found.append(head.last.weight.grad.flatten().numpy().copy())
    return np.stack(found)


def plus_plus(g: np.ndarray, budget: int, generator: np.random.Generator) -> list[int]:
    """k-means++ with all distances."""
    picks = [int(generator.integers(len(g)))]
    while len(picks) < budget:
        squared = cdist(g, g[picks], "sqeuclidean").min(axis=1)
        squared[picks] = 0
        picks.append(int(generator.choice(len(g), p=squared / squared.sum())))
    return picks


def heads():
    mlp = MlpHead(5, 3, hidden=(7, 4), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in mlp.parameters():
            parameter *= 30
    return [drawn.head(), mlp.eval()]


@pytest.mark.parametrize("head", heads(), ids=["linear", "mlp"])
def test_picks_are_those_of_k_means_plus_plus_on_gradients(head):
    offer = drawn.offer("badge", 15)
    object.__setattr__(offer, "head", head)
    rows, scores = choose(offer)
    g = gradients(head.double(), offer.vectors)
    picks = plus_plus(g, 15, offer.numpy_generator("badge"))
    assert rows.tolist() == offer.rows[picks].tolist()
    expected = [np.linalg.norm(g[picks[0]])]
    expected += [cdist(g[[pick]], g[picks[:count]]).min() for count, pick in enumerate(picks) if count]
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-4)
    head.float()


@pytest.mark.parametrize("head", heads(), ids=["linear", "mlp"])
def test_what_enters_the_last_layer_gives_the_logits(head):
    x = torch.randn(9000, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(head.last(embeddings(head, x)), head(x), rtol=1e-4, atol=1e-4)


def test_gradients_that_coincide_are_picked_in_order_when_nothing_else_is_left():
    x, q = torch.ones(5, 2), torch.tensor([[0.5, -0.5]] * 5, dtype=torch.float64)
    picks, distances = k_means_plus_plus(x, q, 5, np.random.default_rng(0))
    assert sorted(picks) == list(range(5)) and picks[1:].tolist() == sorted(picks[1:])
    assert distances.tolist() == [1.0, 0, 0, 0, 0]


def test_far_gradients_are_drawn_in_proportion_to_their_squared_distance():
    x = torch.tensor([[0.0], [1.0], [2.0]])
    q = torch.ones(3, 1, dtype=torch.float64)
    generator, counts = np.random.default_rng(0), np.zeros(3)
    for _ in range(4000):
        picks, _ = k_means_plus_plus(x, q, 2, generator)
        if picks[0] == 0:
            counts[picks[1]] += 1
    assert counts[2] / counts.sum() == pytest.approx(4 / 5, abs=0.03)
