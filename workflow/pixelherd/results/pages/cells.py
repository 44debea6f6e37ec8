"""Numbers as the text of cells, and cells as the sections of a page."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pixelherd.results.pages.format import Section, literal
from pixelherd.results.setups import by_setup
from pixelherd.results.tables.runs import REFERENCE

if TYPE_CHECKING:
    import pandas as pd


def spread(table: "pd.DataFrame", name: str, scale: float = 100) -> list[str]:
    """Write ``name_mean ± name_std`` of every row with one decimal, no ± with one seed, – for none; in percent."""
    means, deviations = table[f"{name}_mean"] * scale, table[f"{name}_std"] * scale
    return [
        text if math.isnan(deviation) else f"{text} ± {deviation:.1f}"
        for text, deviation in zip(numbers(means, ".1f"), deviations, strict=True)
    ]


def numbers(values: Iterable[float], digits: str) -> list[str]:
    """Write numbers in a format, – for NaN."""
    return ["–" if math.isnan(value) else f"{value:{digits}}" for value in values]


def probabilities(values: Iterable[float]) -> list[str]:
    """Write p-values with three digits, – for NaN."""
    return [text if text != "0.000" else "< 0.001" for text in numbers(values, ".3f")]


def method_names(table: "pd.DataFrame") -> list[str]:
    """Name the method of every row, the reference emphasised."""
    return [f"*{method}*" if method == REFERENCE else method for method in table["method"]]


def columns(table: "pd.DataFrame", **cells: Iterable[str]) -> tuple[Section, ...]:
    """Make sections with the given columns, whose cells belong to the table's rows; ``_`` in a name becomes a space."""
    import pandas as pd

    text = pd.DataFrame({name.replace("_", " "): list(values) for name, values in cells.items()}, index=table.index)
    return tuple(Section(setup, text.loc[rows.index]) for setup, rows in by_setup(table))


def wide(
    table: "pd.DataFrame", column: str, cells: Iterable[str], index: Sequence[str] = ("method",)
) -> tuple[Section, ...]:
    """Make sections with a row per ``index`` and a column per value of ``column``.

    Columns ascend where their values are numbers; rows and other columns stay as they come.
    """
    sections, is_number = [], table[column].dtype.kind in "iuf"
    for setup, rows in by_setup(table.assign(cell=list(cells))):
        grid = rows.pivot(index=list(index), columns=column, values="cell")
        order = rows[list(index)].drop_duplicates().itertuples(index=False, name=None)
        order = [entry[0] if len(index) == 1 else entry for entry in order]
        names = sorted(rows[column].unique()) if is_number else rows[column].unique()
        grid = grid.reindex(index=order, columns=names).fillna("").rename_axis(columns=None)
        grid.columns = [f"{name:,.10g}" if is_number else literal(name) for name in names]
        sections.append(Section(setup, grid.reset_index(names=list(index)).astype(str)))
    return tuple(sections)
