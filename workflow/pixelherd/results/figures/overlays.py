"""Figures of a run's thumbnails: images with what was labelled, truth, prediction and how unsure the head is."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixelherd.datasets.classes import IGNORED, ClassInfo
from pixelherd.errors import UserError
from pixelherd.results.figures.style import FAINT, canvas, literal, save, styled
from pixelherd.results.tables.runs import CANNOT_TELL, FinishedRun, read_labels, read_run
from pixelherd.study.paths import THUMBNAILS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

GROUPS = {"train": "train image", "queried": "most queried train image", "test": "test image"}
"""Groups of a run's thumbnails, from top to bottom, and their headings."""

UNSURE = {"train_edald": "eDALD", "train_entropy": "entropy"}
"""Arrays of a run's thumbnails that say how unsure its head is, and their headings; a run has one of them."""

GAP, BETWEEN, LEFT, TOP = 12, 44, 44, 112
"""Pixels between pictures, between groups of them, and left of and above all of them."""


def read_thumbnails(folder: Path | str) -> dict[str, np.ndarray]:
    """Read the arrays of a run's thumbnails.

    Raises:
        UserError: the file is missing or truncated, or an array is not in it.
    """
    path = Path(folder) / THUMBNAILS
    wanted = [f"{group}_{part}" for group in GROUPS for part in ("ids", "images", "truth", "prediction")]
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UserError(f"{path} is missing", remedy="run the study again to make it") from None
    except Exception as error:  # zipfile, zlib and NumPy each have errors of their own for a broken file
        raise UserError(f"{path} cannot be read ({error})", remedy="delete it and run the study again") from None
    for name in wanted:
        if name not in arrays:
            raise UserError(f"{path} holds no {name}", remedy="delete it and run the study again")
    return arrays


def class_colours(classes: Sequence[ClassInfo]) -> np.ndarray:
    """Return the colours [256, 3] uint8 of label values; black for values that are no class."""
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(classes)] = [each.colour for each in classes]
    return colours


