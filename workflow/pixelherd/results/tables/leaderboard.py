"""Tables of methods in order: in each setup, over all of them, and how far an order can be trusted.

A *block* is a dataset × features with the mean of each method over the seeds that all methods have there. Seeds are no
blocks: they repeat one setup, and counting each as a data set of its own would be pseudo-replication.
"""

import zlib
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from pixelherd.results.setups import EVERY, METHOD, SETUP, Setup, by_setup
from pixelherd.results.tables import ranking
from pixelherd.results.tables.compared import areas_by_seed, comparison
from pixelherd.results.tables.evaluated import area_by_run, last_round
from pixelherd.results.tables.runs import REFERENCE
from pixelherd.results.tables.seeds import over_seeds
from pixelherd.results.tables.statistics import holm

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

CHANCES = ["p_worse", "p_same", "p_better"]

POINTS = {"seeds_for_half": 0.005, "seeds_for_one": 0.01, "seeds_for_two": 0.02}
"""Differences in mIoU for which the seeds needed are counted."""

SEEDS, FEATURES, DATASETS = "seeds", "features", "datasets"
"""What two leaderboards that are compared differ in."""


def _generator(*key: object) -> "np.random.Generator":
    """A generator keyed by what is compared, so that no other row of a table changes it."""
    import numpy as np

    return np.random.default_rng(zlib.crc32("/".join(map(str, key)).encode()))


def leaderboard(metrics: "pd.DataFrame", reference: str | None, confidence: float, rope: float) -> "pd.DataFrame":
    """Rank the methods of each setup by the mean area under their budget curves, the best first.

    Returns:
        Columns: dataset, features, budget, method, seeds, rank_area, miou_area_mean, miou_area_std, rank_final,
        miou_mean, miou_std (of the last round), against, difference_mean, difference_low, difference_high (of the area,
        from :func:`.comparison`), p_worse, p_same, p_better (signed ranks of the seeds both have, Bayes; same is within
        ``rope``). What has nothing to be compared with is NaN.
    """
    import pandas as pd

    tested = metrics[metrics["method"] != REFERENCE]
    table = over_seeds(area_by_run(tested), METHOD, ["miou_area"])
    table = table.merge(over_seeds(last_round(tested), METHOD, ["miou"]).drop(columns="seeds"), on=METHOD)
    for rank, column in (("rank_area", "miou_area_mean"), ("rank_final", "miou_mean")):
        table[rank] = table.groupby(SETUP)[column].rank(ascending=False)
    compared = comparison(tested, reference, confidence)
    columns = [*METHOD, "against", "difference_mean", "difference_low", "difference_high"]
    table = table.merge(compared[columns].astype({name: object for name in METHOD}), on=METHOD, how="left")
    chances = {
        (*key.values(), method): _chances(areas[method] - areas[reference], rope, *key.values(), method)
        for key, areas in areas_by_seed(tested)
        if reference in areas
        for method in areas.columns.drop(reference)
    }
    nothing = (float("nan"),) * 3
    found = [chances.get(key, nothing) for key in table[METHOD].itertuples(index=False, name=None)]
    table[CHANCES] = pd.DataFrame(found, columns=CHANCES, index=table.index)
    order = table.groupby(SETUP, sort=False).ngroup()
    table = table.iloc[sorted(range(len(table)), key=lambda row: (order[row], table["rank_area"][row]))]
    areas_columns = ["rank_area", "miou_area_mean", "miou_area_std", "rank_final", "miou_mean", "miou_std"]
    return table[[*METHOD, "seeds", *areas_columns, *columns[len(METHOD) :], *CHANCES]].reset_index(drop=True)


def _chances(differences: "pd.Series", rope: float, *key: object) -> tuple[float, float, float]:
    known = differences.dropna()
    return ranking.signed_rank(known, rope, _generator(*key)) if len(known) else (float("nan"),) * 3


class Blocks(NamedTuple):
    """Means over common seeds of one budget.

    Attributes:
        area, final: [(dataset, features), method], of the methods that all blocks have.
    """

    area: "pd.DataFrame"
    final: "pd.DataFrame"


