"""ProbCover (Yehuda et al., NeurIPS 2022): as many pixels as possible in balls of one radius."""

import math

import numpy as np
import torch

from pixelherd.compute.randomness import numpy_generator, seed_of
from pixelherd.selection.coverage.herding import herd
from pixelherd.selection.coverage.products import VectorProducts, as_float32
from pixelherd.selection.coverage.similarities import Similarities
from pixelherd.selection.coverage.union import POOL_MEMORY
from pixelherd.selection.rules.clusters import clustered
from pixelherd.selection.rules.offer import Offer
from pixelherd.selection.settings import used

PURE = 0.95
"""α: the share of balls that are pure."""

CENTRES = 2000
"""Vectors around which balls are looked at, drawn at random where there are more."""

BLOCK = 256
"""Centres whose distances are computed together."""


def choose(offer: Offer) -> tuple[np.ndarray, np.ndarray]:
    """Choose greedily by ProbCover over what the images offer; the score is the share that a ball covers anew.

    What labelled pixels cover is covered from the start. Greedy maximum coverage by balls (Algorithm 1) is MaxHerding
    with a kernel that is 1 within the radius. The radius is the same in every round: it is found on what the images
    offer before the first.
    """
    nothing, seed = np.zeros(0, dtype=np.int64), offer.current.settings.seed
    first = offer.union.vectors[offer.union.offered(nothing, used(offer.current.settings.listed))]
    radius = pure_radius(first, offer.classes, seed)
    similarities = Similarities(VectorProducts(offer.vectors), radius, "top_hat", POOL_MEMORY)
    labelled = offer.union.vectors[offer.labelled]
    herding = herd(similarities, offer.current.budget, covered=labelled if len(labelled) else None)
    return offer.rows[herding.indices.numpy()], np.diff(herding.coverage.numpy(), prepend=herding.credited)


def pure_radius(vectors: np.ndarray, classes: int, seed: int) -> float:
    """Find δ, the largest radius at which at least :data:`PURE` of the balls are pure (as the paper sets it).

    A ball is pure if all vectors within it, its border left out, have the label of its centre. As in the paper, k-means
    with as many clusters as there are classes gives labels where nobody gave any. The paper tries radii on a grid;
    here δ is exact for the balls looked at: a ball is pure up to the distance of the nearest vector of another label.

    Args:
        vectors: ``[n, D]``, any float type.
        classes: C.
        seed: of k-means and of the centres.

    Returns:
        δ > 0. Where k-means finds one cluster alone, balls are as large as the data; 1 if all vectors are the same.

    Raises:
        UserError: a vector is not finite.
    """
    x = as_float32(vectors, "features")
    x -= x.mean(dim=0)  # distances between vectors far from 0 would lose digits
    labels = torch.from_numpy(clustered(x.numpy(), classes, seed_of(seed, "probcover", "labels") % 2**32)[0])
    generator = numpy_generator(seed, "probcover", "centres")
    centres = generator.choice(len(x), min(CENTRES, len(x)), replace=False)
    pure_to = []
    for block in torch.from_numpy(centres).split(BLOCK):
        distances = torch.cdist(x[block], x)
        others = distances.masked_fill(labels[block, None] == labels, torch.inf).amin(dim=1)
        pure_to.append(torch.where(others.isfinite(), others, distances.amax(dim=1)))
    ascending = torch.cat(pure_to).sort().values
    return float(ascending[len(ascending) - math.ceil(PURE * len(ascending))]) or 1.0
