"""Pages of methods against each other, and how differences are taken and tested."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pixelherd.results.pages.cells import columns, numbers, probabilities, wide
from pixelherd.results.pages.format import Page, Section
from pixelherd.results.setups import by_setup
from pixelherd.results.tables import statistics
from pixelherd.results.tables.runs import REFERENCE

if TYPE_CHECKING:
    import pandas as pd


def comparison_page(table: "pd.DataFrame", reference: str | None, confidence: float) -> Page:
    """Show how methods differ from one of them, if there is one."""
    title = f"Differences from {reference}"
    note = f"Area under the budget curve (percentage points of mIoU): method minus *{reference}*, {paired_note()}"
    absent = (
        f"There is nothing to compare with *{reference}* here: it has no evaluated runs, or no other method but "
        f"*{REFERENCE}* has."
    )
    if reference is None:
        title = "Differences between methods"
        absent = (
            f"There is no method to compare others with: add methods besides *{REFERENCE}*, or name one under "
            "statistics.reference."
        )
    sections = _differences(table, confidence, method=table["method"])
    return Page("comparison", title, note, sections, absent, values=table)


def stages_page(table: "pd.DataFrame", confidence: float) -> Page:
    """Show how scores that rank a herded pool differ from those that rank every pixel."""
    note = (
        "Does coverage first help? Area under the budget curve (percentage points of mIoU): a score that ranks a "
        f"herded pool minus the same score that ranks every pixel, {paired_note()}"
    )
    sections = _differences(table, confidence, method=table["method"], minus=table["against"])
    absent = "No score here ranks both a herded pool and every pixel."
    return Page("stages", "Two stages against one", note, sections, absent, values=table)


def features_page(table: "pd.DataFrame", reference: str | Mapping[str, str] | None, confidence: float) -> Page:
    """Show how methods differ from themselves on other features, one entry or one a dataset."""
    if isinstance(reference, Mapping):  # datasets that begin with other features
        reference = ", ".join(dict.fromkeys(reference.values()))
    absent = (
        "There is nothing to compare: no method here runs on other features as well, or these are the features that "
        "others are compared with."
    )
    paired = paired_note("candidate pixels and image order", "the features entries that one method runs on")
    note = (
        "Area under the budget curve (percentage points of mIoU): a method on these features minus the same method on "
        f"*{reference}*, {paired}"
    )
    sections = _differences(table, confidence, method=table["method"])
    title = f"Differences from the features {reference}" if sections else "Differences between features"
    return Page("features", title, note, sections, absent, values=table)


def _differences(table: "pd.DataFrame", confidence: float, **names: Iterable[str]) -> tuple[Section, ...]:
    """Sections of a table of differences, whose rows are called by the columns ``names``."""
    intervals = [
        "–" if math.isnan(low) else f"{low:+.2f} to {high:+.2f}"
        for low, high in zip(100 * table["difference_low"], 100 * table["difference_high"], strict=True)
    ]
    sections = columns(
        table,
        **names,
        seeds=table["seeds"].astype(str),
        difference=numbers(100 * table["difference_mean"], "+.2f"),
        **{
            f"{100 * confidence:g} % interval": intervals,
            "t-test p": probabilities(table["t_p"]),
            "Holm": probabilities(table["t_p_holm"]),
            "sign-flip p": probabilities(table["flip_p"]),
            "Holm (sign-flip)": probabilities(table["flip_p_holm"]),
            "smallest p": probabilities(table["flip_p_smallest"]),
            "smallest Holm": probabilities(table["flip_p_smallest_holm"]),
        },
    )
    few = "Where two methods share fewer than two seeds there is no test; run more seeds."
    seeds = {setup: rows["seeds"].min() for setup, rows in by_setup(table)}
    return tuple(replace(each, remark=few if seeds[each.setup] < 2 else "") for each in sections)


def paired_note(
    shared: str = "candidates, head initialisation and image order",
    family: str = "the methods of one table, not over tables",
) -> str:
    """Say how differences are taken and tested: what runs of one seed share, and over what p-values are corrected."""
    return (
        f"paired over the seeds that both have, since runs of one seed share {shared}. Two-sided p of the paired "
        f"t-test and of the sign-flip test (exact up to {statistics.EXACT_UNTIL} seeds); Holm: corrected over {family}"
        ". The t-interval is not corrected. There is neither t-test nor interval where the difference is the same in "
        "all seeds. The smallest p is what the sign-flip test can reach at best with so many seeds, alone and "
        "corrected: where it is above 0.05, that test cannot call any difference significant, however large. Seeds "
        "repeat the chance within a run; they do not cover the choice of training and test images, so nothing here "
        "speaks about other images."
    )


def wins_page(table: "pd.DataFrame") -> Page:
    """Show how often one method ends above another."""
    cells = [f"{won:g} / {seeds}" for won, seeds in zip(table["wins"], table["seeds"], strict=True)]
    sections, setups = [], dict(by_setup(table))
    for section in wide(table, "opponent", cells):
        names = list(section.table["method"])
        shares = setups[section.setup].groupby("method")["share"].mean()
        grid = section.table.set_index("method")[names].replace("", "–")
        grid["mean share (%)"] = numbers(100 * shares[names], ".0f")
        sections.append(replace(section, table=grid.reset_index()))
    note = (
        "Seeds in which the row's area under the budget curve exceeds the column's, of those that both have; equal "
        "areas are half a win. The last column is the mean share of wins over all opponents."
    )
    absent = f"No two methods besides *{REFERENCE}* are evaluated here."
    return Page("wins", "Wins of row over column", note, tuple(sections), absent, values=table)