def blocks_of(metrics: "pd.DataFrame") -> Iterator[tuple[Setup, Blocks]]:
    """Yield blocks of each budget that share methods and seeds, where they are several.

    All of them, under the setup with ``EVERY`` for both; those of one features entry, a dataset each; those of one
    dataset. Each group has the methods and seeds of its own: what runs on one kind of features alone is compared there.
    """
    tested = metrics[metrics["method"] != REFERENCE]
    values = area_by_run(tested).merge(last_round(tested)[[*METHOD, "seed", "miou"]], on=[*METHOD, "seed"])
    for budget, rows in values.groupby("budget", sort=False):
        groups = [(Setup(EVERY, EVERY, str(budget)), rows)]
        groups += [(Setup(EVERY, str(key), str(budget)), some) for key, some in rows.groupby("features", sort=False)]
        groups += [(Setup(str(key), EVERY, str(budget)), some) for key, some in rows.groupby("dataset", sort=False)]
        for number, (setup, some) in enumerate(groups):
            blocks = _common(some)
            if blocks is not None and not (number and len(some) == len(rows)):
                yield setup, blocks


def _common(rows: "pd.DataFrame") -> Blocks | None:
    """Means over the seeds that all methods have in a block, of methods that all blocks have; None where too few."""
    by_block = rows.groupby(["dataset", "features"], sort=False)
    everywhere = set.intersection(*by_block["method"].agg(set))
    kept = rows[rows["method"].isin(everywhere)]
    counts = kept.groupby(["dataset", "features", "seed"])["method"].transform("nunique")
    means = kept[counts == len(everywhere)].groupby(["dataset", "features", "method"], sort=False)
    tables = [
        means[column].mean().unstack("method").reindex(columns=kept["method"].unique())
        for column in ("miou_area", "miou")
    ]
    return Blocks(*tables) if len(everywhere) > 1 and len(tables[0]) > 1 else None


