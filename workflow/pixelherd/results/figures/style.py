"""How all figures of a study look, and how they get the same bytes whenever they are drawn.

Every drawing uses matplotlib's defaults plus ``STYLE``, whatever the user's matplotlibrc says, and ``Figure`` without
pyplot, so no window system is asked for.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

from pixelherd.results.tables.runs import REFERENCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Arguments = ParamSpec("Arguments")

DPI = 150

# Okabe & Ito (2008), Color Universal Design; without black (the reference's) and yellow (faint on white)
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]

MARKERS = ["o", "s", "^", "D", "v", "P", "X"]

LINES = ["-", (0, (4, 1.5)), (0, (1, 1))]

HATCHES = ["", "////", "....", "\\\\\\\\", "xxxx", "----", "OO"]

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


def styled(draw: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Run ``draw`` with matplotlib's defaults plus ``STYLE``, and leave the caller's settings as they were."""

    @functools.wraps(draw)
    def wrapper(*args: Arguments.args, **options: Arguments.kwargs) -> None:
        import matplotlib.style

        with matplotlib.style.context(["default", STYLE]):
            draw(*args, **options)

    return wrapper


def literal(name: str) -> str:
    """Return a user's name as matplotlib shows it: dollars would make it a formula, or a broken one."""
    return name.replace("$", r"\$")


def canvas(width: int, height: int) -> "tuple[Figure, Axes]":
    """Make a figure of so many pixels, and bare axes all over it that count them from its upper left corner."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def save(figure: "Figure", path: Path, formats: Sequence[str] = ("png", "svg")) -> None:
    """Write ``figure`` as ``path`` with each suffix, without date and version, which would change the bytes."""
    without = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    path.parent.mkdir(parents=True, exist_ok=True)
    if engine := figure.get_layout_engine():  # once for all formats; saving draws everything to this end, each time
        figure.set_dpi(DPI)
        engine.execute(figure)
        figure.set_layout_engine(None)
    for suffix in formats:
        # not with_suffix: a method's name may hold a dot
        figure.savefig(path.with_name(f"{path.name}.{suffix}"), dpi=DPI, metadata=without[suffix])


def in_study(present: Iterable[str], methods: Sequence[str]) -> list[str]:
    """List the methods of a study in its order, then others that are present; without the reference."""
    return [name for name in dict.fromkeys([*methods, *sorted(present)]) if name != REFERENCE]
