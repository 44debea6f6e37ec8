"""Figures of a study, made from finished run folders alone; the same bytes whenever they are drawn.

Every drawing uses matplotlib's defaults plus ``STYLE``, whatever the user's matplotlibrc says, and ``Figure`` without
pyplot, so no window system is asked for.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import choices, tables
from .errors import UserError
from .pages import SETTINGS
from .scores import SCORES
from .tables import CANNOT_TELL, IGNORED, REFERENCE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
# Okabe & Ito (2008), Color Universal Design; without black (the reference's) and yellow (faint on white)
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
THUMBNAILS = "thumbnails.npz"
GROUPS = {"train": "train image", "queried": "most queried train image", "test": "test image"}
"""Groups of a run's thumbnails, from top to bottom, and their headings."""
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
LINES = ["-", (0, (4, 1.5)), (0, (1, 1))]
HATCHES = ["", "////", "....", "\\\\\\\\", "xxxx", "----", "OO"]
UNSURE = {"train_edald": "eDALD", "train_entropy": "entropy"}
"""Arrays of a run's thumbnails that say how unsure its head is, and their headings; a run has one of them."""
INFORMATION = ("bald", "dald")
"""Scores that are the mutual information between the label and the sample."""
INK, FAINT = "#262626", "#8c8c8c"
STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "pixelherd",
    "svg.fonttype": "path",
}


def styled(draw: Callable) -> Callable:
    """Run ``draw`` with matplotlib's defaults plus ``STYLE``, and leave the caller's settings as they were."""

    @functools.wraps(draw)
    def wrapper(*args, **options):
        import matplotlib.style

        with matplotlib.style.context(["default", STYLE]):
            return draw(*args, **options)

    return wrapper


def save(figure: "Figure", path: Path, formats: Sequence[str] = ("png", "svg")) -> None:
    """Write ``figure`` as ``path`` with each suffix, without date and version, which would change the bytes."""
    without = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix in formats:
        # not with_suffix: a method's name may hold a dot
        figure.savefig(path.with_name(f"{path.name}.{suffix}"), dpi=DPI, metadata=without[suffix])


def in_study(present: Iterable[str], methods: Sequence[str]) -> list[str]:
    """The methods of a study in its order, then others that are present; without the reference."""
    return [name for name in dict.fromkeys([*methods, *sorted(present)]) if name != REFERENCE]


@styled
def learning_curves(metrics: "pd.DataFrame", folder: Path | str, methods: Sequence[str] = ()) -> None:
    """Draw mIoU over labelled pixels, a figure per dataset, features and budget.

    A line per method (mean over seeds, band of one sample standard deviation), the reference as a dashed horizontal
    line. A method has the same colour and marker in all figures of a study. Where there are more methods than colours,
    they are spread over several panels, in each of which the others are thin grey lines.

    Args:
        metrics: from :func:`pixelherd.tables.read_metrics`.
        folder: ``{dataset}/{features}/budget-{budget}/learning_curves.png`` and ``.svg`` are written below it.
        methods: the study's order of methods.
    """
    from matplotlib.figure import Figure

    curves = tables.curves(metrics)
    names = in_study(curves["method"].unique(), methods)
    for (dataset, features, budget), rows in curves.groupby(["dataset", "features", "budget"], sort=False):
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
        figure.axes[0].set_title(f"{dataset} · {features} · budget {budget}", loc="left", weight="bold")
        save(figure, Path(folder) / dataset / features / f"budget-{budget}" / "learning_curves")


def seeds_in_words(seeds: "pd.Series") -> str:
    """What lines and bands are, from the number of seeds of each method."""
    few, many = seeds.min(), seeds.max()
    if many == 1:
        return "one seed"
    return f"mean ± std of {many} seeds" if few == many else f"mean ± std of {few} to {many} seeds"