def paint(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return the class colours [H, W, 3] of labels [H, W]; ignored pixels are black with grey diagonal stripes."""
    picture = colours[labels]
    rows, columns = np.nonzero(labels == IGNORED)
    period = max(4, max(labels.shape) // 24)
    stripe = (rows + columns) % period < max(1, period // 4)
    picture[rows[stripe], columns[stripe]] = 110
    return picture


@dataclass(frozen=True)
class Pictured:
    """What an overlay shows of a run.

    Attributes:
        run: the run.
        arrays: its thumbnails, from :func:`read_thumbnails`.
        labels: its answers so far, from :func:`pixelherd.results.tables.runs.read_labels`; None of the reference.
    """

    run: FinishedRun
    arrays: dict[str, np.ndarray]
    labels: "pd.DataFrame | None"

    @cached_property
    def colours(self) -> np.ndarray:
        """Colours [256, 3] uint8 of label values."""
        return class_colours(self.run.classes)

    @cached_property
    def unsure(self) -> str | None:
        """The name of the array that says how unsure the head is, if there is one."""
        return next((name for name in UNSURE if name in self.arrays), None)

    def ids(self, group: str) -> list[str]:
        """List the images of a group."""
        return self.arrays[f"{group}_ids"].tolist()

    def has_truth(self, group: str) -> bool:
        """Tell whether the images of a group have masks to show."""
        return group == "test" or self.run.has_masks


@dataclass(frozen=True)
class Grid:
    """Where the parts of an overlay lie, in pixels: a row per image, groups apart, a legend below.

    Attributes:
        rows: images of each group.
        thumbnail: (height, width) of a thumbnail.
        columns: pictures of an image, the last of them with a colour bar where there are four.
        entries: entries of the legend.
    """

    rows: dict[str, int]
    thumbnail: tuple[int, int]
    columns: int
    entries: int

    @cached_property
    def picture(self) -> tuple[int, int]:
        """(height, width) of a picture: enlarged by a whole factor, unless the thumbnail is large."""
        height, width = self.thumbnail
        longest = max(height, width)
        zoom = math.ceil(360 / longest) if longest <= 576 else 576 / longest
        return round(height * zoom), round(width * zoom)

    @cached_property
    def first(self) -> dict[str, int]:
        """The first row of each group."""
        return dict(zip(self.rows, itertools.accumulate(self.rows.values(), initial=0), strict=False))

    @cached_property
    def width(self) -> int:
        """Width of the whole overlay."""
        return LEFT + self.columns * (self.picture[1] + GAP) - GAP + (24 if self.columns == 3 else 84)

    @cached_property
    def legend_columns(self) -> int:
        """Columns of the legend that there is room for."""
        return max(1, (self.width - LEFT) // 210)

    @cached_property
    def height(self) -> int:
        """Height of the whole overlay."""
        breaks = max(sum(count > 0 for count in self.rows.values()) - 1, 0)
        legend = 30 + 27 * math.ceil(self.entries / self.legend_columns)
        return TOP + sum(self.rows.values()) * (self.picture[0] + GAP) + breaks * BETWEEN + legend

    def place(self, row: int, column: int) -> tuple[int, int]:
        """Return x and y of the upper left corner of a picture."""
        height, width = self.picture
        above = sum(0 < first <= row for first in set(self.first.values()) if first < sum(self.rows.values()))
        return LEFT + column * (width + GAP), TOP + row * (height + GAP) + above * BETWEEN

    def bar(self, figure: "Figure", rows: int) -> "Axes":
        """Add axes for a colour bar right of the first ``rows`` rows."""
        height = rows * (self.picture[0] + GAP) - GAP
        x, y = self.place(0, self.columns)[0], self.height - TOP - height
        return figure.add_axes((x / self.width, y / self.height, 14 / self.width, height / self.height))


@dataclass(frozen=True)
class Cell:
    """Where a picture is drawn.

    Attributes:
        axes: those of the whole overlay, see :func:`canvas`.
        corner: x and y of its upper left corner.
        size: (height, width).
    """

    axes: "Axes"
    corner: tuple[int, int]
    size: tuple[int, int]

    def draw(self, picture: np.ndarray, **options: Any) -> "AxesImage":
        """Fill it with a picture, pixel by pixel."""
        (x, y), (height, width) = self.corner, self.size
        extent = (x, x + width, y + height, y)
        return self.axes.imshow(picture, extent=extent, interpolation="nearest", aspect="auto", **options)

    def write(self, right: float, down: float, text: str, **look: Any) -> None:
        """Write a text so many pixels from its upper left corner."""
        self.axes.text(self.corner[0] + right, self.corner[1] + down, text, **look)


@styled
def overlay(run: Path | str, rounds: int, path: Path | str) -> None:
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
    finished, arrays, path = read_run(run), read_thumbnails(run), Path(path)
    labels = None if finished.is_reference else read_labels(finished.folder, rounds, len(finished.classes))
    shown = Pictured(finished, arrays, labels)
    entries = legend_entries(shown)
    rows = {group: len(shown.ids(group)) for group in GROUPS}
    height, width = arrays["train_images"].shape[1:3]
    grid = Grid(rows, (height, width), 4 if shown.unsure else 3, len(entries))
    figure, axes = canvas(grid.width, grid.height)
    scale = None
    for group in GROUPS:
        columns = 4 if group == "train" and shown.unsure else 3
        for number in range(rows[group]):
            row = grid.first[group] + number
            cells = [Cell(axes, grid.place(row, column), grid.picture) for column in range(columns)]
            draw_image(cells, shown, group, number)
            if columns == 4:
                scale = draw_unsure(cells[3], shown, number)
            if number == 0:
                draw_headings(cells, shown, group)
    if scale is not None:
        bar = grid.bar(figure, rows["train"])
        figure.colorbar(scale, cax=bar).outline.set_visible(False)
        bar.tick_params(labelsize=7, length=2)
    draw_title(axes, finished, rounds)
    figure.legend(
        handles=entries,
        loc="lower left",
        bbox_to_anchor=(LEFT / grid.width, 8 / grid.height),
        borderaxespad=0,
        borderpad=0,
        ncols=grid.legend_columns,
        fontsize=8,
        handlelength=1.3,
        columnspacing=1.2,
    )
    save(figure, path.with_name(path.name.removesuffix(".png")), ["png"])


def draw_image(cells: Sequence[Cell], shown: Pictured, group: str, number: int) -> None:
    """Draw image ``number`` of a group with its labelled pixels, its truth and its prediction."""
    name = shown.ids(group)[number]
    cells[0].draw(shown.arrays[f"{group}_images"][number])
    if shown.has_truth(group):
        cells[1].draw(paint(shown.arrays[f"{group}_truth"][number], shown.colours))
    cells[2].draw(paint(shown.arrays[f"{group}_prediction"][number], shown.colours))
    called = literal(name if len(name) <= 28 else f"…{name[-27:]}")
    cells[0].write(-8, cells[0].size[0] / 2, called, rotation=90, ha="right", va="center", fontsize=7)
    if group != "test" and shown.labels is not None:
        thumbnail = shown.arrays[f"{group}_images"].shape[1:3]
        draw_labels(cells[0], shown.labels[shown.labels["image"] == name], thumbnail, shown.colours)


def draw_unsure(cell: Cell, shown: Pictured, number: int) -> "AxesImage":
    """Draw how unsure the head is on training image ``number``, on the scale of all maps of the run."""
    assert shown.unsure is not None
    maps = shown.arrays[shown.unsure]
    return cell.draw(maps[number].astype(np.float32), cmap="viridis", vmin=float(maps.min()), vmax=float(maps.max()))


def draw_headings(cells: Sequence[Cell], shown: Pictured, group: str) -> None:
    """Say what each column of a group shows, above its first image."""
    headings = [GROUPS[group], "truth" if shown.has_truth(group) else "", "prediction"]
    headings += [UNSURE[shown.unsure]] if shown.unsure else []
    for cell, heading in zip(cells, headings, strict=False):
        cell.write(0, -10, heading, va="baseline", fontsize=9)


def draw_title(axes: "Axes", finished: FinishedRun, rounds: int) -> None:
    """Say above an overlay whose it is, and of which rounds."""
    run = finished.run
    drawn = "every training pixel is labelled" if finished.is_reference else f"labels of rounds 0 to {rounds - 1}"
    trained = "" if finished.is_reference else f", prediction after round {finished.rounds - 1}"
    title = " · ".join([run.dataset, run.features, run.method])
    subtitle = f"budget {run.budget}, seed {run.seed}; {drawn}{trained}"
    axes.text(LEFT, 22, title, weight="bold", fontsize=10, va="center")
    axes.text(LEFT, 50, subtitle, fontsize=8, va="center")


def draw_labels(cell: Cell, labels: "pd.DataFrame", thumbnail: tuple[int, int], colours: np.ndarray) -> None:
    """Mark the labelled pixels of one image, whose thumbnail has ``(height, width)``."""
    from matplotlib.patheffects import withStroke

    # a white rim around the black one stands out on bright and on dark ground; pixels at the border stay whole
    rim = [withStroke(linewidth=3.2, foreground="white")]
    look: dict[str, Any] = {"clip_on": False, "snap": False, "path_effects": rim}
    down, across = (of_cell / of_thumbnail for of_cell, of_thumbnail in zip(cell.size, thumbnail, strict=True))
    x = cell.corner[0] + (labels["column"] + 0.5) * across
    y = cell.corner[1] + (labels["row"] + 0.5) * down
    known = labels["label"] != IGNORED
    fill = colours[labels["label"][known]] / 255
    cell.axes.scatter(x[known], y[known], s=32, c=fill, edgecolors="black", linewidths=1.3, **look)
    cell.axes.scatter(x[~known], y[~known], s=32, c="black", marker="x", linewidths=1.6, **look)


def legend_entries(shown: Pictured) -> "list[Artist]":
    """Make the legend handles of the classes that the pictures show, then of ignored pixels and of the marks."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    values = [shown.arrays[f"{group}_prediction"] for group in GROUPS]
    values += [shown.arrays[f"{group}_truth"] for group in GROUPS if shown.has_truth(group)]
    has_void = any((value == IGNORED).any() for value in values)
    entries, marks = [], []
    if shown.labels is not None:
        asked = shown.labels[shown.labels["image"].isin([*shown.ids("train"), *shown.ids("queried")])]
        values.append(asked["label"].to_numpy())
        ring: dict[str, Any] = {"marker": "o", "markerfacecolor": "white", "markeredgecolor": "black"}
        marks.append(Line2D([], [], linestyle="", markersize=6, **ring, label="labelled pixel"))
        if (asked["label"] == IGNORED).any():
            cross: dict[str, Any] = {"marker": "x", "markeredgecolor": "black", "markeredgewidth": 1.8}
            marks.append(Line2D([], [], linestyle="", markersize=6, **cross, label=CANNOT_TELL))
    present = set(np.concatenate([np.unique(value) for value in values]).tolist())
    for value, each in enumerate(shown.run.classes):
        if value in present:
            label = literal(each.name.replace("_", " "))
            entries.append(Patch(facecolor=shown.colours[value] / 255, edgecolor=FAINT, linewidth=0.5, label=label))
    if has_void:
        entries.append(Patch(facecolor="black", edgecolor="#6e6e6e", hatch="//////", linewidth=0, label="void"))
    return [*entries, *marks]
