"""Figures of what was asked for, round by round, of the scores that ranked it, and of how predictions settled."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixelherd.results.figures.style import COLOURS, HATCHES, INK, MARKERS, in_study, literal, save, styled
from pixelherd.results.setups import METHOD, Setup, by_setup
from pixelherd.selection.methods import SCORES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

INFORMATION = ("bald", "dald")
"""Scores that are the mutual information between the label and the sample."""


@styled
def class_bars(counts: "pd.DataFrame", folder: Path | str, methods: Sequence[str] = ()) -> None:
    """Draw the labelled pixels per class as grouped bars, a figure per dataset, features and budget.

    Args:
        counts: from :func:`pixelherd.results.tables.asked.labels_per_class`.
        folder: ``{dataset}/{features}/budget-{budget}/labels_per_class.png`` and ``.svg`` are written below it.
        methods: the study's order of methods.
    """
    from matplotlib.figure import Figure

    names = in_study(counts["method"].unique(), methods)
    for setup, rows in by_setup(counts):
        classes, present = rows["class"].unique(), rows["method"].unique()
        # long studies break into several rows of classes rather than thin the bars
        per_panel = max(6, 170 // (len(present) + 1))
        panels = math.ceil(len(classes) / per_panel)
        per_panel = math.ceil(len(classes) / panels)
        width = min(13.0, max(6.5, 1.5 + 0.09 * per_panel * (len(present) + 2)))
        figure = Figure(figsize=(width, 1.2 + 2.5 * panels), layout="constrained")
        for number, axes in enumerate(figure.subplots(panels, sharey=True, squeeze=False)[:, 0]):
            shown = classes[number * per_panel : (number + 1) * per_panel]
            for place, method in enumerate(present):
                bars = rows[rows["method"] == method].set_index("class").loc[shown]
                look = names.index(method)
                axes.bar(
                    np.arange(len(shown)) + 0.84 * ((place + 0.5) / len(present) - 0.5),
                    bars["pixels_mean"],
                    width=0.84 / len(present),
                    yerr=bars["pixels_std"] if bars["pixels_std"].notna().any() else None,
                    error_kw={"ecolor": INK, "elinewidth": 0.7},
                    color=COLOURS[look % len(COLOURS)],
                    # without colours, two edges tell apart the two times that each hatching is used
                    edgecolor=["white", INK][look // len(HATCHES) % 2],
                    linewidth=0.4,
                    hatch=HATCHES[look % len(HATCHES)],
                    label=method if number == 0 else None,
                )
            axes.set_xticks(
                range(len(shown)), [literal(name.replace("_", " ")) for name in shown], rotation=30, ha="right"
            )
            axes.tick_params(axis="x", length=0)
            axes.set_xlim(-0.6, per_panel - 0.4)
            axes.set_ylim(bottom=0)
            axes.grid(axis="y")
            axes.spines["top"].set_visible(False)
            axes.set_ylabel("labelled pixels")
        figure.axes[0].set_title(setup.heading, loc="left", weight="bold")
        figure.legend(loc="outside right upper")
        save(figure, setup.folder(folder) / "labels_per_class")


@styled
def class_rounds(counts: "pd.DataFrame", folder: Path | str) -> None:
    """Draw how many pixels of each class every round asked for, a panel per method, a figure per budget.

    Args:
        counts: from :func:`pixelherd.results.tables.asked.labels_per_round`.
        folder: ``{dataset}/{features}/budget-{budget}/labels_per_round.png`` is written below it.
    """
    from matplotlib.figure import Figure

    for setup, rows in by_setup(counts):
        present, classes, rounds = (rows[key].unique() for key in ("method", "class", "round"))
        across = min(len(present), max(1, 36 // max(len(rounds), 6)))
        down = math.ceil(len(present) / across)
        size = (2.2 + across * (0.5 + 0.3 * max(len(rounds), 6)), 1.0 + down * (0.7 + 0.22 * len(classes)))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
        most = rows["pixels_mean"].max()
        for axes, method in itertools.zip_longest(panels, present):
            if method is None:
                axes.set_visible(False)
                continue
            grid = rows[rows["method"] == method].pivot(index="class", columns="round", values="pixels_mean")
            grid = grid.loc[classes].to_numpy()
            drawn = axes.imshow(grid, cmap="Greys", vmin=0, vmax=most, aspect="auto", interpolation="nearest")
            for (row, column), value in np.ndenumerate(grid):
                ink = "white" if value > 0.6 * most else INK
                if value > 0:
                    axes.text(
                        column,
                        row,
                        f"{value:.0f}" if value >= 10 else f"{value:.2g}",
                        ha="center",
                        va="center",
                        fontsize=6,
                        color=ink,
                        in_layout=False,  # it lies within its panel, and to measure hundreds takes seconds
                    )
            axes.set_title(method, loc="left", fontsize=9)
            axes.set_xticks(range(len(rounds)), rounds, fontsize=7)
            axes.set_yticks(range(len(classes)), [literal(name.replace("_", " ")) for name in classes], fontsize=7)
            axes.tick_params(length=0)
        figure.colorbar(drawn, ax=panels.tolist(), label="pixels asked in the round", fraction=0.03, aspect=30)
        figure.supxlabel("round", fontsize=9)
        figure.suptitle(setup.heading, weight="bold", fontsize=10, x=0.01, ha="left")
        save(figure, setup.folder(folder) / "labels_per_round", ["png"])


@styled
def score_ranges(scores: "pd.DataFrame", folder: Path | str) -> None:
    """Draw scores of pool and chosen pixels over the rounds, a panel per score, a figure per method and budget.

    Args:
        scores: from :func:`pixelherd.results.tables.asked.scores`.
        folder: ``{dataset}/{features}/budget-{budget}/scores-{method}.png`` is written below it.
    """
    from matplotlib.figure import Figure

    for (*key, method), rows in scores.groupby(METHOD, sort=False):
        setup = Setup(*key)
        names = rows["score"].unique()
        across = min(len(names), 3)
        down = math.ceil(len(names) / across)
        figure = Figure(figsize=(0.6 + 2.9 * across, 1.0 + 2.3 * down), layout="constrained")
        panels = figure.subplots(down, across, squeeze=False).ravel()
        for axes, name in itertools.zip_longest(panels, names):
            if name is None:
                axes.set_visible(False)
                continue
            parts = dict(iter(rows[rows["score"] == name].groupby("group")))
            draw_pool(axes, parts["pool"])
            draw_chosen(axes, parts["chosen"])
            if SCORES[name].has_pole:
                axes.set_yscale("symlog", linthresh=1)
            axes.set_title(f"{name} (mutual information)" if name in INFORMATION else name, loc="left", fontsize=9)
            axes.set_xticks(parts["pool"]["round"])
            axes.set_xlabel("round", fontsize=8)
            axes.tick_params(labelsize=7)
            axes.grid(axis="y")
            axes.spines["top"].set_visible(False)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), fontsize=8)
        title = f"{setup.dataset} · {setup.features} · {method} · budget {setup.budget}"
        figure.suptitle(title, weight="bold", fontsize=10, x=0.01, ha="left")
        save(figure, setup.folder(folder) / f"scores-{method}", ["png"])


def draw_pool(axes: "Axes", rows: "pd.DataFrame") -> None:
    """Draw bands of the pool's quantiles, a step per round so that two rounds are enough to see them."""
    rounds = rows["round"].to_numpy()
    edges = np.r_[rounds - 0.5, rounds[-1] + 0.5]
    for low, high, grey, label in ((5, 95, "#dcdcdc", "pool, 5–95 %"), (25, 75, "#b4b4b4", "pool, 25–75 %")):
        lower, upper = (np.r_[rows[f"q{level}"], rows[f"q{level}"].iloc[-1]] for level in (low, high))
        axes.fill_between(edges, lower, upper, step="post", color=grey, linewidth=0, label=label)
    axes.hlines(rows["q50"], edges[:-1], edges[1:], color="black", linewidth=1.2, label="pool, median")


