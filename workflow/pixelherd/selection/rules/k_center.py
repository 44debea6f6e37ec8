"""Core-set (Sener & Savarese, ICLR 2018): greedy k-center."""

import numpy as np
import torch

from pixelherd.selection.coverage.products import as_float32
from pixelherd.selection.rules.offer import Offer

BLOCK = 256
"""Covered vectors whose distances are computed together."""


def choose(offer: Offer) -> tuple[np.ndarray, np.ndarray]:
    """Choose the rows that are farthest from what is labelled; the score is that distance, picks before it included."""
    chosen, distances = farthest_first(offer.vectors, offer.union.vectors[offer.labelled], offer.current.budget)
    return offer.rows[chosen], distances


def farthest_first(vectors: np.ndarray, covered: np.ndarray, budget: int) -> tuple[np.ndarray, np.ndarray]:
    """Greedy k-center: each pick is the vector farthest from the covered ones and the picks before it.

    Ties go to the first. The largest distance left is at most twice the smallest possible (Gonzalez, 1985).

    Args:
        vectors: ``[n, D]``, any float type.
        covered: ``[m, D]`` with m > 0.
        budget: b ≤ n.

    Returns:
        positions ``[b]`` int64, distinct, and the distance ``[b]`` float64 of each to the nearest vector before it.

    Raises:
        UserError: a vector is not finite.
        ValueError: there is no vector, or none is covered.
    """
    x, y = as_float32(vectors, "features"), as_float32(covered, "covered vectors")
    centre = x.mean(dim=0)  # distances between vectors far from 0 would lose digits
    x -= centre
    y -= centre
    lengths = (x * x).sum(dim=1)

    def squared(others: torch.Tensor) -> torch.Tensor:
        return lengths[:, None] + (others * others).sum(dim=1) - 2 * (x @ others.T)

    nearest = torch.full((len(x),), torch.inf)
    for block in y.split(BLOCK):
        nearest = torch.minimum(nearest, squared(block).amin(dim=1))
    left = nearest.clamp(min=0).numpy()
    picks: list[int] = []
    distances: list[float] = []
    for _ in range(budget):
        pick = int(left.argmax())
        picks.append(pick)
        distances.append(float(left[pick]) ** 0.5)
        left = np.minimum(left, squared(x[pick : pick + 1])[:, 0].clamp(min=0).numpy())
        left[picks] = -1
    return np.array(picks, dtype=np.int64), np.array(distances)
