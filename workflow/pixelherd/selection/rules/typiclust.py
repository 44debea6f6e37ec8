"""TypiClust (Hacohen et al., ICML 2022): the most typical vectors of the largest clusters without a label."""

import numpy as np

from pixelherd.selection.coverage.products import as_float32
from pixelherd.selection.rules.clusters import clustered
from pixelherd.selection.rules.offer import Offer

NEIGHBOURS = 20
"""K: typicality is the inverse mean distance to so many nearest neighbours."""


def choose(offer: Offer) -> tuple[np.ndarray, np.ndarray]:
    """Choose by TypiClust over what the images offer and what is labelled; the score is typicality."""
    rows = np.concatenate([offer.labelled, offer.rows])
    is_labelled = np.arange(len(rows)) < len(offer.labelled)
    chosen, typicality = typical(offer.union.vectors[rows], is_labelled, offer.current.budget, offer.seed("typiclust"))
    return rows[chosen], typicality


def typical(vectors: np.ndarray, labelled: np.ndarray, budget: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """TypiClust: the most typical vectors of the largest clusters that hold no label.

    As many clusters as there will be labels, by mini-batch k-means. A pick comes from the cluster with the fewest
    labels and picks, of those the largest; in it, from the unlabelled vector with the least mean distance to its
    nearest neighbours of the cluster, at most :data:`NEIGHBOURS`. Ties go to the first.

    This is the paper's choice (Hacohen et al., ICML 2022). The authors' code makes at most 500 clusters and drops those
    of five vectors or fewer; it leaves labelled and picked vectors out among the neighbours, and takes no more
    neighbours than half of what is left of a cluster; up to 50 clusters its k-means is not by mini-batches.

    Args:
        vectors: ``[n, D]``, any float type.
        labelled: ``[n]`` bool.
        budget: b, at most the number of unlabelled vectors.
        seed: of k-means, in [0, 2³²).

    Returns:
        positions ``[b]`` int64, distinct and unlabelled, and the typicality ``[b]`` float64 of each: the inverse of its
        mean distance, finite.

    Raises:
        UserError: a vector is not finite.
    """
    x = as_float32(vectors, "features").numpy()
    return _typical_of(clustered(x, int(labelled.sum()) + budget, seed)[0], x, labelled, budget)


def _typical_of(
    clusters: np.ndarray, x: np.ndarray, labelled: np.ndarray, budget: int
) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`typical` picks, given the cluster ``[n]`` of each vector."""
    sizes = np.bincount(clusters)
    taken = np.bincount(clusters, weights=labelled, minlength=len(sizes)).astype(int)
    found: dict[int, list[tuple[int, float]]] = {}  # what is left of a cluster, the most typical last
    picks: list[int] = []
    values: list[float] = []
    while len(picks) < budget:
        open_clusters = np.flatnonzero(taken < sizes)
        cluster = min(open_clusters.tolist(), key=lambda each: (taken[each], -sizes[each], each))
        if cluster not in found:
            members = np.flatnonzero(clusters == cluster)
            typicality = _typicality(x[members])
            order = np.argsort(-typicality, kind="stable")
            found[cluster] = [(members[at], typicality[at]) for at in order if not labelled[members[at]]][::-1]
        pick, value = found[cluster].pop()
        picks.append(pick)
        values.append(value)
        taken[cluster] += 1
    return np.array(picks, dtype=np.int64), np.array(values, dtype=np.float64)


def _typicality(x: np.ndarray) -> np.ndarray:
    """Inverse mean distance ``[n]`` float64 of each of ``x [n, D]`` to its nearest neighbours; one alone has 0."""
    from sklearn.neighbors import NearestNeighbors

    if len(x) == 1:
        return np.zeros(1)
    search = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(x) - 1), algorithm="brute").fit(x)
    distances, _ = search.kneighbors()
    return 1 / distances.astype(np.float64).mean(axis=1).clip(min=np.finfo(np.float32).eps)
