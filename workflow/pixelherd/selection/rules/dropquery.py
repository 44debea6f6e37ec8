"""DropQuery (Gupte et al., *Revisiting Active Learning in the Era of Vision Foundation Models*, TMLR 2024)."""

import numpy as np
import torch

from pixelherd.heads.network import Head, log_probabilities
from pixelherd.selection.rules.clusters import clustered
from pixelherd.selection.rules.offer import Offer

DROPPED = 0.75
"""ρ: the probability that an input feature is dropped."""

SAMPLES = 3
"""M: dropout samples of the inputs."""

ROWS = 4096
"""Vectors that are dropped out of together."""


def choose(offer: Offer) -> tuple[np.ndarray, np.ndarray]:
    """Choose among the pixels whose class changes in more than half of the dropout samples: one of each cluster.

    Candidates are clustered by k-means into as many clusters as the budget, of each the nearest to its centre is asked.
    The score is the share of samples that change. Fewer candidates than the budget are all asked; the rest is drawn by
    chance among the other pixels, as in the authors' code, and so is what clusters that duplicates leave empty lack.
    """
    budget, changes = offer.current.budget, changed(offer.predictor, offer.vectors, offer.generator("dropquery"))
    candidates = np.flatnonzero(changes > 0.5)
    picks = candidates
    if len(candidates) > budget:
        picks = candidates[nearest(offer.vectors[candidates], budget, offer.seed("dropquery clusters"))]
    rest = np.setdiff1d(np.arange(len(changes)) if len(candidates) <= budget else candidates, picks)
    generator = offer.numpy_generator("dropquery rest")
    picks = np.concatenate([picks, generator.choice(rest, budget - len(picks), replace=False)])
    return offer.rows[picks], changes[picks]


def changed(head: Head, vectors: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """Share ``[n]`` of the samples in which dropout on vectors ``[n, D]`` changes the class that ``head`` predicts.

    What is kept is divided by 1 - ρ, as dropout does in training.
    """
    changes = np.zeros(len(vectors))
    for start in range(0, len(vectors), ROWS):
        rows = slice(start, start + ROWS)
        x = torch.from_numpy(vectors[rows]).float()
        whole = log_probabilities(head, x).argmax(dim=1)
        for _ in range(SAMPLES):
            kept = torch.rand(x.shape, generator=generator) >= DROPPED
            changes[rows] += (log_probabilities(head, x * kept / (1 - DROPPED)).argmax(dim=1) != whole).numpy()
    return changes / SAMPLES


def nearest(vectors: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Positions, ascending, of the vector of each k-means cluster that is nearest to its centre; ties to the first.

    There are fewer than ``clusters`` where duplicates leave clusters empty.
    """
    labels, centres = clustered(vectors, clusters, seed)
    distances = np.linalg.norm(vectors.astype(np.float32) - centres[labels], axis=1)
    order = np.lexsort((distances, labels))
    return np.sort(order[np.unique(labels[order], return_index=True)[1]])
