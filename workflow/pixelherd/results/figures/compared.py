"""Figures of methods against each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pixelherd.results.figures.style import COLOURS, INK, MARKERS, in_study, save, styled
from pixelherd.results.setups import by_setup

if TYPE_CHECKING:
    import pandas as pd


@styled
def differences(comparison: "pd.DataFrame", confidence: float, folder: Path | str, methods: Sequence[str] = ()) -> None:
    """Draw each method's difference from the one it is compared with, and its interval; a figure per budget.

    Args:
        comparison: from :func:`pixelherd.results.tables.compared.comparison`.
        confidence: coverage of its intervals.
        folder: ``{dataset}/{features}/budget-{budget}/differences.png`` and ``.svg`` are written below it.
        methods: the study's order of methods.
    """
    from matplotlib.figure import Figure

    names = in_study([*comparison["method"].unique(), *comparison["against"].unique()], methods)
    for setup, rows in by_setup(comparison):
        figure = Figure(figsize=(7.6, 1.5 + 0.32 * len(rows)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color="black", linestyle=(0, (6, 3)), linewidth=1.3)
        for place, row in enumerate(rows.itertuples()):
            look = names.index(row.method)
            colour, marker = COLOURS[look % len(COLOURS)], MARKERS[look % len(MARKERS)]
            axes.plot(
                [100 * row.difference_low, 100 * row.difference_high], [place, place], color=colour, linewidth=1.7
            )
            axes.plot(
                100 * row.difference_mean,
                place,
                marker=marker,
                markersize=10,
                color=colour,
                markeredgecolor=INK,
                markeredgewidth=1,
                zorder=3,
            )
        seeds = [f"{row.method} ({row.seeds} {'seed' if row.seeds == 1 else 'seeds'})" for row in rows.itertuples()]
        axes.set_yticks(range(len(rows)), seeds)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.spines[["top", "left"]].set_visible(False)
        axes.set_xlabel(
            f"area under the budget curve, difference from {rows['against'].iloc[0]} (points of mIoU, "
            f"{100 * confidence:g} % t-interval)"
        )
        axes.set_title(setup.heading, loc="left", weight="bold")
        save(figure, setup.folder(folder) / "differences")
