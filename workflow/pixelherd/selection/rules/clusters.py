"""k-means, as rules share it."""

import numpy as np

from pixelherd.selection.coverage.products import as_float32

MINI_BATCH = 4096
"""Vectors of a step of k-means."""


def clustered(vectors: np.ndarray, clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cluster vectors by mini-batch k-means (Sculley, WWW 2010); of up to 4,096 vectors every step sees as many.

    Args:
        vectors: ``[n, D]``, any float type.
        clusters: k; n where it is more. Duplicates may leave clusters empty.
        seed: of its start and batches, in [0, 2³²).

    Returns:
        the cluster ``[n]`` of each vector, and the centres ``[k, D]`` float32.

    Raises:
        UserError: a vector is not finite.
    """
    from sklearn.cluster import MiniBatchKMeans

    x = as_float32(vectors, "features").numpy()
    kmeans = MiniBatchKMeans(min(clusters, len(x)), batch_size=MINI_BATCH, n_init=1, random_state=seed)
    return kmeans.fit_predict(x), kmeans.cluster_centers_
