"""What was labelled, and why: tables of the queried pixels and of the scores that ranked them.

Made from finished run folders alone, in the order of rows of :mod:`.runs`.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pixelherd.annotation.stopping import COLUMNS as STOPPING_COLUMNS
from pixelherd.datasets.classes import IGNORED
from pixelherd.results.setups import METHOD, RUN
from pixelherd.results.tables.runs import CANNOT_TELL, FinishedRun, labelled_runs, read_rounds
from pixelherd.results.tables.seeds import of_value, over_seeds
from pixelherd.selection import rankings
from pixelherd.study.paths import CORRELATIONS, SCORES, STOPPING

if TYPE_CHECKING:
    import pandas as pd

MEASURES = [
    "pixels",
    "cannot_tell",
    "classes",
    "images",
    "classes_so_far",
    "images_so_far",
    "spread",
    "nearest",
]


def labels_per_class(
    folders: Iterable[Path | str | FinishedRun], rounds: int, methods: Sequence[str] = ()
) -> "pd.DataFrame":
    """Count the labelled pixels that each class got from each method, over seeds; without the reference.

    Returns:
        Columns: dataset, features, budget, method, class, seeds, pixels_mean, pixels_std; the classes in their order,
        then "cannot tell".

    Raises:
        UserError: as :func:`read_labels`.
    """
    import pandas as pd

    rows = []
    for run, labels in labelled_runs(folders, rounds, methods):
        for value, name in _asked_for(run):
            rows.append([*run.key, name, int((labels["label"] == value).sum())])
    return over_seeds(pd.DataFrame(rows, columns=[*RUN, "class", "pixels"]), [*METHOD, "class"], ["pixels"])


def labels_per_round(
    folders: Iterable[Path | str | FinishedRun], rounds: int, methods: Sequence[str] = ()
) -> "pd.DataFrame":
    """Count the labels that each round asked for, class by class, over seeds; without the reference.

    Returns:
        Columns: dataset, features, budget, method, round, class, seeds, pixels_mean, pixels_std; the classes in their
        order, then "cannot tell".

    Raises:
        UserError: as :func:`read_labels`.
    """
    import pandas as pd

    rows = []
    for run, labels in labelled_runs(folders, rounds, methods):
        for number, asked in labels.groupby("round", sort=True):
            counts = asked["label"].value_counts()
            for value, name in _asked_for(run):
                rows.append([*run.key, number, name, int(counts.get(value, 0))])
    table = pd.DataFrame(rows, columns=[*RUN, "round", "class", "pixels"])
    return over_seeds(table, [*METHOD, "round", "class"], ["pixels"])


def _asked_for(run: FinishedRun) -> list[tuple[int, str]]:
    """Label values and names of what an answer can be."""
    return [*enumerate(each.name for each in run.classes), (IGNORED, CANNOT_TELL)]


def queries(folders: Iterable[Path | str | FinishedRun], rounds: int, methods: Sequence[str] = ()) -> "pd.DataFrame":
    """Summarise what each round asked for: classes, images and places, over seeds; without the reference.

    Returns:
        Columns: dataset, features, budget, method, round, seeds, and ``_mean`` and ``_std`` of

        - pixels, cannot_tell: pixels asked in the round, and those of them that the oracle could not tell;
        - classes, images: distinct classes and images among the round's pixels;
        - classes_so_far, images_so_far: the same for all rounds until then;
        - spread: mean distance between the places of every two of the round's pixels, whatever their images, height and
          width each scaled to [0, 1]; uniform places have 0.52, NaN for one pixel;
        - nearest: mean distance of a pixel asked so far to the nearest other one of its image, divided by the
          image's diagonal; NaN as long as no image has two.

    Raises:
        UserError: as :func:`read_labels`.
    """
    import pandas as pd

    rows = []
    for run, labels in labelled_runs(folders, rounds, methods):
        asked = _Asked(labels, run.image_size)
        rows += [
            [*run.key, number, *asked.counts(number), asked.spread(number), asked.nearest(number)]
            for number in range(rounds)
        ]
    table = pd.DataFrame(rows, columns=[*RUN, "round", *MEASURES])
    return over_seeds(table, [*METHOD, "round"], MEASURES)


class _Asked:
    """What a run's rounds asked for, as arrays: pandas would take most of a large study's minutes.

    Args:
        labels: from :func:`read_labels`.
        size: (height, width) of the images.
    """

    def __init__(self, labels: "pd.DataFrame", size: tuple[int, int]) -> None:
        self._size, self._rounds = size, labels["round"].to_numpy()
        self._labels, self._places = labels["label"].to_numpy(), labels[["row", "column"]].to_numpy()
        self._images = labels["image"].astype("category").cat.codes.to_numpy()

    def counts(self, number: int) -> list[int]:
        """Of a round and until then: ``MEASURES`` that are counted."""
        now, until, known = self._rounds == number, self._rounds <= number, self._labels != IGNORED
        return [
            int(now.sum()),
            int((now & ~known).sum()),
            len(set(self._labels[now & known])),
            len(set(self._images[now])),
            len(set(self._labels[until & known])),
            len(set(self._images[until])),
        ]

    def spread(self, number: int) -> float:
        """Mean distance between the places of every two pixels of a round, height and width each scaled to [0, 1]."""
        from scipy.spatial.distance import pdist

        height, width = self._size
        places = self._places[self._rounds == number]
        return pdist(places / [max(height - 1, 1), max(width - 1, 1)]).mean() if len(places) > 1 else math.nan

    def nearest(self, number: int) -> float:
        """Mean distance of the pixels until a round to the nearest other one of their image, by its diagonal."""
        import numpy as np
        from scipy.spatial import KDTree

        diagonal, until = math.hypot(*self._size), self._rounds <= number
        if until.sum() < 2:
            return math.nan
        # images in layers more than a diagonal apart: one tree finds every pixel's nearest in its own image
        pixels = np.column_stack([self._places[until], 2 * diagonal * self._images[until]])
        distances = KDTree(pixels).query(pixels, k=2)[0][:, 1]
        distances = distances[distances < diagonal]
        return distances.mean() / diagonal if len(distances) else math.nan


def stopping(folders: Iterable[Path | str | FinishedRun], rounds: int, methods: Sequence[str] = ()) -> "pd.DataFrame":
    """Tabulate how far predictions on the training images settled, round by round, over seeds.

    The numbers are those of :mod:`pixelherd.annotation.stopping`.

    Returns:
        Columns: dataset, features, budget, method, round, seeds, and ``_mean`` and ``_std`` of labelled_pixels,
        cannot_tell, agreement and kappa (with the round before; NaN in round 0) and entropy. Only of runs whose labels
        a person gave.

    Raises:
        UserError: a file of a run is malformed.
    """
    table = read_rounds(folders, rounds, methods, STOPPING, STOPPING_COLUMNS)
    return over_seeds(table, [*METHOD, "round"], STOPPING_COLUMNS[1:])


def scores(folders: Iterable[Path | str | FinishedRun], rounds: int, methods: Sequence[str] = ()) -> "pd.DataFrame":
    """Average the quantiles of the scores over the pool and over the chosen pixels of each round over seeds.

    Returns:
        Columns: dataset, features, budget, method, round, score, group ("pool" or "chosen"), seeds, pixels (mean), q0,
        q5, … q100. A run that an older version finished kept no scores and is left out.

    Raises:
        UserError: a file of a run is malformed.
    """
    table = read_rounds(folders, rounds, methods, SCORES, rankings.SCORE_COLUMNS)
    groups = table.groupby([*METHOD, "round", "score", "group"], sort=False)
    means = groups[["pixels", *rankings.QUANTILES]].mean()
    means.insert(0, "seeds", groups["seed"].nunique())
    return means.reset_index()


def correlations(
    folders: Iterable[Path | str | FinishedRun], rounds: int, methods: Sequence[str] = ()
) -> "pd.DataFrame":
    """Tabulate Spearman's rank correlation of every two scores over the pool of each round, over seeds.

    Returns:
        Columns: dataset, features, budget, method, round, first, second, seeds (in which neither score is the same for
        the whole pool, which leaves the correlation undefined), spearman_mean, spearman_std. A run that an older
        version finished kept no scores and is left out.

    Raises:
        UserError: a file of a run is malformed.
    """
    table = read_rounds(folders, rounds, methods, CORRELATIONS, rankings.CORRELATION_COLUMNS)
    return over_seeds(of_value(table, "spearman"), [*METHOD, "round", "first", "second"], ["spearman"])
