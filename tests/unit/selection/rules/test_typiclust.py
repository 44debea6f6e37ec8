"""TypiClust against sorting all distances in float64."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from pixelherd.selection.rules.typiclust import typical


def most_typical(x: np.ndarray, clusters: np.ndarray, labelled: np.ndarray, budget: int) -> list[int]:
    """TypiClust's choice in given clusters, by sorting all distances."""
    picks = []
    for _ in range(budget):
        taken = labelled.copy()
        taken[picks] = True
        names = [name for name in np.unique(clusters) if not taken[clusters == name].all()]
        name = min(names, key=lambda each: (taken[clusters == each].sum(), -(clusters == each).sum(), each))
        members = np.flatnonzero(clusters == name)
        near = np.sort(cdist(x[members], x[members]), axis=1)[:, 1 : 20 + 1]  # the paper's K
        means = near.mean(axis=1) if len(members) > 1 else np.full(1, np.inf)
        picks.append(int(min(members[~taken[members]], key=lambda at: means[members == at][0])))
    return picks


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(0, 8))
@example(0, 2, 1)  # clusters of more than 20
@settings(max_examples=25)
def test_the_most_typical_of_the_largest_uncovered_clusters(seed, budget, labels):
    from sklearn.cluster import MiniBatchKMeans

    generator = np.random.default_rng(seed)
    x = (generator.normal(size=(6, 5))[generator.integers(6, size=120)] * 3).astype(np.float32)
    x += generator.normal(size=x.shape).astype(np.float32)
    labelled = np.zeros(120, bool)
    labelled[generator.choice(120, labels, replace=False)] = True
    picks, typicality = typical(x, labelled, budget, seed)
    clusters = MiniBatchKMeans(labels + budget, batch_size=4096, n_init=1, random_state=seed).fit_predict(x)
    assert picks.tolist() == most_typical(x.astype(np.float64), clusters, labelled, budget)
    assert np.isfinite(typicality).all() and not labelled[picks].any()
    again = typical(x, labelled, budget, seed)
    assert np.array_equal(again[0], picks) and np.array_equal(again[1], typicality)


def test_duplicates_leave_clusters_empty_and_the_budget_is_still_spent():
    x = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    labelled = np.zeros(12, bool)
    labelled[0] = True
    picks, typicality = typical(x, labelled, 11, 0)
    assert sorted(picks) == list(range(1, 12)) and np.isfinite(typicality).all()
    assert set(picks[:2] // 4) == {1, 2}, "clusters without a label come first"
