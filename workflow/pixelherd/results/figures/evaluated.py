"""Figures of what evaluation on the test split gives."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pixelherd.results.figures.style import COLOURS, LINES, MARKERS, in_study, save, styled
from pixelherd.results.setups import by_setup
from pixelherd.results.tables import evaluated
from pixelherd.results.tables.runs import REFERENCE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@styled
def learning_curves(metrics: "pd.DataFrame", folder: Path | str, methods: Sequence[str] = ()) -> None:
    """Draw mIoU over labelled pixels, a figure per dataset, features and budget.

    A line per method (mean over seeds, band of one sample standard deviation), the reference as a dashed horizontal
    line. A method has the same colour and marker in all figures of a study. Where there are more methods than colours,
    they are spread over several panels, in each of which the others are thin grey lines.

    Args:
        metrics: from :func:`pixelherd.results.tables.runs.read_metrics`.
        folder: ``{dataset}/{features}/budget-{budget}/learning_curves.png`` and ``.svg`` are written below it.
        methods: the study's order of methods.
    """
    from matplotlib.figure import Figure

    curves = evaluated.curves(metrics)
    names = in_study(curves["method"].unique(), methods)
    for setup, rows in by_setup(curves):
        drawn = [method for method in names if method in set(rows["method"])]
        panels = max(1, math.ceil(len(drawn) / len(COLOURS)))
        each = max(1, math.ceil(len(drawn) / panels))
        figure = Figure(figsize=(7.6, 4.4 * panels), layout="constrained")
        for number, axes in enumerate(figure.subplots(panels, sharey=True, squeeze=False)[:, 0]):
            shown = drawn[number * each : (number + 1) * each]
            for method, line in rows.groupby("method", sort=False):
                if method == REFERENCE:
                    draw_reference(axes, line.iloc[-1])
                elif method in shown:
                    draw_curve(axes, line, names.index(method))
                else:
                    axes.plot(
                        line["labelled_pixels"], 100 * line["miou_mean"], color="#c8c8c8", linewidth=0.8, zorder=1
                    )
            draw_rounds(axes, rows[~rows["reference"]])
            axes.set_ylabel("mIoU on the test split (%)")
            axes.grid(axis="y")
            axes.margins(x=0.03)
            axes.legend(
                loc="upper left",
                bbox_to_anchor=(1.0, 1.0),
                title=seeds_in_words(rows["seeds"]),
                title_fontsize=8,
                alignment="left",
                handlelength=2.6,
            )
        axes.set_ylim(bottom=max(0, axes.get_ylim()[0]), top=min(100, axes.get_ylim()[1]))
        figure.axes[0].set_title(setup.heading, loc="left", weight="bold")
        save(figure, setup.folder(folder) / "learning_curves")


def draw_curve(axes: "Axes", line: "pd.DataFrame", number: int) -> None:
    """Draw one method's mean and band; ``number`` is its place in the study, which fixes its looks."""
    pixels, mean = line["labelled_pixels"].to_numpy(), 100 * line["miou_mean"].to_numpy()
    deviation = 100 * line["miou_std"].fillna(0).to_numpy()
    colour = COLOURS[number % len(COLOURS)]
    axes.fill_between(pixels, mean - deviation, mean + deviation, color=colour, alpha=0.13, linewidth=0)
    axes.plot(
        pixels,
        mean,
        color=colour,
        linestyle=LINES[number // len(COLOURS) % len(LINES)],
        linewidth=1.7,
        # seven markers and six colours: a pair comes back only after 42 methods
        marker=MARKERS[number % len(MARKERS)],
        markersize=6,
        markeredgecolor="white",
        markeredgewidth=0.5,
        label=line["method"].iloc[0],
    )


def draw_reference(axes: "Axes", row: "pd.Series") -> None:
    """Draw the reference's mean and band across the whole width; its own number of labels would dwarf the others."""
    mean, deviation = 100 * row["miou_mean"], 100 * row["miou_std"]
    if deviation > 0:
        axes.axhspan(mean - deviation, mean + deviation, color="black", alpha=0.08, linewidth=0)
    label = f"{row['method']} ({row['labelled_pixels']:,.10g} px)"
    axes.axhline(mean, color="black", linestyle=(0, (6, 3)), linewidth=1.3, label=label)


def draw_rounds(axes: "Axes", rows: "pd.DataFrame") -> None:
    """Put ticks at the labelled pixels after each round, and the rounds' numbers above."""
    if rows.empty:
        axes.set_xticks([])
        return
    longest = rows.loc[rows["method"] == rows.loc[rows["round"].idxmax(), "method"]]
    # at most a dozen ticks, and always the last round
    shown = longest.iloc[:: -max(1, math.ceil(len(longest) / 12))]
    pixels = shown["labelled_pixels"].to_list()
    axes.set_xticks(pixels, [f"{value:,.10g}" for value in pixels])
    axes.set_xlabel("labelled pixels")
    above = axes.secondary_xaxis("top")
    above.set_xticks(pixels, [str(value) for value in shown["round"]])
    above.set_xlabel("after round", fontsize=8)
    above.tick_params(labelsize=8)


def seeds_in_words(seeds: "pd.Series") -> str:
    """Say what lines and bands are, from the number of seeds of each method."""
    few, many = seeds.min(), seeds.max()
    if many == 1:
        return "one seed"
    return f"mean ± std of {many} seeds" if few == many else f"mean ± std of {few} to {many} seeds"
