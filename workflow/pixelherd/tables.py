"""Tables of a study, made from finished run folders alone: no raw data, no cache, no order of files.

A run folder holds ``run.json``, ``metrics.csv`` and, for each round, ``round-{r}/labels.csv``. Runs may hold more
rounds than the study asks for now, so every reader takes ``rounds`` and uses the rounds before it. Rows come in one
order everywhere: dataset, features, budget (as a number), method (in the study's order, the reference last), seed,
round.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import statistics
from .errors import UserError

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "full"
"""The method that labels every training pixel: one round, the same for all budgets, shown for comparison."""

IGNORED = 255
"""The label of a pixel that the oracle could not tell."""

CANNOT_TELL = "cannot tell"

MEASURES = ["miou", "pixel_accuracy", "mean_class_accuracy"]
RUN = ["dataset", "features", "budget", "method", "seed"]
METHOD = ["dataset", "features", "budget", "method"]


def read_run(folder: Path | str) -> dict:
    """The content of a run's ``run.json``.

    Raises:
        UserError: the file is missing, is not JSON, or does not describe a run.
    """
    path = Path(folder) / "run.json"
    try:
        facts = json.loads(path.read_text())
        run = facts["run"]
        complete = all(key in run for key in RUN) and all({"name", "colour"} <= set(c) for c in facts["classes"])
        complete &= len(facts["image_size"]) == 2 and facts["images"]["train"] > 0
        budget_key(run["budget"])
    except FileNotFoundError:
        raise UserError(f"{path} is missing, so the run is not finished; run the study again") from None
    except (ValueError, KeyError, TypeError):
        complete = False
    if not complete:
        raise UserError(f"{path} does not describe a run; delete {folder} and run the study again")
    return facts


def budget_key(budget: str) -> float:
    """Where a budget stands among others: its number, and "all" after every number."""
    return float("inf") if budget == "all" else float(budget)


def in_order(folders: Iterable[Path | str], methods: Sequence[str] = ()) -> list[tuple[Path, dict]]:
    """Run folders with their ``run.json``, in the order that all tables and figures use.

    Args:
        methods: the study's order of methods; others follow by name, and the reference comes last.
    """

    def key(entry: tuple[Path, dict]) -> tuple:
        run = entry[1]["run"]
        method = run["method"]
        rank = methods.index(method) if method in methods else len(methods)
        return (
            run["dataset"],
            run["features"],
            budget_key(run["budget"]),
            run["budget"],
            method == REFERENCE,
            rank,
            method,
            run["seed"],
        )

    return sorted(((Path(folder), read_run(folder)) for folder in folders), key=key)


def read_csv(path: Path, columns: Sequence[str]) -> "pd.DataFrame":
    """A CSV file of a run that must start with ``columns``; image ids stay text, an empty field is NaN.

    Raises:
        UserError: the file is missing, cannot be parsed, or has other columns.
    """
    import pandas as pd

    try:
        # pandas' default words for NaN include "NA" and "null", which are fine names for an image
        table = pd.read_csv(path, dtype={"image": str}, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run the study again to make it") from None
    except ValueError:
        raise UserError(f"{path} is not a table of comma-separated values; delete it and run the study again") from None
    if list(table.columns[: len(columns)]) != list(columns):
        raise UserError(
            f"{path} has the columns {', '.join(table.columns)}, but must start with {', '.join(columns)}; "
            "delete it and run the study again"
        )
    return table


def read_metrics(folders: Iterable[Path | str], rounds: int, methods: Sequence[str] = ()) -> "pd.DataFrame":
    """The metrics of many runs, a row per run and round.

    Args:
        folders: run folders.
        rounds: rounds to use, counted from round 0; the reference has round 0 only.
        methods: the study's order of methods.

    Returns:
        Columns dataset, features, budget (text), method, seed, round, labelled_pixels, miou, pixel_accuracy,
        mean_class_accuracy, and ``iou_<class name>`` for the classes of all datasets; values in [0, 1], NaN where a
        class is absent from target and prediction or is not of the dataset, all NaN where there are no test images.

    Raises:
        UserError: a file is missing, has unexpected columns, values outside [0, 1], or too few rounds; or there are
            test images, but no pixel of their masks has a class.
    """
    import pandas as pd

    parts = []
    for folder, facts in in_order(folders, methods):
        path = folder / "metrics.csv"
        table = read_csv(path, ["round", "labelled_pixels", *MEASURES])
        iou = list(table.columns[2 + len(MEASURES) :])
        names = [entry["name"] for entry in facts["classes"]]
        if len(iou) != len(names) or not all(column.startswith("iou_") for column in iou):
            raise UserError(
                f"{path} must have one iou_ column for each of the {len(names)} classes after {MEASURES[-1]}, but has "
                f"{', '.join(iou) or 'none'}; delete it and run the study again"
            )
        try:
            table = table.astype({column: float for column in [*MEASURES, *iou]}).astype(
                {"round": int, "labelled_pixels": int}
            )
        except ValueError:
            raise UserError(f"{path} holds text where numbers belong; delete it and run the study again") from None
        values, tests = table[[*MEASURES, *iou]], facts["images"].get("test", 1)
        if tests and values.isna().all(axis=None):
            raise UserError(
                f"no pixel of the {tests} test masks of {facts['run']['dataset']} has a class, so {path} holds no "
                f"values; correct the test masks, delete {folder} and run the study again"
            )
        if (tests and table[MEASURES].isna().any(axis=None)) or ((values < 0) | (values > 1)).any(axis=None):
            raise UserError(f"{path} holds values outside [0, 1]; delete it and run the study again")
        wanted = 1 if facts["run"]["method"] == REFERENCE else rounds
        table = table[table["round"] < wanted].sort_values("round", kind="stable")
        if table["round"].tolist() != list(range(wanted)):
            raise UserError(
                f"{path} has the rounds {table['round'].tolist()}, but the study asks for the first {wanted}; "
                "run the study again"
            )
        # class names instead of slugs: the files write the classes in the order of run.json
        table = table.rename(columns=dict(zip(iou, [f"iou_{name}" for name in names], strict=True)))
        for position, column in enumerate(RUN):
            table.insert(position, column, facts["run"][column])
        parts.append(table)
    if not parts:
        raise UserError("there are no finished runs to make tables of; run the study first")
    return pd.concat(parts, ignore_index=True)


def evaluated(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of datasets that have test images."""
    return metrics[metrics["miou"].notna()]


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


