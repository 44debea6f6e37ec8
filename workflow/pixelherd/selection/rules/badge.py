"""BADGE (Ash et al., ICLR 2020): k-means++ on the gradients that labels as predicted would have."""

import numpy as np
import torch
from torch import Tensor

from pixelherd.heads.network import embeddings
from pixelherd.selection.rules.offer import Offer


def choose(offer: Offer) -> tuple[np.ndarray, np.ndarray]:
    """Choose by BADGE over what the images offer, which is its pool; the score is the distance to the picks before.

    The gradient of the cross-entropy by the last layer's weights, with the class that is predicted as the label, is
    g = q ⊗ x (equation 1): x is what enters the layer, q = p - 1[argmax p]. The first score is the length of g.
    """
    q = offer.log_probs.double().exp()
    q[torch.arange(len(q)), q.argmax(dim=1)] -= 1
    x = embeddings(offer.predictor, offer.vectors)
    picks, distances = k_means_plus_plus(x, q, offer.current.budget, offer.numpy_generator("badge"))
    return offer.rows[picks], distances


def k_means_plus_plus(
    x: Tensor, q: Tensor, budget: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pick g_i = q_i ⊗ x_i by k-means++ (Arthur & Vassilvitskii, SODA 2007), without a matrix of all C·D columns.

    The first is drawn uniformly (the authors' code takes the longest), each further one in proportion to its squared
    distance to the nearest pick. ``<g_i, g_j> = <q_i, q_j>·<x_i, x_j>``. Where all that are left coincide with picks,
    the first of them follow.

    Args:
        x: ``[n, D]`` float32.
        q: ``[n, C]`` float64.
        budget: b ≤ n.
        generator: draws.

    Returns:
        positions ``[b]`` int64, distinct, and the distance ``[b]`` float64 of each to the nearest before it; of the
        first its length.
    """
    lengths = q.square().sum(dim=1) * x.square().sum(dim=1).double()
    left, free = torch.full_like(lengths, torch.inf), np.ones(len(x), dtype=bool)
    picks = [int(generator.integers(len(x)))]
    distances = [float(lengths[picks[0]])]
    for _ in range(budget - 1):
        last = picks[-1]
        free[last] = False
        inner = (q @ q[last]) * (x @ x[last]).double()
        left = torch.minimum(left, (lengths + lengths[last] - 2 * inner).clamp(min=0))
        weights = left.numpy() * free
        total = weights.sum()
        picks.append(int(generator.choice(len(x), p=weights / total)) if total > 0 else int(free.argmax()))
        distances.append(float(left[picks[-1]]))
    return np.array(picks, dtype=np.int64), np.sqrt(distances)