def draw_curve(axes: "Axes", line: "pd.DataFrame", number: int) -> None:
    """One method's mean and band; ``number`` is its place in the study, which fixes its looks."""
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
    """The reference's mean and band across the whole width; its own number of labels would dwarf the others."""
    mean, deviation = 100 * row["miou_mean"], 100 * row["miou_std"]
    if deviation > 0:
        axes.axhspan(mean - deviation, mean + deviation, color="black", alpha=0.08, linewidth=0)
    label = f"{row['method']} ({row['labelled_pixels']:,.10g} px)"
    axes.axhline(mean, color="black", linestyle=(0, (6, 3)), linewidth=1.3, label=label)


def draw_rounds(axes: "Axes", rows: "pd.DataFrame") -> None:
    """Ticks at the labelled pixels after each round, and the rounds' numbers above."""
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


@styled
def class_bars(counts: "pd.DataFrame", folder: Path | str, methods: Sequence[str] = ()) -> None:
    """Draw the labelled pixels per class as grouped bars, a figure per dataset, features and budget.

    Args:
        counts: from :func:`pixelherd.tables.labels_per_class`.
        folder: ``{dataset}/{features}/budget-{budget}/labels_per_class.png`` and ``.svg`` are written below it.
        methods: the study's order of methods.
    """
    from matplotlib.figure import Figure

    names = in_study(counts["method"].unique(), methods)
    for (dataset, features, budget), rows in counts.groupby(["dataset", "features", "budget"], sort=False):
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
            axes.set_xticks(range(len(shown)), [name.replace("_", " ") for name in shown], rotation=30, ha="right")
            axes.tick_params(axis="x", length=0)
            axes.set_xlim(-0.6, per_panel - 0.4)
            axes.set_ylim(bottom=0)
            axes.grid(axis="y")
            axes.spines["top"].set_visible(False)
            axes.set_ylabel("labelled pixels")
        figure.axes[0].set_title(f"{dataset} · {features} · budget {budget}", loc="left", weight="bold")
        figure.legend(loc="outside right upper")
        save(figure, Path(folder) / dataset / features / f"budget-{budget}" / "labels_per_class")


@styled
def differences(comparison: "pd.DataFrame", confidence: float, folder: Path | str, methods: Sequence[str] = ()) -> None:
    """Draw each method's difference from the one it is compared with, and its interval; a figure per budget.

    Args:
        comparison: from :func:`pixelherd.tables.comparison`.
        confidence: coverage of its intervals.
        folder: ``{dataset}/{features}/budget-{budget}/differences.png`` and ``.svg`` are written below it.
        methods: the study's order of methods.
    """
    from matplotlib.figure import Figure

    names = in_study([*comparison["method"].unique(), *comparison["against"].unique()], methods)
    for (dataset, features, budget), rows in comparison.groupby(["dataset", "features", "budget"], sort=False):
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
        axes.set_title(f"{dataset} · {features} · budget {budget}", loc="left", weight="bold")
        save(figure, Path(folder) / dataset / features / f"budget-{budget}" / "differences")


@styled
def class_rounds(counts: "pd.DataFrame", folder: Path | str) -> None:
    """Draw how many pixels of each class every round asked for, a panel per method, a figure per budget.

    Args:
        counts: from :func:`pixelherd.choices.labels_per_round`.
        folder: ``{dataset}/{features}/budget-{budget}/labels_per_round.png`` is written below it.
    """
    from matplotlib.figure import Figure

    for (dataset, features, budget), rows in counts.groupby(["dataset", "features", "budget"], sort=False):
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
                    )
            axes.set_title(method, loc="left", fontsize=9)
            axes.set_xticks(range(len(rounds)), rounds, fontsize=7)
            axes.set_yticks(range(len(classes)), [name.replace("_", " ") for name in classes], fontsize=7)
            axes.tick_params(length=0)
        figure.colorbar(drawn, ax=panels.tolist(), label="pixels asked in the round", fraction=0.03, aspect=30)
        figure.supxlabel("round", fontsize=9)
        figure.suptitle(f"{dataset} · {features} · budget {budget}", weight="bold", fontsize=10, x=0.01, ha="left")
        save(figure, Path(folder) / dataset / features / f"budget-{budget}" / "labels_per_round", ["png"])


