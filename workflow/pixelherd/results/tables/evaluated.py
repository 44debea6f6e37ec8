"""Tables of what evaluation on the test split gives, run by run; :mod:`.compared` sets methods against each other."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pixelherd.results.setups import METHOD, RUN
from pixelherd.results.tables.runs import CALIBRATION, MEASURES, REFERENCE
from pixelherd.results.tables.seeds import of_value, over_seeds, with_pixels

if TYPE_CHECKING:
    import pandas as pd


def tested(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """Keep the rows of datasets that have test images."""
    return metrics[metrics["miou"].notna()]


def last_round(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """Keep the rows of each run's last round."""
    return metrics[metrics["round"] == metrics.groupby(RUN)["round"].transform("max")]


def with_reference(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """Repeat the reference's rows at the end of every budget of their dataset and features, flagged ``reference``.

    Where there is nothing but the reference, it keeps its own budget, "all".
    """
    import pandas as pd

    parts = [metrics.head(0).assign(reference=False)]
    for _, group in metrics.groupby(["dataset", "features"], sort=False):
        is_reference = group["method"] == REFERENCE
        reference, others = group[is_reference], group[~is_reference]
        if others.empty:
            parts.append(reference.assign(reference=True))
        for budget, rows in others.groupby("budget", sort=False):
            parts += [rows.assign(reference=False), reference.assign(budget=budget, reference=True)]
    return pd.concat([part for part in parts if not part.empty] or parts, ignore_index=True)


def final(metrics: "pd.DataFrame", published: dict[str, dict[str, float]] | None = None) -> "pd.DataFrame":
    """Tabulate the last round of each method, over seeds.

    Args:
        metrics: from :func:`pixelherd.results.tables.runs.read_metrics`.
        published: mIoU in percent that others published, by dataset and method.

    Returns:
        A row per dataset, features, budget and method; the reference closes every budget. Columns: those keys,
        reference, seeds, labelled_pixels, ``_mean`` and ``_std`` of miou, pixel_accuracy, mean_class_accuracy and,
        where any run has it, calibration_error; and with ``published`` published_miou, NaN where there is none.
    """
    rows, keys = with_reference(last_round(metrics)), [*METHOD, "reference"]
    measures = [*MEASURES, CALIBRATION] if CALIBRATION in rows and rows[CALIBRATION].notna().any() else MEASURES
    table = with_pixels(over_seeds(rows, keys, measures), rows, keys)
    if published is not None:
        known = [published.get(row.dataset, {}).get(row.method, math.nan) / 100 for row in table.itertuples()]
        table["published_miou"] = known
    return table


def curves(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """Tabulate the mIoU after each round, over seeds, with the reference's one round in every budget.

    Returns:
        Columns: dataset, features, budget, method, reference, round, seeds, labelled_pixels, miou_mean, miou_std.
    """
    rows, keys = with_reference(metrics), [*METHOD, "reference", "round"]
    return with_pixels(over_seeds(rows, keys, ["miou"]), rows, keys)


def area_by_run(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """Compute the normalised area under each run's budget curve, the primary endpoint; without the reference.

    The area is the trapezoid integral of mIoU over labelled pixels, divided by their range: a mean mIoU in [0, 1]. A
    run with one round, so without a range, counts with its mIoU.

    Returns:
        Columns: dataset, features, budget, method, seed, miou_area.
    """
    import numpy as np
    import pandas as pd

    rows = []
    for run, points in metrics[metrics["method"] != REFERENCE].groupby(RUN, sort=False):
        pixels, miou = points["labelled_pixels"].to_numpy(float), points["miou"].to_numpy()
        span = pixels[-1] - pixels[0]
        rows.append([*run, np.trapezoid(miou, pixels) / span if span else miou.mean()])
    return pd.DataFrame(rows, columns=[*RUN, "miou_area"])


def area(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """Take :func:`area_by_run` over seeds.

    Returns:
        Columns: dataset, features, budget, method, seeds, miou_area_mean, miou_area_std.
    """
    return over_seeds(area_by_run(metrics), METHOD, ["miou_area"])


def labels_needed(metrics: "pd.DataFrame", fractions: Sequence[float]) -> "pd.DataFrame":
    """Count the labelled pixels at which a run's mIoU first reaches a fraction of the fully supervised mIoU.

    Nothing is interpolated: the count is that of the first round that reaches the fraction. A run that never does is
    censored: it needs more than its last round has, and sorts behind all that reach it. The median over seeds is given
    where more than half of them reach the fraction, so that no guess about censored runs enters it.

    Args:
        fractions: of the reference's mean mIoU over its seeds, in (0, 1].

    Returns:
        Columns: dataset, features, budget, method, fraction, target (mIoU), seeds, reached (seeds that do), median,
        lowest, highest (NaN where it is beyond the last round), last (labelled pixels of the last round). Empty for
        datasets and features without the reference.
    """
    import numpy as np
    import pandas as pd

    rows = []
    for _, group in metrics.groupby(["dataset", "features"], sort=False):
        supervised = last_round(group).loc[lambda table: table["method"] == REFERENCE, "miou"].mean()
        if math.isnan(supervised):
            continue
        for key, runs in group[group["method"] != REFERENCE].groupby(METHOD, sort=False):
            for fraction in fractions:
                target = fraction * supervised
                needed = np.sort([_pixels_until(target, run) for _, run in runs.groupby("seed")])
                middle = needed[[(len(needed) - 1) // 2, len(needed) // 2]].mean()
                found = [value if np.isfinite(value) else np.nan for value in (middle, needed[0], needed[-1])]
                reached = int(np.isfinite(needed).sum())
                rows.append([*key, fraction, target, len(needed), reached, *found, int(runs["labelled_pixels"].max())])
    columns = [*METHOD, "fraction", "target", "seeds", "reached", "median", "lowest", "highest", "last"]
    return pd.DataFrame(rows, columns=columns)


def _pixels_until(target: float, run: "pd.DataFrame") -> float:
    """Labelled pixels of a run's first round with the mIoU ``target``; infinite where no round reaches it."""
    reaches = run["miou"] >= target
    return run.loc[reaches, "labelled_pixels"].min() if reaches.any() else math.inf


def classes(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """Tabulate the IoU of each class after the last round, over seeds.

    A seed in which the class is absent from target and prediction is left out of the mean; a class that is so in all
    runs of a dataset and features is left out of the table.

    Returns:
        Columns: dataset, features, budget, method, reference, class, seeds (that have the class), iou_mean, iou_std.
    """
    import pandas as pd

    tables, keys = [], [*METHOD, "reference"]
    for _, rows in with_reference(last_round(metrics)).groupby(["dataset", "features"], sort=False):
        iou = [column for column in rows.columns if column.startswith("iou_") and rows[column].notna().any()]
        # a stable sort on the groups' first appearance keeps the order of methods, with the classes inside
        long = rows.assign(group=rows.groupby(keys, sort=False).ngroup()).melt(
            [*keys, "seed", "group"], iou, var_name="class", value_name="iou"
        )
        long["class"] = long["class"].str.removeprefix("iou_")
        long = long.sort_values("group", kind="stable")
        tables.append(over_seeds(of_value(long, "iou"), [*keys, "class"], ["iou"]))
    columns = [*keys, "class", "seeds", "iou_mean", "iou_std"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