def uneven_seeds(metrics: "pd.DataFrame") -> set[tuple[str, str, str]]:
    """The (dataset, features, budget) whose methods do not all have the same seeds, whatever the reference has."""
    seeds = metrics[metrics["method"] != REFERENCE].groupby(METHOD)["seed"].agg(frozenset)
    kinds = seeds.groupby(METHOD[:3]).nunique()
    return set(kinds.index[kinds > 1])


def last_round(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of each run's last round."""
    return metrics[metrics["round"] == metrics.groupby(RUN)["round"].transform("max")]


def over_seeds(rows: "pd.DataFrame", keys: list[str], columns: Sequence[str]) -> "pd.DataFrame":
    """Mean and sample standard deviation (n - 1; NaN with one seed) of ``columns`` over the seeds of each group."""
    groups = rows.groupby(keys, sort=False)
    table = groups.agg(seeds=("seed", "nunique"))
    for column in columns:
        table[f"{column}_mean"] = groups[column].mean()
        table[f"{column}_std"] = groups[column].std(ddof=1)
    return table.reset_index()


def of_value(rows: "pd.DataFrame", column: str) -> "pd.DataFrame":
    """The rows without their seed where ``column`` is NaN, so that :func:`over_seeds` counts the seeds of its mean."""
    return rows.assign(seed=rows["seed"].where(rows[column].notna()))


def with_pixels(table: "pd.DataFrame", rows: "pd.DataFrame", keys: list[str]) -> "pd.DataFrame":
    """Put the mean number of labelled pixels of each group after ``seeds``; an integer unless seeds differ."""
    pixels = rows.groupby(keys, sort=False)["labelled_pixels"].mean().to_numpy()
    table.insert(
        table.columns.get_loc("seeds") + 1,
        "labelled_pixels",
        pixels.astype(int) if (pixels % 1 == 0).all() else pixels,
    )
    return table


def final(metrics: "pd.DataFrame", published: dict[str, dict[str, float]] | None = None) -> "pd.DataFrame":
    """The last round of each method, over seeds.

    Args:
        metrics: from :func:`read_metrics`.
        published: mIoU in percent that others published, by dataset and method.

    Returns:
        A row per dataset, features, budget and method; the reference closes every budget. Columns: those keys,
        reference, seeds, labelled_pixels, ``_mean`` and ``_std`` of miou, pixel_accuracy and mean_class_accuracy; and
        with ``published`` published_miou, NaN where there is none.
    """
    rows, keys = with_reference(last_round(metrics)), [*METHOD, "reference"]
    table = with_pixels(over_seeds(rows, keys, MEASURES), rows, keys)
    if published:
        known = [published.get(row.dataset, {}).get(row.method, math.nan) / 100 for row in table.itertuples()]
        table["published_miou"] = known
    return table


def curves(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """The mIoU after each round, over seeds, with the reference's one round in every budget.

    Returns:
        Columns: dataset, features, budget, method, reference, round, seeds, labelled_pixels, miou_mean, miou_std.
    """
    rows, keys = with_reference(metrics), [*METHOD, "reference", "round"]
    return with_pixels(over_seeds(rows, keys, ["miou"]), rows, keys)


def area_by_run(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """The normalised area under each run's budget curve, the primary endpoint; without the reference.

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
    """:func:`area_by_run`, over seeds.

    Returns:
        Columns: dataset, features, budget, method, seeds, miou_area_mean, miou_area_std.
    """
    return over_seeds(area_by_run(metrics), METHOD, ["miou_area"])


def areas_by_seed(metrics: "pd.DataFrame", between: str = "method") -> Iterator[tuple[dict, "pd.DataFrame"]]:
    """For each (dataset, features, budget) the areas [seed, method], methods in their order, NaN for a missing run.

    With another column ``between`` than ``method`` the two change places: for each (dataset, budget, method) the areas
    [seed, features].
    """
    keys = [name for name in METHOD if name != between]
    for key, rows in area_by_run(metrics).groupby(keys, sort=False):
        areas = rows.pivot(index="seed", columns=between, values="miou_area")
        yield dict(zip(keys, key, strict=True)), areas[rows[between].unique()]


def comparison(
    metrics: "pd.DataFrame",
    against: str | Mapping[str, str] | None,
    confidence: float = 0.95,
    between: str = "method",
) -> "pd.DataFrame":
    """Each method's area under the budget curve against one method's, seed by seed over the seeds that both have.

    p-values are corrected by Holm over the methods of one dataset, features and budget, each test for itself. Between
    ``features`` it is the method that stays: each features entry against one of them, corrected over the entries.

    Args:
        metrics: from :func:`read_metrics`.
        against: the method that all others are compared with, or by method the one that it is compared with, others
            being left out; None makes an empty table. Between ``features`` the entry, or by dataset the entry.
        confidence: coverage of the t-interval.
        between: the column that is compared, ``method`` or ``features``.

    Returns:
        Columns: dataset, features, budget, method, against, seeds (that both have), difference_mean and
        difference_std (method minus the other, in [-1, 1]), difference_low and difference_high (t-interval), t_p,
        t_p_holm, flip_p, flip_p_holm (sign-flip test), flip_p_smallest (that so many seeds can reach) and
        flip_p_smallest_holm (the same, corrected where all methods reach theirs). NaN where seeds are too few.
    """
    import pandas as pd

    tests = ["t_p", "t_p_holm", "flip_p", "flip_p_holm", "flip_p_smallest", "flip_p_smallest_holm"]
    by_dataset = between == "features" and isinstance(against, Mapping)
    differences = [f"difference_{part}" for part in ("mean", "std", "low", "high")]
    parts = []
    for key, areas in areas_by_seed(metrics, between):
        one = against.get(key["dataset"]) if by_dataset else against
        pairs = one if isinstance(one, Mapping) else {name: one for name in areas if name != one}
        rows = []
        for name, other in pairs.items():
            if name not in areas or other not in areas:
                continue
            both = areas[[name, other]].dropna()
            found = statistics.paired(both[name], both[other], confidence)
            rows.append(
                {
                    **key,
                    between: name,
                    "against": other,
                    "seeds": found.seeds,
                    **dict(zip(differences, (found.mean, found.std, found.low, found.high), strict=True)),
                    "t_p": found.t_p,
                    "flip_p": found.flip_p,
                    "flip_p_smallest": found.smallest_p,
                }
            )
        if rows:
            part = pd.DataFrame(rows)
            # Holm never falls where a p rises: of the smallest p-values it gives the smallest corrected ones
            for test in ("t_p", "flip_p", "flip_p_smallest"):
                part[f"{test}_holm"] = statistics.holm(part[test])
            parts.append(part)
    columns = [*METHOD, "against", "seeds", *differences, *tests]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def wins(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """In how many seeds one method's area under the budget curve exceeds another's; equal areas are half a win.

    Returns:
        Columns: dataset, features, budget, method, opponent, seeds (that both have), wins, share (NaN without a
        common seed).
    """
    import pandas as pd

    rows = []
    for key, areas in areas_by_seed(metrics):
        for method in areas.columns:
            for opponent in areas.columns.drop(method):
                difference = (areas[method] - areas[opponent]).dropna()
                won = float((difference > 0).sum() + (difference == 0).sum() / 2)
                rows.append([*key.values(), method, opponent, len(difference), won])
    table = pd.DataFrame(rows, columns=[*METHOD, "opponent", "seeds", "wins"])
    table["share"] = table["wins"] / table["seeds"].where(table["seeds"] > 0)
    return table


def labels_needed(metrics: "pd.DataFrame", fractions: Sequence[float]) -> "pd.DataFrame":
    """Labelled pixels at which a run's mIoU first reaches a fraction of the fully supervised mIoU.

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
                needed = np.sort(
                    [
                        run.loc[run["miou"] >= target, "labelled_pixels"].min()
                        if (run["miou"] >= target).any()
                        else np.inf
                        for _, run in runs.groupby("seed")
                    ]
                )
                middle = needed[[(len(needed) - 1) // 2, len(needed) // 2]].mean()
                found = [value if np.isfinite(value) else np.nan for value in (middle, needed[0], needed[-1])]
                reached = int(np.isfinite(needed).sum())
                rows.append([*key, fraction, target, len(needed), reached, *found, int(runs["labelled_pixels"].max())])
    columns = [*METHOD, "fraction", "target", "seeds", "reached", "median", "lowest", "highest", "last"]
    return pd.DataFrame(rows, columns=columns)


def classes(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """The IoU of each class after the last round, over seeds.

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


def read_labels(folder: Path, rounds: int, classes: int) -> "pd.DataFrame":
    """The answers of a run's first ``rounds`` rounds: round, image, row, column, label.

    Raises:
        UserError: a file is missing, or a label is neither a class nor 255.
    """
    import pandas as pd

    tables = []
    for number in range(rounds):
        path = folder / f"round-{number}" / "labels.csv"
        table = read_csv(path, ["round", "image", "row", "column", "label"])
        if pd.to_numeric(table[["row", "column"]].stack(), errors="coerce").isna().any():
            raise UserError(f"{path} holds a row or column that is no number; correct it")
        unknown = table.loc[~pd.to_numeric(table["label"], errors="coerce").isin([*range(classes), IGNORED]), "label"]
        if len(unknown):
            raise UserError(
                f"{path} holds the label {unknown.iloc[0]}, but labels are 0 to {classes - 1}, or {IGNORED} for "
                f"{CANNOT_TELL!r}; correct it"
            )
        tables.append(table.astype({"row": int, "column": int, "label": int}).assign(round=number))
    return pd.concat(tables, ignore_index=True)


def labelled_runs(
    folders: Iterable[Path | str], rounds: int, methods: Sequence[str]
) -> Iterator[tuple[list, list[str], tuple[int, int], "pd.DataFrame"]]:
    """Keys, class names, image size (height, width) and answers of every run but the reference's."""
    for folder, facts in in_order(folders, methods):
        run, names = facts["run"], [entry["name"] for entry in facts["classes"]]
        if run["method"] != REFERENCE:
            yield [run[key] for key in RUN], names, facts["image_size"], read_labels(folder, rounds, len(names))


def labels_per_class(folders: Iterable[Path | str], rounds: int, methods: Sequence[str] = ()) -> "pd.DataFrame":
    """How many labelled pixels each class got from each method, over seeds; without the reference.

    Returns:
        Columns: dataset, features, budget, method, class, seeds, pixels_mean, pixels_std; the classes in their order,
        then "cannot tell".

    Raises:
        UserError: as :func:`read_labels`.
    """
    import pandas as pd

    rows = []
    for run, names, _, labels in labelled_runs(folders, rounds, methods):
        for value, name in [*enumerate(names), (IGNORED, CANNOT_TELL)]:
            rows.append([*run, name, int((labels["label"] == value).sum())])
    return over_seeds(pd.DataFrame(rows, columns=[*RUN, "class", "pixels"]), [*METHOD, "class"], ["pixels"])
