"""Contact sheets: some images of a dataset with their masks laid over, and how common each class is in them.

People see at once what no rule finds: masks of other images, turned ones, classes that changed places.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pixelherd.datasets.classes import IGNORED, ClassInfo
from pixelherd.datasets.prepare import classes_of, samples_of
from pixelherd.datasets.samples import counted
from pixelherd.errors import UserError
from pixelherd.results.figures.overlays import class_colours, paint
from pixelherd.results.figures.style import FAINT, INK, canvas, save, styled
from pixelherd.results.figures.thumbnails import pictured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pixelherd.datasets.samples import Sample
    from pixelherd.datasets.settings import DatasetSettings

IMAGES = {"train": 8, "test": 4}
"""Images of each split that a sheet shows, spread evenly over it."""

COLUMNS, CELL = 4, 340
"""Images in a row, and the longest side of a picture, in pixels."""

MARGIN, GAP, TITLE, HEADING, CAPTION, LINE = 40, 16, 64, 54, 44, 34
"""Pixels around all, between pictures, for the title, above a split, below an image, and of a line of the legend."""

OPACITY = 0.6

ALARM = "#b3261e"
"""What is probably wrong."""


@dataclass(frozen=True)
class Shown:
    """An image of a sheet.

    Attributes:
        name: its id.
        size: (width, height) of its file.
        image: [h, w, 3] uint8, no larger than a cell; None where it cannot be read.
        labels: its labels [h, w] likewise, if it has a mask.
        pixels: pixels of each label in the whole mask.
        mistake: what is wrong with it, where it cannot be read.
    """

    name: str
    size: tuple[int, int] = (0, 0)
    image: np.ndarray | None = None
    labels: np.ndarray | None = None
    pixels: Mapping[int, int] = field(default_factory=dict)
    mistake: str = ""

    @classmethod
    def read(cls, sample: "Sample") -> "Shown":
        """Read an image and its mask, and make them fit a cell: smaller, or larger by a whole factor."""
        try:
            image, labels = sample.load()
        except UserError as error:
            return cls(sample.id, mistake=str(error))
        size = image.size
        image.thumbnail((CELL, CELL), Image.Resampling.BICUBIC)
        zoom = CELL // max(image.size)
        shown = image.resize((zoom * image.width, zoom * image.height), Image.Resampling.NEAREST)
        if labels is None:
            return cls(sample.id, size, np.asarray(shown))
        fitted = Image.fromarray(labels).resize(shown.size, Image.Resampling.NEAREST)
        return cls(sample.id, size, np.asarray(shown), np.asarray(fitted), counted(labels, colours=False))

    def overlay(self, colours: np.ndarray) -> np.ndarray:
        """Return the mask laid over the image in grey, so that no colour but the classes' is seen."""
        assert self.image is not None and self.labels is not None
        grey = self.image @ np.array([0.299, 0.587, 0.114])
        painted = OPACITY * paint(self.labels, colours) + (1 - OPACITY) * grey[:, :, None]
        return np.round(painted).astype(np.uint8)


