"""MaxHerding in two levels, where one union of all vectors does not fit: shards to a coreset, the coreset to the picks.

Each shard keeps its own greedy picks (GreeDi; Mirzasoleiman et al., *Distributed Submodular Maximization*, NeurIPS
2013), with the number of vectors that each stands for as its weight, so that the mean over the coreset is about the one
over all vectors. What this loses against one selection is measured by ``benchmarks/herding_levels.py``.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from pixelherd.selection.coverage.herding import max_herding

ROWS = 4096
"""Vectors whose nearest picks are looked for at once."""


@dataclass(frozen=True)
class Coreset:
    """Vectors that stand for those of a shard, or of several.

    Attributes:
        rows: ``[k]`` int64, their rows among the vectors that the shards are cut from.
        vectors: ``[k, D]``.
        weights: ``[k]`` float32, how many vectors each stands for: the picks that are nearest to these.
    """

    rows: torch.Tensor
    vectors: torch.Tensor
    weights: torch.Tensor


def shrink(vectors: torch.Tensor, kept: int, first: int, *, bandwidth: float, kernel: str = "rbf") -> Coreset:
    """Return the coreset of one shard, which nothing but the shard decides: shards are jobs of their own.

    Args:
        vectors: ``[n, D]`` of the shard.
        kept: how many stand for them.
        first: row of the first vector among those of all shards.
        bandwidth: σ > 0, the same for all shards.
        kernel: a name in :data:`~pixelherd.selection.coverage.similarities.KERNELS`.

    Raises:
        UserError: vectors are not finite, or the kernel is unknown.
    """
    picks = max_herding(vectors, kept, bandwidth=bandwidth, kernel=kernel).indices
    chosen = vectors[picks].float()
    half = (chosen * chosen).sum(dim=1) / 2  # the nearest pick has the largest x·s - |s|²/2
    nearest = torch.cat([(block.float() @ chosen.T - half).argmax(dim=1) for block in vectors.split(ROWS)])
    return Coreset(picks + first, vectors[picks], torch.bincount(nearest, minlength=len(picks)).float())


def pick(coresets: Iterable[Coreset], budget: int, *, bandwidth: float, kernel: str = "rbf") -> torch.Tensor:
    """Return the rows ``[min(budget, k)]`` that cover all vectors best by their coresets, in greedy order."""
    found = list(coresets)
    vectors, weights = torch.cat([each.vectors for each in found]), torch.cat([each.weights for each in found])
    herding = max_herding(vectors, budget, bandwidth=bandwidth, kernel=kernel, weights=weights)
    return torch.cat([each.rows for each in found])[herding.indices]
