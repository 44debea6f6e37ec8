"""Line charts as SVG that belongs to the page: its colours, its letters, and values under the pointer."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pixelherd.results.figures.style import COLOURS, LINES, MARKERS, in_study
from pixelherd.results.tables.runs import REFERENCE

if TYPE_CHECKING:
    import pandas as pd

WIDTH, HEIGHT = 600, 360

LEFT, RIGHT, TOP, BOTTOM = 44, 14, 12, 44
"""Margins around the lines, in the units of the drawing."""

SHAPES = {
    "o": "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "s": "M-3.6-3.6h7.2v7.2h-7.2z",
    "^": "M0-4.6L4.4 3.6H-4.4z",
    "D": "M0-4.8L4.8 0L0 4.8L-4.8 0z",
    "v": "M0 4.6L4.4-3.6H-4.4z",
    "P": "M-1.6-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
    "X": "M-4.2-2.2l2-2L0-2l2.2-2.2 2 2L2 0l2.2 2.2-2 2L0 2l-2.2 2.2-2-2L-2 0z",
}
"""Paths of matplotlib's markers around the origin."""


@dataclass(frozen=True)
class Line:
    """A method's line; points and band are paths. The reference's has no marker."""

    name: str
    colour: str
    dash: str
    shape: str
    points: str
    markers: list[tuple[float, float]]
    band: str


@dataclass(frozen=True)
class Chart:
    """A chart, ready to be written.

    Attributes:
        title: what it shows.
        label: the same for those who do not see it, with where lines end.
        across: what its horizontal axis is.
        lines: the lines.
        ticks: places and texts on the horizontal axis.
        levels: places and texts on the vertical one.
        stops: where values are read: the place, a heading, and texts of the lines there.
    """

    title: str
    label: str
    across: str
    lines: list[Line]
    ticks: list[tuple[float, str]]
    levels: list[tuple[float, str]]
    stops: list[tuple[float, str, list[str]]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def learning_curves(rows: "pd.DataFrame", methods: Sequence[str], label: str) -> Chart:
    """Draw mIoU over labelled pixels.

    Args:
        rows: of the table ``curves`` for a setup.
        methods: the study's order of methods.
        label: the chart in words.
    """
    return _chart(rows, "miou", methods, ("mIoU on the test images (%)", label))


def settling(rows: "pd.DataFrame", methods: Sequence[str], label: str) -> Chart:
    """Draw agreement with the round before over labelled pixels.

    Args:
        rows: of the table ``stopping`` for a setup.
        methods: the study's order of methods.
        label: the chart in words.
    """
    rows = rows[rows["agreement_mean"].notna()].rename(columns={"labelled_pixels_mean": "labelled_pixels"})
    return _chart(rows.assign(reference=False), "agreement", methods, ("agreement with the round before (%)", label))


def _chart(rows: "pd.DataFrame", value: str, methods: Sequence[str], said: tuple[str, str]) -> Chart:
    asked = rows[~rows["reference"]]
    rows = rows.assign(mean=100 * rows[f"{value}_mean"], std=100 * rows[f"{value}_std"].fillna(0))
    steps = levels((rows["mean"] - rows["std"]).min(), (rows["mean"] + rows["std"]).max())
    first, last = (asked["labelled_pixels"].min(), asked["labelled_pixels"].max()) if len(asked) else (0, 1)

    def x(pixels: float) -> float:
        share = (pixels - first) / (last - first) if last > first else 0.5
        return round(LEFT + 10 + share * (WIDTH - LEFT - RIGHT - 20), 1)

    def y(percent: float) -> float:
        share = (min(max(percent, steps[0]), steps[-1]) - steps[0]) / (steps[-1] - steps[0])
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    lines, names = [], in_study(asked["method"].unique(), methods)
    stops: dict[tuple[float, str], list[str]] = {}
    for name, line in rows.groupby("method", sort=False):
        if line["reference"].any():
            places = [(float(edge), line.iloc[-1]) for edge in (LEFT, WIDTH - RIGHT)]
        else:
            places = [(x(row["labelled_pixels"]), row) for _, row in line.iterrows()]
            for place, row in places:
                head = f"{row['labelled_pixels']:,.10g} labelled pixels, round {row['round']:g}"
                stops.setdefault((place, head), []).append(f"{name} {_with_spread(row)}")
        lines.append(_line(str(name), places, y, names))
    return Chart(
        *said,
        "labelled pixels",
        lines,
        [(x(pixels), f"{pixels:,.10g}") for pixels in _spaced(sorted(asked["labelled_pixels"].unique()))],
        [(y(step), f"{step:g}") for step in steps],
        [(place, head, texts) for (place, head), texts in sorted(stops.items())],
    )


def _with_spread(row: "pd.Series") -> str:
    return f"{row['mean']:.1f} ± {row['std']:.1f} %" if row["std"] else f"{row['mean']:.1f} %"


def _line(name: str, places: list, y: Callable[[float], float], names: Sequence[str]) -> Line:
    points = [(place, y(row["mean"])) for place, row in places]
    upper = [f"{place},{y(row['mean'] + row['std'])}" for place, row in places]
    lower = [f"{place},{y(row['mean'] - row['std'])}" for place, row in reversed(places)]
    has_band = any(row["std"] for _, row in places)
    band = " ".join([*upper, *lower]) if has_band else ""
    path = " ".join(f"{place},{height}" for place, height in points)
    if name == REFERENCE:
        return Line(name, "", "7 4", "", path, [], band)
    number = names.index(name)
    dash = LINES[number // len(COLOURS) % len(LINES)]
    pattern = " ".join(f"{2 * length:g}" for length in dash[1]) if isinstance(dash, tuple) else ""
    return Line(
        name, COLOURS[number % len(COLOURS)], pattern, SHAPES[MARKERS[number % len(MARKERS)]], path, points, band
    )


def levels(low: float, high: float) -> list[float]:
    """Return round percentages, evenly apart, from below ``low`` to above ``high``; not below 0, nor above 100."""
    low = min(max(low, 0), 99)
    high = min(max(high, low + 1), 100)
    wanted = (high - low) / 5
    power = 10 ** math.floor(math.log10(wanted))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= wanted)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 6) for number in range(first, last + 1)]


def _spaced(pixels: list) -> list:
    """At most seven of the values, and always the last."""
    return pixels[:: -max(1, math.ceil(len(pixels) / 7))][::-1]