@styled
def score_ranges(scores: "pd.DataFrame", folder: Path | str) -> None:
    """Draw scores of pool and chosen pixels over the rounds, a panel per score, a figure per method and budget.

    Args:
        scores: from :func:`pixelherd.choices.scores`.
        folder: ``{dataset}/{features}/budget-{budget}/scores-{method}.png`` is written below it.
    """
    from matplotlib.figure import Figure

    for (dataset, features, budget, method), rows in scores.groupby(tables.METHOD, sort=False):
        names = rows["score"].unique()
        across = min(len(names), 3)
        down = math.ceil(len(names) / across)
        figure = Figure(figsize=(0.6 + 2.9 * across, 1.0 + 2.3 * down), layout="constrained")
        panels = figure.subplots(down, across, squeeze=False).ravel()
        for axes, name in itertools.zip_longest(panels, names):
            if name is None:
                axes.set_visible(False)
                continue
            groups = {group: part for group, part in rows[rows["score"] == name].groupby("group")}
            draw_pool(axes, groups["pool"])
            draw_chosen(axes, groups["chosen"])
            if SCORES[name].has_pole:
                axes.set_yscale("symlog", linthresh=1)
            axes.set_title(f"{name} (mutual information)" if name in INFORMATION else name, loc="left", fontsize=9)
            axes.set_xticks(groups["pool"]["round"])
            axes.set_xlabel("round", fontsize=8)
            axes.tick_params(labelsize=7)
            axes.grid(axis="y")
            axes.spines["top"].set_visible(False)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), fontsize=8)
        title = f"{dataset} · {features} · {method} · budget {budget}"
        figure.suptitle(title, weight="bold", fontsize=10, x=0.01, ha="left")
        save(figure, Path(folder) / dataset / features / f"budget-{budget}" / f"scores-{method}", ["png"])


@styled
def settling(stopping: "pd.DataFrame", folder: Path | str, methods: Sequence[str] = ()) -> None:
    """Draw agreement with the round before and entropy of the prediction over the rounds, a figure per budget.

    Args:
        stopping: from :func:`pixelherd.choices.stopping`.
        folder: ``{dataset}/{features}/budget-{budget}/settling.png`` and ``.svg`` are written below it.
        methods: the study's order of methods.
    """
    from matplotlib.figure import Figure

    names = in_study(stopping["method"].unique(), methods)
    for (dataset, features, budget), rows in stopping.groupby(["dataset", "features", "budget"], sort=False):
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
        figure.suptitle(f"{dataset} · {features} · budget {budget}", weight="bold", fontsize=10, x=0.01, ha="left")
        save(figure, Path(folder) / dataset / features / f"budget-{budget}" / "settling")


def draw_pool(axes: "Axes", rows: "pd.DataFrame") -> None:
    """Bands of the pool's quantiles, a step per round so that two rounds are enough to see them."""
    rounds = rows["round"].to_numpy()
    edges = np.r_[rounds - 0.5, rounds[-1] + 0.5]
    for low, high, grey, label in ((5, 95, "#dcdcdc", "pool, 5–95 %"), (25, 75, "#b4b4b4", "pool, 25–75 %")):
        lower, upper = (np.r_[rows[f"q{level}"], rows[f"q{level}"].iloc[-1]] for level in (low, high))
        axes.fill_between(edges, lower, upper, step="post", color=grey, linewidth=0, label=label)
    axes.hlines(rows["q50"], edges[:-1], edges[1:], color="black", linewidth=1.2, label="pool, median")


