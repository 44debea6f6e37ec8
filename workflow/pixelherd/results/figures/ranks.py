"""Average ranks of methods on a line, with those joined that are not told apart: Demšar's diagram."""

from pathlib import Path
from typing import TYPE_CHECKING

from pixelherd.results.figures.style import INK, literal, save, styled
from pixelherd.results.setups import EVERY, SETUP, by_setup
from pixelherd.results.tables.ranking import groups

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@styled
def critical_differences(ranks: "pd.DataFrame", friedman: "pd.DataFrame", folder: Path | str) -> None:
    """Draw average ranks over blocks of several datasets, the best on the left (Demšar 2006, figure 1).

    Args:
        ranks: from :func:`pixelherd.results.tables.leaderboard.ranks`.
        friedman: from :func:`pixelherd.results.tables.leaderboard.friedman`, whose first row of a setup has the
            critical difference; without one nothing is joined.
        folder: ``over.all/{features}/budget-{budget}/ranks.png`` and ``.svg``, with ``over.all`` for all features
            too, are written below it.
    """
    from matplotlib.figure import Figure

    for setup, rows in by_setup(ranks[ranks["dataset"] == EVERY]):
        difference = friedman.loc[(friedman[SETUP] == list(setup)).all(axis=1), "critical_difference"].iloc[0]
        average, names = rows["rank_mean"].to_list(), [literal(name) for name in rows["method"]]
        joined = groups(average, difference) if difference > 0 else []
        half, top = (len(names) + 1) // 2, 0.6 + 0.3 * len(joined)
        figure = Figure(figsize=(7.6, 0.7 + 0.22 * (half + top + 3)), layout="constrained")
        axes = figure.subplots()
        _draw_scale(axes, len(names), difference)
        for number, (rank, name) in enumerate(zip(average, names, strict=True)):
            is_left = number < half
            height = -(top + (number if is_left else len(names) - 1 - number))
            end = 1 - 0.05 * len(names) if is_left else 1.05 * len(names)
            axes.plot([rank, rank, end], [0, height, height], color=INK, linewidth=0.8)
            text = f"{name}  {rank:.2f} " if is_left else f" {rank:.2f}  {name}"
            axes.text(end, height, text, ha="right" if is_left else "left", va="center")
        for number, ends in enumerate(joined):
            axes.plot(ends, [-0.3 * (number + 1)] * 2, color=INK, linewidth=3.5)
        axes.set_xlim(1 - 0.35 * len(names), 1.35 * len(names))
        axes.set_ylim(-(top + half), 3.2)
        axes.set_title(setup.heading, loc="left", weight="bold")
        save(figure, setup.folder(folder) / "ranks")


def _draw_scale(axes: "Axes", methods: int, difference: float) -> None:
    """Draw the line of ranks from 1 on, and above it the critical difference, as far as there is one."""
    axes.set_axis_off()
    axes.plot([1, methods], [0, 0], color=INK, linewidth=1.2)
    for place in range(1, methods + 1):
        axes.plot([place, place], [0, 0.25], color=INK, linewidth=1.2)
        axes.text(place, 0.35, str(place), ha="center", va="bottom")
    if difference > 0:
        axes.plot([1, 1 + difference], [1.8, 1.8], color=INK, linewidth=1.2, marker="|", markersize=7)
        axes.text(1 + difference / 2, 2.0, f"critical difference {difference:.2f}", ha="center", va="bottom")