def ranks(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """Average the ranks of methods over blocks: over all, over a feature's datasets, and over a dataset's features.

    Returns:
        Columns: dataset, features (``EVERY`` where it is averaged over), budget, method, blocks, rank_mean, rank_best,
        rank_worst, miou_area_mean; the best first.
    """
    import pandas as pd

    rows = []
    for setup, blocks in blocks_of(metrics):
        placed = pd.DataFrame(ranking.ranks(blocks.area), columns=blocks.area.columns)
        for method in placed.mean().sort_values(kind="stable").index:
            of = placed[method]
            rows.append([*setup, method, len(of), of.mean(), of.min(), of.max(), blocks.area[method].mean()])
    return pd.DataFrame(rows, columns=[*METHOD, "blocks", "rank_mean", "rank_best", "rank_worst", "miou_area_mean"])


def friedman(metrics: "pd.DataFrame", confidence: float) -> "pd.DataFrame":
    """Test whether methods differ over blocks of several datasets.

    Over all blocks, over those blocks with the mean of a dataset's features as one, and over the datasets of one
    features entry.

    Returns:
        Columns: dataset, features, budget, block, blocks, methods, chi2, chi2_p, f, f_p, critical_difference; NaN where
        blocks or methods are too few.
    """
    import pandas as pd

    rows = []
    for setup, blocks in blocks_of(metrics):
        if setup.dataset != EVERY:
            continue
        kinds = {"dataset × features": blocks.area, "dataset": blocks.area.groupby(level="dataset", sort=False).mean()}
        if setup.features != EVERY:
            del kinds["dataset × features"]
        for kind, area in kinds.items():
            found = ranking.friedman(area, confidence)
            tests = [found.chi2, found.chi2_p, found.f, found.f_p, found.critical_difference]
            rows.append([*setup, kind, found.blocks, found.methods, *tests])
    names = ["block", "blocks", "methods", "chi2", "chi2_p", "f", "f_p", "critical_difference"]
    return pd.DataFrame(rows, columns=[*SETUP, *names])


def signed_ranks(metrics: "pd.DataFrame", confidence: float, rope: float) -> "pd.DataFrame":
    """Compare every two methods over blocks: Nemenyi, Wilcoxon (Holm over all pairs) and Bayes's signed ranks.

    Returns:
        Columns: dataset (``EVERY``), features, budget, method, against, blocks, difference_mean (of the area),
        rank_difference (positive: the method ranks better), nemenyi (whether it exceeds the critical difference),
        wilcoxon_p, wilcoxon_p_holm, p_worse, p_same (within ``rope``), p_better.
    """
    import pandas as pd

    names = ["blocks", "difference_mean", "rank_difference", "nemenyi", "wilcoxon_p"]
    parts = []
    for setup, blocks in blocks_of(metrics):
        if setup.dataset != EVERY:
            continue
        found = ranking.friedman(blocks.area, confidence)
        average = dict(zip(blocks.area.columns, found.average, strict=True))
        rows = []
        for method, other in combinations(blocks.area.columns, 2):
            differences, apart = blocks.area[method] - blocks.area[other], average[other] - average[method]
            chances = _chances(differences, rope, *setup, method, other)
            numbers = [len(differences), differences.mean(), apart, abs(apart) > found.critical_difference]
            rows.append([*setup, method, other, *numbers, ranking.wilcoxon(differences), *chances])
        part = pd.DataFrame(rows, columns=[*METHOD, "against", *names, *CHANCES])
        part.insert(part.columns.get_loc("wilcoxon_p") + 1, "wilcoxon_p_holm", holm(part["wilcoxon_p"]))
        parts.append(part)
    columns = [*METHOD, "against", *names, "wilcoxon_p_holm", *CHANCES]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def stability(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """Correlate leaderboards (Spearman): of even and odd seeds, of two features on a dataset, of two datasets.

    The halves of the seeds tell how much of the order is luck; no two features can agree by more than that.

    Returns:
        Columns: dataset, features (``EVERY`` where two of them are compared), budget, between, first, second, methods
        (that both have; below 3 there is no row), spearman_area, spearman_final, best (of the first, by area), and
        best_rank (its rank in the second).
    """
    import pandas as pd

    tested = metrics[metrics["method"] != REFERENCE]
    values = area_by_run(tested).merge(last_round(tested)[[*METHOD, "seed", "miou"]], on=[*METHOD, "seed"])
    rows = []
    for setup, runs in by_setup(values):
        halves = [_means(runs[runs["seed"] % 2 == rest]) for rest in (0, 1)]
        rows += _agreement(setup, SEEDS, ("even", "odd"), *halves)
    whole = {setup: _means(runs) for setup, runs in by_setup(values)}
    for one, other in combinations(whole, 2):
        if one.budget == other.budget and one.dataset == other.dataset:
            place = Setup(one.dataset, EVERY, one.budget)
            rows += _agreement(place, FEATURES, (one.features, other.features), whole[one], whole[other])
        elif one.budget == other.budget and one.features == other.features:
            place = Setup(EVERY, one.features, one.budget)
            rows += _agreement(place, DATASETS, (one.dataset, other.dataset), whole[one], whole[other])
    names = ["between", "first", "second", "methods", "spearman_area", "spearman_final", "best", "best_rank"]
    return pd.DataFrame(rows, columns=[*SETUP, *names])


def _means(runs: "pd.DataFrame") -> "pd.DataFrame":
    return runs.groupby("method", sort=False)[["miou_area", "miou"]].mean()


def _agreement(
    place: Setup, between: str, names: tuple[str, str], one: "pd.DataFrame", other: "pd.DataFrame"
) -> list[list[object]]:
    """The row of two leaderboards [method, (miou_area, miou)]; none where they share fewer than three methods."""
    both = one.index.intersection(other.index, sort=False)
    if len(both) < 3:
        return []
    one, other = one.loc[both], other.loc[both]
    found = [one[column].corr(other[column], method="spearman") for column in ("miou_area", "miou")]
    best = one["miou_area"].idxmax()
    return [[*place, between, *names, len(both), *found, best, other["miou_area"].rank(ascending=False)[best]]]


def power(metrics: "pd.DataFrame", reference: str | None, confidence: float) -> "pd.DataFrame":
    """Count the seeds with which a paired t-test finds a difference in the area in four cases of five.

    Returns:
        Columns: dataset, features, budget, method, against, seeds, difference_std, detectable (the difference that
        these seeds find), seeds_for_half, seeds_for_one, seeds_for_two (points of mIoU), and seeds_for_one_corrected,
        for which the level is divided by the number of methods compared, as Holm's correction does at worst.
    """
    import pandas as pd

    table = comparison(metrics[metrics["method"] != REFERENCE], reference, confidence)
    level, rows = 1 - confidence, []
    for setup, found in by_setup(table):
        for row in found.itertuples():
            std = row.difference_std
            needed = [ranking.seeds_needed(size, std, level) for size in POINTS.values()]
            corrected = ranking.seeds_needed(0.01, std, level / len(found))
            detectable = ranking.detectable(std, row.seeds, level)
            rows.append([*setup, row.method, row.against, row.seeds, std, detectable, *needed, corrected])
    names = ["against", "seeds", "difference_std", "detectable", *POINTS, "seeds_for_one_corrected"]
    return pd.DataFrame(rows, columns=[*METHOD, *names])