def draw_chosen(axes: "Axes", rows: "pd.DataFrame") -> None:
    """Draw median and 5–95 % of the chosen pixels as a marker with a bar."""
    middle = rows["q50"]
    reach = [middle - rows["q5"], rows["q95"] - middle]
    look: dict[str, Any] = {"marker": "o", "markersize": 5, "markeredgecolor": "white", "linestyle": ""}
    label = "chosen, median and 5–95 %"
    axes.errorbar(rows["round"], middle, reach, color=COLOURS[1], elinewidth=1.5, label=label, **look)


@styled
def settling(stopping: "pd.DataFrame", folder: Path | str, methods: Sequence[str] = ()) -> None:
    """Draw agreement with the round before and entropy of the prediction over the rounds, a figure per budget.

    Args:
        stopping: from :func:`pixelherd.results.tables.asked.stopping`.
        folder: ``{dataset}/{features}/budget-{budget}/settling.png`` and ``.svg`` are written below it.
        methods: the study's order of methods.
    """
    from matplotlib.figure import Figure

    names = in_study(stopping["method"].unique(), methods)
    for setup, rows in by_setup(stopping):
        figure = Figure(figsize=(7.6, 3.0), layout="constrained")
        panels = {"agreement_mean": "agreement with the round before", "entropy_mean": "entropy of the prediction"}
        for axes, (column, title) in zip(figure.subplots(1, 2), panels.items(), strict=True):
            for method, line in rows.groupby("method", sort=False):
                look = names.index(method)
                colour, marker = COLOURS[look % len(COLOURS)], MARKERS[look % len(MARKERS)]
                axes.plot(
                    line["round"], line[column], color=colour, marker=marker, markeredgecolor="white", label=method
                )
            axes.set_title(title, loc="left", fontsize=9)
            axes.set_xticks(sorted(rows["round"].unique()))
            axes.set_xlabel("round")
            axes.set_ylim(bottom=0, top=1 if column == "agreement_mean" else None)
            axes.grid(axis="y")
            axes.spines["top"].set_visible(False)
        figure.axes[0].legend(fontsize=8)
        figure.suptitle(setup.heading, weight="bold", fontsize=10, x=0.01, ha="left")
        save(figure, setup.folder(folder) / "settling")