def draw_chosen(axes: "Axes", rows: "pd.DataFrame") -> None:
    """Median and 5–95 % of the chosen pixels as a marker with a bar."""
    middle = rows["q50"]
    reach = [middle - rows["q5"], rows["q95"] - middle]
    look = {"marker": "o", "markersize": 5, "markeredgecolor": "white", "elinewidth": 1.5, "linestyle": ""}
    axes.errorbar(rows["round"], middle, reach, color=COLOURS[1], label="chosen, median and 5–95 %", **look)


def read_thumbnails(folder: Path | str) -> dict[str, np.ndarray]:
    """The arrays of a run's ``thumbnails.npz``.

    Raises:
        UserError: the file is missing or truncated, or an array is not in it.
    """
    path = Path(folder) / THUMBNAILS
    wanted = [f"{group}_{part}" for group in GROUPS for part in ("ids", "images", "truth", "prediction")]
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run the study again to make it") from None
    except Exception as error:  # zipfile, zlib and NumPy each have errors of their own for a broken file
        raise UserError(f"{path} cannot be read ({error}); delete it and run the study again") from None
    for name in wanted:
        if name not in arrays:
            raise UserError(f"{path} holds no {name}; delete it and run the study again")
    return arrays


def class_colours(classes: Sequence[dict]) -> np.ndarray:
    """Colours [256, 3] uint8 of the label values; black for values that are no class."""
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(classes)] = [entry["colour"] for entry in classes]
    return colours


