"""What was labelled, and why: tables of the queried pixels and of the scores that ranked them.

Made from finished run folders alone, as :mod:`pixelherd.tables`, and in its order of rows.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import rankings
from .errors import UserError
from .stopping import COLUMNS as STOPPING
from .tables import CANNOT_TELL, IGNORED, METHOD, RUN, in_order, labelled_runs, of_value, over_seeds, read_csv

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


def labels_per_round(folders: Iterable[Path | str], rounds: int, methods: Sequence[str] = ()) -> "pd.DataFrame":
    """The labels that each round asked for, class by class, over seeds; without the reference.

    Returns:
        Columns: dataset, features, budget, method, round, class, seeds, pixels_mean, pixels_std; the classes in their
        order, then "cannot tell".

    Raises:
        UserError: as :func:`read_labels`.
    """
    import pandas as pd

    rows = []
    for run, names, _, labels in labelled_runs(folders, rounds, methods):
        for number, asked in labels.groupby("round", sort=True):
            counts = asked["label"].value_counts()
            for value, name in [*enumerate(names), (IGNORED, CANNOT_TELL)]:
                rows.append([*run, number, name, int(counts.get(value, 0))])
    table = pd.DataFrame(rows, columns=[*RUN, "round", "class", "pixels"])
    return over_seeds(table, [*METHOD, "round", "class"], ["pixels"])


def queries(folders: Iterable[Path | str], rounds: int, methods: Sequence[str] = ()) -> "pd.DataFrame":
    """What each round asked for: how many classes, images and places of the frame, over seeds; without the reference.

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
    import numpy as np
    import pandas as pd
    from scipy.spatial import KDTree
    from scipy.spatial.distance import pdist

    rows = []
    for run, _, (height, width), labels in labelled_runs(folders, rounds, methods):
        known, diagonal = labels["label"] != IGNORED, math.hypot(height, width)
        # images in layers more than a diagonal apart: one tree finds every pixel's nearest in its own image
        layers = 2 * diagonal * labels["image"].astype("category").cat.codes
        apart = np.column_stack([labels["row"], labels["column"], layers])
        for number in range(rounds):
            now, until = labels["round"] == number, labels["round"] <= number
            places = labels.loc[now, ["row", "column"]].to_numpy() / [max(height - 1, 1), max(width - 1, 1)]
            nearest = np.full(1, np.inf)
            if until.sum() > 1:
                nearest = KDTree(apart[until]).query(apart[until], k=2)[0][:, 1]
            nearest = nearest[nearest < diagonal]
            rows.append(
                [
                    *run,
                    number,
                    int(now.sum()),
                    int((now & ~known).sum()),
                    labels.loc[now & known, "label"].nunique(),
                    labels.loc[now, "image"].nunique(),
                    labels.loc[until & known, "label"].nunique(),
                    labels.loc[until, "image"].nunique(),
                    pdist(places).mean() if len(places) > 1 else np.nan,
                    nearest.mean() / diagonal if len(nearest) else np.nan,
                ]
            )
    table = pd.DataFrame(rows, columns=[*RUN, "round", *MEASURES])
    return over_seeds(table, [*METHOD, "round"], MEASURES)


def stopping(folders: Iterable[Path | str], rounds: int, methods: Sequence[str] = ()) -> "pd.DataFrame":
    """How far the predictions on the training images settled, round by round, over seeds (see :mod:`.stopping`).

    Returns:
        Columns: dataset, features, budget, method, round, seeds, and ``_mean`` and ``_std`` of labelled_pixels,
        cannot_tell, agreement and kappa (with the round before; NaN in round 0) and entropy. Only of runs whose labels
        a person gave.

    Raises:
        UserError: a file of a run is malformed.
    """
    table = read_rankings(folders, rounds, methods, "stopping.csv", STOPPING)
    return over_seeds(table, [*METHOD, "round"], STOPPING[1:])


def scores(folders: Iterable[Path | str], rounds: int, methods: Sequence[str] = ()) -> "pd.DataFrame":
    """Quantiles of the scores over the pool and over the chosen pixels of each round, averaged over seeds.

    Returns:
        Columns: dataset, features, budget, method, round, score, group ("pool" or "chosen"), seeds, pixels (mean), q0,
        q5, … q100. A run that an older version finished kept no scores and is left out.

    Raises:
        UserError: a file of a run is malformed.
    """
    table = read_rankings(folders, rounds, methods, "scores.csv", rankings.SCORE_COLUMNS)
    groups = table.groupby([*METHOD, "round", "score", "group"], sort=False)
    means = groups[["pixels", *rankings.QUANTILES]].mean()
    means.insert(0, "seeds", groups["seed"].nunique())
    return means.reset_index()


def correlations(folders: Iterable[Path | str], rounds: int, methods: Sequence[str] = ()) -> "pd.DataFrame":
    """Spearman's rank correlation of every two scores over the pool of each round, over seeds.

    Returns:
        Columns: dataset, features, budget, method, round, first, second, seeds (in which neither score is the same for
        the whole pool, which leaves the correlation undefined), spearman_mean, spearman_std. A run that an older
        version finished kept no scores and is left out.

    Raises:
        UserError: a file of a run is malformed.
    """
    table = read_rankings(folders, rounds, methods, "correlations.csv", rankings.CORRELATION_COLUMNS)
    return over_seeds(of_value(table, "spearman"), [*METHOD, "round", "first", "second"], ["spearman"])


def read_rankings(
    folders: Iterable[Path | str], rounds: int, methods: Sequence[str], name: str, columns: Sequence[str]
) -> "pd.DataFrame":
    """A file that rounds may have, such as those of :mod:`pixelherd.rankings`, of all rounds and runs, behind the runs'
    keys."""
    import pandas as pd

    parts = []
    for folder, facts in in_order(folders, methods):
        for path in (folder / f"round-{number}" / name for number in range(rounds)):
            if path.is_file():  # seals list their files: where this one is lacking, the run is older than it
                table = read_csv(path, columns)
                numbers = [column for column in columns if column not in ("score", "group", "first", "second")]
                try:
                    table = table.astype(dict.fromkeys(numbers, float)).astype({"round": int})
                except ValueError:
                    raise UserError(
                        f"{path} holds text where numbers belong; delete {folder} and run the study again"
                    ) from None
                for position, key in enumerate(RUN):
                    table.insert(position, key, facts["run"][key])
                parts.append(table)
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*RUN, *columns])
