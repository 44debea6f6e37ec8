"""The report of a study: one HTML file that holds its tables and figures, and says how to read each.

Snakemake's own report cannot be the output of a rule, needs the network for its script libraries, and holds the time at
which it was made; this page is made from finished runs and figures alone, runs no script, and has the same bytes
whenever it is made.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import tables
from .pages import EMPHASIS, SETTINGS, STAR, Page, make
from .storage import read_manifest

if TYPE_CHECKING:
    import pandas as pd

TITLE = "pixelherd report"
MEDIA = {".svg": "image/svg+xml", ".png": "image/png"}
FOLDED = ("curves", "labels_per_class", "labels_per_round", "scores", "correlations")
"""Long tables, most of which a figure shows as well; they are folded."""

OVERLAYS = "overlay-*.png"
PARTS = {
    "Results": ["learning_curves.svg", "final", "area", "curves", "classes"],
    "Differences between methods": ["differences.svg", "comparison", "stages", "features", "wins", "labels_needed"],
    "What was labelled": [
        "labels_per_class.svg",
        "labels_per_class",
        "labels_per_round.png",
        "labels_per_round",
        "queries",
        "settling.svg",
        "stopping",
    ],
    "Why it was labelled": ["scores-*.png", "scores", "correlations"],
    "Pictures": [OVERLAYS],
}
"""What each part of a chapter shows: figures by file name (* is every method), tables by name."""


@dataclass(frozen=True)
class Block:
    """A figure (``picture`` is a data URI), a table, or a note that stands for a table that cannot be made."""

    title: str
    note: str
    picture: str = ""
    alt: str = ""
    table: "pd.DataFrame | None" = None
    folded: bool = False


@dataclass(frozen=True)
class Part:
    heading: str
    anchor: str
    blocks: list[Block]


@dataclass(frozen=True)
class Chapter:
    """Everything about one dataset, features and budget."""

    heading: str
    anchor: str
    parts: list[Part]


def make_report(
    folders: Iterable[Path | str],
    rounds: int,
    figures: Path | str,
    template: str,
    captions: dict[str, str],
    methods: Sequence[str] = (),
    settings: dict[str, Any] = SETTINGS,
) -> str:
    """The report's HTML.

    Args:
        folders: finished run folders of the study.
        rounds: rounds that the study asks for.
        figures: folder of the study's figures, with its manifest.
        template: Jinja2 source of the page.
        captions: how to read a figure, by its file's name without method and suffix.
        methods: the study's order of methods.
        settings: as for :func:`pixelherd.pages.make`.

    Raises:
        UserError: a file of a run, or a figure, is missing or malformed.
    """
    import jinja2

    folders, figures = list(folders), Path(figures)
    read_manifest(figures)
    made, pages = make(folders, rounds, methods, settings)
    final = made["final"]
    chapters = [
        chapter(key, rows, figures, pages, captions) for key, rows in final.groupby(tables.METHOD[:3], sort=False)
    ]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["emphasised"] = emphasised
    return environment.from_string(template).render(
        title=TITLE, facts=facts(folders, rounds, methods), chapters=chapters
    )


def facts(folders: Iterable[Path | str], rounds: int, methods: Sequence[str]) -> list[tuple[str, str]]:
    """What the study is, as names and values."""
    runs = [entry["run"] for _, entry in tables.in_order(folders, methods)]
    names = {"dataset": "datasets", "features": "features", "method": "methods", "budget": "budgets"}
    found = [(name, ", ".join(dict.fromkeys(run[key] for run in runs))) for key, name in names.items()]
    seeds = ", ".join(map(str, sorted({run["seed"] for run in runs})))
    return [*found, ("seeds", seeds), ("rounds", str(rounds)), ("runs", str(len(runs)))]


def chapter(
    key: tuple[str, str, str], final: "pd.DataFrame", figures: Path, pages: Sequence[Page], captions: dict[str, str]
) -> Chapter:
    """Everything that the study has about one dataset, features and budget, in the order of ``PARTS``."""
    dataset, features, budget = key
    anchor = "-".join(["", dataset, features, budget]).replace(".", "_")
    drawn = [figures / dataset / features / f"budget-{each}" for each in dict.fromkeys([budget, "all"])]
    sections = {page.name: section_block(page, key) for page in pages}
    order = final["method"].tolist()
    parts = []
    for number, (heading, names) in enumerate(PARTS.items()):
        blocks = []
        for name in names:
            if name in sections:
                blocks += sections[name]
            elif "*" in name:
                paths = [(method, folder / name.replace("*", method)) for method in order for folder in drawn]
                paths = [(method, path) for method, path in paths if path.is_file()]
                shown = [figure_block(path, key, captions, final, method) for method, path in paths]
                # how to read them is said once
                blocks += [*shown[:1], *(replace(each, note=f"{each.title}, read as the first.") for each in shown[1:])]
                if name == OVERLAYS and (left_out := ", ".join(sorted(set(order) - {method for method, _ in paths}))):
                    blocks.append(Block("Left out", f"{left_out}: thumbnails.npz is not among the files of the runs."))
            elif (path := drawn[0] / name).is_file():
                blocks.append(figure_block(path, key, captions, final))
        if blocks:
            parts.append(Part(heading, f"part{number}{anchor}", blocks))
    return Chapter(f"{dataset} · {features} · budget {budget}", f"chapter{anchor}", parts)


def section_block(page: Page, key: tuple[str, str, str]) -> list[Block]:
    """A page's table for ``key``, or why there is none."""
    found = [
        Block(page.title, f"{section.remark} {page.note}".strip(), table=section.table, folded=page.name in FOLDED)
        for section in page.sections
        if section.key == key
    ]
    return found or [Block(page.title, page.absent)]


def figure_block(
    path: Path, key: tuple[str, str, str], captions: dict[str, str], final: "pd.DataFrame", method: str = ""
) -> Block:
    """A figure with its caption, and in words what it shows for those who do not see it."""
    kind = path.stem.removesuffix(f"-{method}") if method else path.name.removesuffix(path.suffix)
    encoded = base64.b64encode(path.read_bytes()).decode()
    place = "{}, {}, budget {}".format(*key)
    below = "; the table below has the numbers."
    alt = {
        "learning_curves": f"Line chart of mIoU over labelled pixels, {place}. After the last round: {ends(final)}.",
        "differences": f"Differences between methods with their intervals, {place}{below}",
        "labels_per_class": f"Bar chart of labelled pixels per class and method, {place}{below}",
        "labels_per_round": f"Pixels of each class that each round asked for, a panel per method, {place}{below}",
        "settling": f"Line charts of agreement with the round before and of entropy over the rounds, {place}{below}",
        "scores": f"Scores of pool and chosen pixels over the rounds of {method}, {place}{below}",
        "overlay": f"Training and test images of {method}, {place}, with labelled pixels, truth, prediction and "
        "uncertainty.",
    }[kind]
    note = f"{method}. {captions[kind]}" if method else captions[kind]
    return Block(method or kind, note, picture=f"data:{MEDIA[path.suffix]};base64,{encoded}", alt=alt)


def ends(final: "pd.DataFrame") -> str:
    """Each method's last mIoU in words."""
    return ", ".join(
        f"{row.method} {100 * row.miou_mean:.1f} % with {row.labelled_pixels:,.10g} pixels"
        for row in final.itertuples()
    )


def emphasised(text: str) -> str:
    """HTML of plain text in which ``*…*`` is emphasised."""
    from markupsafe import Markup, escape

    return Markup(EMPHASIS.sub(r"<em>\1</em>", str(escape(text))).replace(STAR, "*"))