def paint(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Class colours [H, W, 3] of labels [H, W]; ignored pixels are black with grey diagonal stripes."""
    picture = colours[labels]
    rows, columns = np.nonzero(labels == IGNORED)
    period = max(4, max(labels.shape) // 24)
    stripe = (rows + columns) % period < max(1, period // 4)
    picture[rows[stripe], columns[stripe]] = 110
    return picture


@styled
def overlays(run: Path | str, rounds: int, path: Path | str) -> None:
    """Draw a run's thumbnails: training images with their labelled pixels, truth, prediction and how unsure the head
    is; then the training images that most pixels were asked of; then test images.

    Thumbnails are enlarged by a whole factor without smoothing. A labelled pixel is a ring filled with its label's
    colour; a pixel that the oracle could not tell is a cross. All maps of a run share one scale.

    Args:
        run: the run's folder.
        rounds: labels of the rounds before this one are drawn; the prediction is of the run's last head.
        path: the PNG file to write.

    Raises:
        UserError: a file of the run is missing or malformed.
    """
    from matplotlib.figure import Figure

    run, path = Path(run), Path(path)
    facts, thumbnails = tables.read_run(run), read_thumbnails(run)
    identity, classes = facts["run"], facts["classes"]
    full, has_masks = identity["method"] == REFERENCE, facts.get("masks", True)
    labels = None if full else tables.read_labels(run, rounds, len(classes))
    colours = class_colours(classes)
    unsure, heading_of_unsure = next(
        ((thumbnails[name], heading) for name, heading in UNSURE.items() if name in thumbnails), (None, None)
    )

    height, width = thumbnails["train_images"].shape[1:3]
    longest = max(height, width)
    zoom = math.ceil(360 / longest) if longest <= 576 else 576 / longest
    cell_width, cell_height = round(width * zoom), round(height * zoom)
    counts = {group: len(thumbnails[f"{group}_ids"]) for group in GROUPS}
    firsts = dict(zip(GROUPS, itertools.accumulate(counts.values(), initial=0), strict=False))
    n_columns, n_rows = (3 if unsure is None else 4), sum(counts.values())
    gap, left, right, top = 12, 44, 24 if unsure is None else 84, 112
    total_width = left + n_columns * (cell_width + gap) - gap + right
    entries = legend_entries(thumbnails, labels, classes, colours, has_masks)
    legend_columns = max(1, (total_width - left) // 210)
    bottom = 30 + 27 * math.ceil(len(entries) / legend_columns)
    between = 44
    breaks = max(sum(count > 0 for count in counts.values()) - 1, 0)
    total_height = top + n_rows * (cell_height + gap) + breaks * between + bottom
    figure = Figure(figsize=(total_width / DPI, total_height / DPI))

    def cell(row: int, column: int) -> "Axes":
        x = left + column * (cell_width + gap)
        above = sum(0 < first <= row for first in set(firsts.values()) if first < n_rows)
        y = top + row * (cell_height + gap) + above * between
        box = (x, total_height - y - cell_height, cell_width, cell_height)
        axes = figure.add_axes([box[i] / (total_width, total_height)[i % 2] for i in range(4)])
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes

    def show(axes: "Axes", picture: np.ndarray, **options):
        return axes.imshow(picture, interpolation="nearest", aspect="auto", **options)

    for group, title in GROUPS.items():
        for number, image in enumerate(thumbnails[f"{group}_ids"].tolist()):
            row = [cell(firsts[group] + number, column) for column in range(n_columns if group == "train" else 3)]
            show(row[0], thumbnails[f"{group}_images"][number])
            if group == "test" or has_masks:
                show(row[1], paint(thumbnails[f"{group}_truth"][number], colours))
            show(row[2], paint(thumbnails[f"{group}_prediction"][number], colours))
            row[0].set_ylabel(image if len(image) <= 28 else f"…{image[-27:]}", fontsize=7)
            if group != "test" and labels is not None:
                draw_labels(row[0], labels[labels["image"] == image], colours)
            if group == "train" and unsure is not None:
                scale = {"vmin": float(unsure.min()), "vmax": float(unsure.max())}
                drawn = show(row[3], unsure[number].astype(np.float32), cmap="viridis", **scale)
            if number == 0:
                truth = "truth" if group == "test" or has_masks else ""
                for axes, heading in zip(row, [title, truth, "prediction", heading_of_unsure], strict=False):
                    axes.set_title(heading, fontsize=9, loc="left", pad=5)

    if unsure is not None and counts["train"]:
        x = left + n_columns * (cell_width + gap)
        bar_height = counts["train"] * (cell_height + gap) - gap
        y = total_height - top - bar_height
        bar = figure.add_axes([x / total_width, y / total_height, 14 / total_width, bar_height / total_height])
        figure.colorbar(drawn, cax=bar).outline.set_visible(False)
        bar.tick_params(labelsize=7, length=2)

    name = " · ".join(identity[key] for key in ("dataset", "features", "method"))
    drawn_rounds = "every training pixel is labelled" if full else f"labels of rounds 0 to {rounds - 1}"
    trained = "" if full else f", prediction after round {facts['rounds'] - 1}"
    subtitle = f"budget {identity['budget']}, seed {identity['seed']}; {drawn_rounds}{trained}"
    figure.text(left / total_width, 1 - 22 / total_height, name, weight="bold", fontsize=10, va="center")
    figure.text(left / total_width, 1 - 50 / total_height, subtitle, fontsize=8, va="center")
    figure.legend(
        handles=entries,
        loc="lower left",
        bbox_to_anchor=(left / total_width, 8 / total_height),
        borderaxespad=0,
        borderpad=0,
        ncols=legend_columns,
        fontsize=8,
        handlelength=1.3,
        columnspacing=1.2,
    )
    save(figure, path.with_name(path.name.removesuffix(".png")), ["png"])


def draw_labels(axes: "Axes", labels: "pd.DataFrame", colours: np.ndarray) -> None:
    """Mark the labelled pixels of one image."""
    from matplotlib.patheffects import withStroke

    # a white rim around the black one stands out on bright and on dark ground; pixels at the border stay whole
    look = {"clip_on": False, "snap": False, "path_effects": [withStroke(linewidth=3.2, foreground="white")]}
    known, unknown = labels[labels["label"] != IGNORED], labels[labels["label"] == IGNORED]
    fill = colours[known["label"]] / 255
    axes.scatter(known["column"], known["row"], s=32, c=fill, edgecolors="black", linewidths=1.3, **look)
    axes.scatter(unknown["column"], unknown["row"], s=32, c="black", marker="x", linewidths=1.6, **look)


def legend_entries(
    thumbnails: dict[str, np.ndarray],
    labels: "pd.DataFrame | None",
    classes: Sequence[dict],
    colours: np.ndarray,
    has_masks: bool,
) -> list:
    """Legend handles of the classes that the pictures show, then of ignored pixels and of the marks."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    values = [thumbnails[f"{group}_prediction"] for group in GROUPS]
    values += [thumbnails[f"{group}_truth"] for group in GROUPS if group == "test" or has_masks]
    pictured, entries, marks = len(values), [], []
    if labels is not None:
        asked = labels[labels["image"].isin([*thumbnails["train_ids"].tolist(), *thumbnails["queried_ids"].tolist()])]
        values.append(asked["label"].to_numpy())
        ring = {"marker": "o", "markersize": 6, "markerfacecolor": "white", "markeredgecolor": "black"}
        marks.append(Line2D([], [], linestyle="", **ring, label="labelled pixel"))
        if (asked["label"] == IGNORED).any():
            cross = {"marker": "x", "markersize": 6, "markeredgecolor": "black", "markeredgewidth": 1.8}
            marks.append(Line2D([], [], linestyle="", **cross, label=CANNOT_TELL))
    shown = set(np.concatenate([np.unique(value) for value in values]).tolist())
    for value, entry in enumerate(classes):
        if value in shown:
            label = entry["name"].replace("_", " ")
            entries.append(Patch(facecolor=colours[value] / 255, edgecolor=FAINT, linewidth=0.5, label=label))
    if any((value == IGNORED).any() for value in values[:pictured]):
        entries.append(Patch(facecolor="black", edgecolor="#6e6e6e", hatch="//////", linewidth=0, label="void"))
    return entries + marks


def write(
    folders: Iterable[Path | str],
    rounds: int,
    folder: Path | str,
    methods: Sequence[str] = (),
    settings: dict[str, Any] = SETTINGS,
) -> None:
    """Draw all figures of a study into ``folder/{dataset}/{features}/budget-{budget}/``.

    ``learning_curves``, ``differences`` and ``labels_per_class`` as PNG and SVG; ``labels_per_round.png``,
    ``scores-{method}.png`` of each method that ranks a pool, and ``overlay-{method}.png`` of each method's first seed
    that has thumbnails.

    Args:
        folders: finished run folders of the study.
        rounds: rounds that the study asks for.
        methods: the study's order of methods.
        settings: as for :func:`pixelherd.pages.make`.

    Raises:
        UserError: a file of a run is missing or malformed.
    """
    folders, folder = list(folders), Path(folder)
    metrics = tables.evaluated(tables.read_metrics(folders, rounds, methods))
    confidence = settings["confidence"]
    learning_curves(metrics, folder, methods)
    differences(tables.comparison(metrics, settings["reference"], confidence), confidence, folder, methods)
    class_rounds(choices.labels_per_round(folders, rounds, methods), folder)
    score_ranges(choices.scores(folders, rounds, methods), folder)
    settling(choices.stopping(folders, rounds, methods), folder, methods)
    class_bars(tables.labels_per_class(folders, rounds, methods), folder, methods)
    drawn = set()
    for run, facts in tables.in_order(folders, methods):
        identity = facts["run"]
        place = folder / identity["dataset"] / identity["features"] / f"budget-{identity['budget']}"
        path = place / f"overlay-{identity['method']}.png"
        if path not in drawn and (run / THUMBNAILS).is_file():
            overlays(run, rounds, path)
            drawn.add(path)
