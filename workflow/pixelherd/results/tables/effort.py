"""What answers cost a person: keys and seconds by a stated model of times, and mIoU over seconds in place of pixels.

A question takes a look at its pixel and a choice among C classes and "cannot tell", whose time grows with the logarithm
of their number (Hick 1952). Where the head of the round before is sure of a class, "is this X?" takes a choice of two:
one key if it is right, else one key and the choice among all.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pixelherd.datasets.pixels import EXPECTED_COLUMNS
from pixelherd.results.setups import METHOD, RUN, SETUP
from pixelherd.results.tables.evaluated import area_by_run
from pixelherd.results.tables.runs import FinishedRun, as_numbers, labelled_runs, read_cells
from pixelherd.results.tables.seeds import over_seeds
from pixelherd.study.paths import EXPECTED
from pixelherd.study.settings import EffortSettings

if TYPE_CHECKING:
    import pandas as pd

MEASURES = [
    *("pixels", "images", "seconds", "confirming_seconds", "asked_to_confirm", "confirmed"),
    *("miou_area", "miou_seconds_area", "miou_confirming_area"),
]


def choice_seconds(effort: EffortSettings, classes: int) -> float:
    """Return the seconds of a choice among C classes and "cannot tell", the look at the pixel not counted."""
    return effort.bit * math.log2(classes + 1) + effort.key


def confirmation_seconds(effort: EffortSettings) -> float:
    """Return the seconds of "is this X?", the look at the pixel not counted."""
    return effort.bit + effort.key


def seconds_by_round(
    labels: "pd.DataFrame", expected: "pd.DataFrame | None", classes: int, effort: EffortSettings
) -> "pd.DataFrame":
    """Add up what the questions of a run's rounds take.

    Args:
        labels: a run's answers: round, image, row, column, label.
        expected: what the head of the round before expected of them; None where it was not kept.
        classes: C.
        effort: the model of times.

    Returns:
        A row a round: round, pixels, images (that a person turns to), asked_to_confirm and confirmed ("is this X?", and
        yes to it), seconds (every class chosen) and confirming_seconds ("is this X?" where the head is sure; NaN where
        ``expected`` is None).
    """
    import pandas as pd

    places, told = list(EXPECTED_COLUMNS[:4]), list(EXPECTED_COLUMNS[4:])
    known = {} if expected is None else dict(zip(_rows(expected, places), _rows(expected, told), strict=True))
    rounds: dict[int, list[tuple[str, bool, bool]]] = {number: [] for number in sorted(labels["round"].unique())}
    for place, label in zip(_rows(labels, places), labels["label"].tolist(), strict=True):
        named, confidence = known.get(place, (math.nan, math.nan))
        asked = confidence >= effort.sure
        rounds[place[0]].append((place[1], asked, asked and named == label))
    counts = [
        (number, len(found), len(set(images)), sum(asked), sum(right))
        for number, found in rounds.items()
        for images, asked, right in [zip(*found, strict=True)]
    ]
    table = pd.DataFrame(counts, columns=["round", "pixels", "images", "asked_to_confirm", "confirmed"])
    choice, confirmation = choice_seconds(effort, classes), confirmation_seconds(effort)
    seen = effort.image * table["images"] + effort.look * table["pixels"]
    table["seconds"] = seen + choice * table["pixels"]
    chosen = table["pixels"] - table["confirmed"]
    confirming = seen + confirmation * table["asked_to_confirm"] + choice * chosen
    table["confirming_seconds"] = math.nan if expected is None else confirming
    return table


def _rows(table: "pd.DataFrame", columns: Sequence[str]) -> Iterator[tuple]:
    """The rows of some columns; a merge of two tables takes ten times as long, and there are two for each run."""
    return zip(*(table[name].tolist() for name in columns), strict=True)


def expected_of(run: FinishedRun) -> "pd.DataFrame | None":
    """Read what heads expected of a run's answers; None of a run that an older version finished.

    Raises:
        UserError: the file is malformed.
    """
    import pandas as pd

    path = run.folder / EXPECTED
    if not path.is_file():
        return None
    cells = read_cells(path, EXPECTED_COLUMNS)
    rows = as_numbers(path, EXPECTED_COLUMNS, cells, whole=("round", "row", "column"), texts=("image",))
    return pd.DataFrame(rows, columns=EXPECTED_COLUMNS)


def effort(
    folders: Iterable[Path | str | FinishedRun],
    rounds: int,
    methods: Sequence[str],
    metrics: "pd.DataFrame",
    settings: EffortSettings,
) -> "pd.DataFrame":
    """Tabulate what a person's answers take, and how good masks are meanwhile, over seeds; without the reference.

    Args:
        folders: finished run folders.
        rounds: rounds to use.
        methods: the study's order of methods.
        metrics: from :func:`pixelherd.results.tables.runs.read_metrics`, of datasets with test images.
        settings: the model of times.

    Returns:
        Columns: dataset, features, budget, method, seeds, and ``_mean`` and ``_std`` of pixels and images (turned to,
        added over rounds), seconds, confirming_seconds, asked_to_confirm and confirmed (shares of the pixels, and of
        those asked so), miou_area (over pixels), and miou_seconds_area and miou_confirming_area: the mean mIoU in the
        seconds that all runs of a dataset, features and budget have, so that methods are compared over the same time.
        NaN where there is nothing to tell it by.

    Raises:
        UserError: a file of a run is malformed.
    """
    import pandas as pd

    totals, curves = [], []
    for run, labels in labelled_runs(folders, rounds, methods):
        table = seconds_by_round(labels, expected_of(run), len(run.classes), settings)
        total = table.sum()
        known = not math.isnan(table["confirming_seconds"].iloc[-1])
        asked = total["asked_to_confirm"] if known else math.nan
        shares = asked / total["pixels"], total["confirmed"] / asked if asked else math.nan
        seconds = total["seconds"], total["confirming_seconds"] if known else math.nan
        totals.append([*run.key, total["pixels"], total["images"], *seconds, *shares])
        cumulated = table[["seconds", "confirming_seconds"]].cumsum()
        curves.append(cumulated.assign(round=table["round"], **dict(zip(RUN, run.key, strict=True))))
    if not totals:
        return pd.DataFrame(
            columns=[*METHOD, "seeds", *(f"{name}_{of}" for name in MEASURES for of in ("mean", "std"))]
        )
    rows = pd.DataFrame(totals, columns=[*RUN, *MEASURES[:6]]).merge(area_by_run(metrics), on=RUN, how="left")
    times = pd.concat(curves).merge(metrics[[*RUN, "round", "miou"]], on=[*RUN, "round"])
    for name, column in (("miou_seconds_area", "seconds"), ("miou_confirming_area", "confirming_seconds")):
        found = pd.DataFrame(_areas(times, column), columns=[*RUN, name])
        rows = rows.merge(found, on=RUN, how="left")
    return over_seeds(rows, METHOD, MEASURES)


def _areas(times: "pd.DataFrame", column: str) -> Iterator[list]:
    """Mean mIoU of each run in the time that all runs of its setup have; NaN where they have none in common."""
    for _, setup in times.groupby(SETUP, sort=False):
        spans = setup.groupby(RUN, sort=False)[column]
        low, high = spans.min().max(), spans.max().min()
        for key, run in setup.groupby(RUN, sort=False):
            yield [*key, mean_between(run[column].tolist(), run["miou"].tolist(), low, high)]


def mean_between(seconds: Sequence[float], values: Sequence[float], low: float, high: float) -> float:
    """Return the mean of a piecewise linear curve from ``low`` to ``high``; NaN where that is no range."""
    import numpy as np

    if not low < high:
        return math.nan
    inside = [second for second in seconds if low < second < high]
    points = np.array([low, *inside, high])
    return float(np.trapezoid(np.interp(points, seconds, values), points) / (high - low))
