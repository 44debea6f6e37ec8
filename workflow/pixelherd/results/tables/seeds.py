"""Runs that differ in their seed alone, as one row: means, deviations, and how many seeds there are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pixelherd.results.setups import METHOD, SETUP, Setup
from pixelherd.results.tables.runs import REFERENCE

if TYPE_CHECKING:
    import pandas as pd


def over_seeds(rows: "pd.DataFrame", keys: list[str], columns: Sequence[str]) -> "pd.DataFrame":
    """Take mean and sample standard deviation (n - 1; NaN with one seed) of ``columns`` over the seeds of each group.

    Returns:
        Columns: the keys, seeds, and ``_mean`` and ``_std`` of each column.
    """
    groups = rows.groupby(keys, sort=False)
    table = groups.agg(seeds=("seed", "nunique"))
    for column in columns:
        table[f"{column}_mean"] = groups[column].mean()
        table[f"{column}_std"] = groups[column].std(ddof=1)
    return table.reset_index()


def of_value(rows: "pd.DataFrame", column: str) -> "pd.DataFrame":
    """Take the seed from rows where ``column`` is NaN, so that :func:`over_seeds` counts the seeds of its mean."""
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


def uneven_seeds(metrics: "pd.DataFrame") -> set[Setup]:
    """Find the setups whose methods do not all have the same seeds, whatever the reference has."""
    seeds = metrics[metrics["method"] != REFERENCE].groupby(METHOD)["seed"].agg(frozenset)
    kinds = seeds.groupby(SETUP).nunique()
    return {Setup(*key) for key in kinds.index[kinds > 1]}