@dataclass(frozen=True)
class Sheet:
    """A contact sheet before it is drawn.

    Attributes:
        title: what it shows.
        classes: the dataset's classes.
        shown: images of each split.
        images: how many each split has.
    """

    title: str
    classes: Sequence[ClassInfo]
    shown: Mapping[str, Sequence[Shown]]
    images: Mapping[str, int]

    @classmethod
    def read(cls, name: str, settings: "DatasetSettings") -> "Sheet":
        """Read the images of a sheet.

        Raises:
            UserError: raw files are missing or do not fit together.
        """
        found = {split: samples for split, samples in samples_of(settings).items() if samples}
        shown = {
            split: [Shown.read(samples[place]) for place in pictured(len(samples), IMAGES[split])]
            for split, samples in found.items()
        }
        return cls(name, classes_of(settings), shown, {split: len(samples) for split, samples in found.items()})

    @cached_property
    def labelled(self) -> dict[str, bool]:
        """Tell of each split whether it has masks."""
        return {split: any(each.labels is not None for each in some) for split, some in self.shown.items()}

    @cached_property
    def cell(self) -> int:
        """Height of the highest picture."""
        heights = [each.image.shape[0] for some in self.shown.values() for each in some if each.image is not None]
        return max(heights, default=CELL // 2)

    def row(self, split: str) -> int:
        """Height of a row of images, with their masks below."""
        return CAPTION + (1 + self.labelled[split]) * (self.cell + GAP)

    @property
    def legend(self) -> list[int]:
        """List the labels that the legend explains."""
        ignored = any(IGNORED in each.pixels for some in self.shown.values() for each in some)
        return [*range(len(self.classes)), *([IGNORED] if ignored else [])]

    @property
    def width(self) -> int:
        """Width in pixels."""
        return 2 * MARGIN + COLUMNS * (CELL + GAP) - GAP

    @property
    def height(self) -> int:
        """Height in pixels."""
        rows = sum(HEADING + math.ceil(len(some) / COLUMNS) * self.row(split) for split, some in self.shown.items())
        return 2 * MARGIN + TITLE + rows + HEADING + (1 + math.ceil(len(self.legend) / 2)) * LINE

    def share(self, split: str, label: int) -> str:
        """Say which share of the pixels a label has, and in how many of the shown images; nothing if in none."""
        masks = [each.pixels for each in self.shown[split] if each.pixels]
        having = [pixels[label] for pixels in masks if label in pixels]
        total = sum(sum(pixels.values()) for pixels in masks)
        return f"{sum(having) / total:.1%} in {len(having)} of {len(masks)}" if having else ""


@styled
def draw(sheet: Sheet, path: Path) -> None:
    """Draw a contact sheet.

    Args:
        sheet: what it shows.
        path: the PNG file to write.
    """
    figure, axes = canvas(sheet.width, sheet.height)
    _write(axes, MARGIN, MARGIN, sheet.title, weight="bold", fontsize=12, va="top")
    top = MARGIN + TITLE
    for split in sheet.shown:
        top = _draw_split(axes, sheet, split, top)
    _draw_legend(axes, sheet, top)
    save(figure, path.with_name(path.name.removesuffix(".png")), ["png"])


def _draw_split(axes: "Axes", sheet: Sheet, split: str, top: int) -> int:
    """Draw the images of a split from ``top`` on; return where they end."""
    shown, colours = sheet.shown[split], class_colours(sheet.classes)
    masks = "their masks laid over below" if sheet.labelled[split] else "without masks"
    heading = f"{split}: {len(shown)} of {sheet.images[split]:,} images, {masks}"
    _write(axes, MARGIN, top, heading, fontsize=9, va="top")
    top += HEADING
    for number, each in enumerate(shown):
        x, y = MARGIN + number % COLUMNS * (CELL + GAP), top + number // COLUMNS * sheet.row(split)
        _write(axes, x, y - 8, _caption(each), fontsize=6.5, va="bottom")
        if each.image is None:
            _write(axes, x, y + 4, _wrapped(each.mistake), fontsize=6.5, va="top", color=ALARM)
            continue
        _draw_picture(axes, each.image, x, y)
        if each.labels is not None:
            _draw_picture(axes, each.overlay(colours), x, y + each.image.shape[0] + GAP // 2)
    return top + math.ceil(len(shown) / COLUMNS) * sheet.row(split)


def _draw_picture(axes: "Axes", picture: np.ndarray, x: int, y: int) -> None:
    height, width = picture.shape[:2]
    axes.imshow(picture, extent=(x, x + width, y + height, y), interpolation="nearest", aspect="auto")


def _draw_legend(axes: "Axes", sheet: Sheet, top: int) -> None:
    """Draw the classes with their shares of the pixels, in two columns."""
    from matplotlib.patches import Rectangle

    colours, entries = class_colours(sheet.classes), sheet.legend
    splits = [split for split in sheet.shown if sheet.labelled[split]]
    lines = math.ceil(len(entries) / 2)
    for place, label in enumerate(entries):
        left, line = MARGIN + place // lines * (sheet.width - 2 * MARGIN + GAP) // 2, 1 + place % lines
        ignored = label == IGNORED
        look: dict[str, Any] = {"edgecolor": "#6e6e6e", "hatch": "//////"} if ignored else {"edgecolor": FAINT}
        corner = (left, top + line * LINE - 10)
        axes.add_patch(Rectangle(corner, 30, 20, facecolor=colours[label] / 255, linewidth=0.5, **look))
        name = "of no class (void)" if ignored else f"{label}  {_short(sheet.classes[label].name)}"
        _write(axes, left + 42, top + line * LINE, name)
        for number, split in enumerate(splits):
            x = left + 470 + 190 * number
            if line == 1:
                _write(axes, x, top, f"{split} pixels, images", ha="right", color=FAINT, fontsize=7)
            share = sheet.share(split, label)
            _write(axes, x, top + line * LINE, share or "none", ha="right", color=INK if share else ALARM)


def _write(axes: "Axes", x: float, y: float, text: str, **look: Any) -> None:
    """Write a text as it is: names of files may hold $, which would begin a formula."""
    given: dict[str, Any] = {"fontsize": 8, "va": "center", "parse_math": False}
    axes.text(x, y, text, **(given | look))


def _short(name: str) -> str:
    return name if len(name) <= 26 else f"…{name[-25:]}"


def _caption(each: Shown) -> str:
    return f"{_short(each.name)}   {each.size[0]}x{each.size[1]}" if each.image is not None else _short(each.name)


def _wrapped(text: str) -> str:
    """A message in lines that are as wide as a picture, paths broken, too."""
    return "\n".join(textwrap.wrap(text, 38))
