"""Pages of methods in order, in each setup and over all of them."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pixelherd.results.pages.cells import columns, numbers, probabilities, spread
from pixelherd.results.pages.format import Page
from pixelherd.results.setups import SETUP
from pixelherd.results.tables.leaderboard import CHANCES, POINTS

if TYPE_CHECKING:
    import pandas as pd

ONE_BLOCK = "It takes several datasets or features with the same methods and seeds; here are none."


def leaderboard_page(table: "pd.DataFrame", reference: str | None, confidence: float, rope: float) -> Page:
    """Show the methods of each setup that has several, the best first."""
    values, table = table, table[table.groupby(SETUP)["method"].transform("size") > 1]
    intervals = [
        "–" if math.isnan(low) else f"{low:+.2f} to {high:+.2f}"
        for low, high in zip(100 * table["difference_low"], 100 * table["difference_high"], strict=True)
    ]
    sections = columns(
        table,
        rank=numbers(table["rank_area"], "g"),
        method=table["method"],
        seeds=table["seeds"].astype(str),
        area=spread(table, "miou_area"),
        final_rank=numbers(table["rank_final"], "g"),
        final=spread(table, "miou"),
        difference=numbers(100 * table["difference_mean"], "+.2f"),
        **{f"{100 * confidence:g} % interval": intervals},
        worse=numbers(table["p_worse"], ".2f"),
        same=numbers(table["p_same"], ".2f"),
        better=numbers(table["p_better"], ".2f"),
    )
    against = f"method minus *{reference}*" if reference else "none, since no method is named to compare with"
    note = (
        "Methods by the mean area under their budget curves (percentage points of mIoU), and by the mIoU after the "
        f"last round. Difference: of the area, {against}, seed by seed, with its t-interval, uncorrected. Worse, same, "
        "better: probabilities by Bayes's signed ranks of the seeds (Benavoli et al. 2017), where the same is a "
        f"difference of at most {100 * rope:g} points. A rank says nothing of how far the next is: read it with "
        "the interval."
    )
    absent = "It takes two methods that are evaluated on test images."
    return Page("leaderboard", "Leaderboard", note, sections, absent, values=values)


def ranks_page(table: "pd.DataFrame") -> Page:
    """Show average ranks over datasets and features."""
    sections = columns(
        table,
        method=table["method"],
        blocks=table["blocks"].astype(str),
        average_rank=numbers(table["rank_mean"], ".2f"),
        best=numbers(table["rank_best"], "g"),
        worst=numbers(table["rank_worst"], "g"),
        mean_area=numbers(100 * table["miou_area_mean"], ".1f"),
    )
    note = (
        "Ranks by the area under the budget curve, averaged over blocks. A block is a dataset with one kind of "
        "features and the mean over the seeds that all of its methods have; methods that a block lacks are left out."
    )
    return Page("ranks", "Average ranks", note, sections, ONE_BLOCK, values=table)


def friedman_page(table: "pd.DataFrame", confidence: float) -> Page:
    """Show whether methods differ over blocks at all."""
    sections = columns(
        table,
        block=table["block"],
        blocks=table["blocks"].astype(str),
        methods=table["methods"].astype(str),
        **{"χ²": numbers(table["chi2"], ".2f"), "χ² p": probabilities(table["chi2_p"])},
        F=numbers(table["f"], ".2f"),
        **{"F p": probabilities(table["f_p"])},
        critical_difference=numbers(table["critical_difference"], ".2f"),
    )
    note = (
        "Friedman's test that all methods have the same average rank, F by Iman and Davenport, and Nemenyi's critical "
        f"difference at {100 * (1 - confidence):g} %: average ranks that are further apart differ (Demšar 2006). "
        "Seeds are no blocks: they repeat one setup. Blocks of one dataset share its images, so the first row calls "
        "too much significant, and the second, a block a dataset, can hardly call anything; the truth lies between."
    )
    return Page("friedman", "Do methods differ over datasets?", note, sections, ONE_BLOCK, values=table)


def signed_ranks_page(table: "pd.DataFrame", confidence: float, rope: float) -> Page:
    """Show every two methods against each other over blocks."""
    sections = columns(
        table,
        method=table["method"],
        minus=table["against"],
        blocks=table["blocks"].astype(str),
        difference=numbers(100 * table["difference_mean"], "+.2f"),
        ranks_apart=numbers(table["rank_difference"], "+.2f"),
        Nemenyi=["differ" if differ else "–" for differ in table["nemenyi"]],
        **{"Wilcoxon p": probabilities(table["wilcoxon_p"]), "Holm": probabilities(table["wilcoxon_p_holm"])},
        **{name.removeprefix("p_"): numbers(table[name], ".2f") for name in CHANCES},
    )
    note = (
        "Every two methods over blocks, by the area under the budget curve (points of mIoU). Nemenyi: whether average "
        f"ranks are further apart than the critical difference at {100 * (1 - confidence):g} %. Wilcoxon's signed "
        "ranks, Holm over all pairs. Worse, same, better: probabilities by Bayes's signed ranks, the same being a "
        f"difference of at most {100 * rope:g} points; of a few blocks its prior is a good part."
    )
    return Page("signed_ranks", "Every two methods over datasets", note, sections, ONE_BLOCK, values=table)


def stability_page(table: "pd.DataFrame") -> Page:
    """Show how far leaderboards agree."""
    sections = columns(
        table,
        between=table["between"],
        first=table["first"],
        second=table["second"],
        methods=table["methods"].astype(str),
        area=numbers(table["spearman_area"], "+.2f"),
        final=numbers(table["spearman_final"], "+.2f"),
        best_of_the_first=table["best"],
        its_rank_in_the_second=numbers(table["best_rank"], "g"),
    )
    note = (
        "Spearman's rank correlation of two leaderboards, by area and by the mIoU after the last round. Between the "
        "even and the odd seeds of one setup it tells how much of the order is luck; between features, or datasets, "
        "whether what wins on one wins on another: they can hardly agree more than halves of the seeds do."
    )
    absent = "It takes three methods with several seeds, features or datasets; here are not as many."
    return Page("stability", "How stable is the order?", note, sections, absent, values=table)


def power_page(table: "pd.DataFrame", reference: str | None, confidence: float) -> Page:
    """Show how many seeds a difference takes."""
    level, heads = 100 * (1 - confidence), [f"seeds for {100 * size:g} points" for size in POINTS.values()]
    sections = columns(
        table,
        method=table["method"],
        seeds=table["seeds"].astype(str),
        std=numbers(100 * table["difference_std"], ".2f"),
        detectable=numbers(100 * table["detectable"], ".2f"),
        **{head: _counts(table[name]) for head, name in zip(heads, POINTS, strict=True)},
        **{"for 1, corrected": _counts(table["seeds_for_one_corrected"])},
    )
    note = (
        "Seeds with which the two-sided paired t-test finds a difference in area in four cases of five, from the "
        f"standard deviation (points) of the differences measured here, method minus *{reference}*; level {level:g} %. "
        "Detectable: the difference that the seeds of here find. Corrected: the level divided by the number of "
        "methods, Holm's at worst. A standard deviation of few seeds is itself uncertain: of five it may be "
        "twice as large."
    )
    absent = "It takes two methods with two common seeds, one of them the one to compare with."
    return Page("power", "How many seeds does it take?", note, sections, absent, values=table)


def _counts(values: Iterable[float]) -> list[str]:
    return ["–" if math.isnan(value) else "> 10,000" if math.isinf(value) else f"{value:,.0f}" for value in values]
