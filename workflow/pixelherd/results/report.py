"""The report of a study: one HTML file that holds its tables and figures, and says how to read each.

Snakemake's own report cannot be the output of a rule, needs the network for its script libraries, and holds the time at
which it was made; this page is made from finished runs and figures alone, runs no script, and has the same bytes
whenever it is made.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pixelherd.results.pages.format import Page, html_text
from pixelherd.results.pages.write import make_pages
from pixelherd.results.registry import REGISTRY
from pixelherd.results.settings import DEFAULTS, TableSettings
from pixelherd.results.setups import Setup, by_setup
from pixelherd.results.tables.runs import in_order
from pixelherd.storage.stores import read_manifest
from pixelherd.study.paths import THUMBNAILS

if TYPE_CHECKING:
    import pandas as pd

TITLE = "pixelherd report"

MEDIA = {".svg": "image/svg+xml", ".png": "image/png"}

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
    """What a chapter says about one question, under a heading."""

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
    captions: Mapping[str, str],
    methods: Sequence[str] = (),
    settings: TableSettings = DEFAULTS,
) -> str:
    """Make the HTML of a study's report.

    Args:
        folders: finished run folders of the study.
        rounds: rounds that the study asks for.
        figures: folder of the study's figures, with its manifest.
        template: Jinja2 source of the page.
        captions: how to read a figure, by its file's name without method and suffix.
        methods: the study's order of methods.
        settings: what methods are compared with, and how.

    Raises:
        UserError: a file of a run, or a figure, is missing or malformed.
    """
    import jinja2

    folders, figures = list(folders), Path(figures)
    read_manifest(figures)
    pages = {page.name: page for page in make_pages(folders, rounds, methods, settings)}
    chapters = [chapter(setup, rows, figures, pages, captions) for setup, rows in by_setup(pages["final"].values)]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["emphasised"] = html_text
    return environment.from_string(template).render(
        title=TITLE, facts=facts(folders, rounds, methods), chapters=chapters
    )


def facts(folders: Iterable[Path | str], rounds: int, methods: Sequence[str]) -> list[tuple[str, str]]:
    """Say what the study is, as names and values."""
    all_runs = [finished.run for finished in in_order(folders, methods)]
    names = {"dataset": "datasets", "features": "features", "method": "methods", "budget": "budgets"}
    found = [(name, ", ".join(dict.fromkeys(getattr(run, key) for run in all_runs))) for key, name in names.items()]
    seeds = ", ".join(map(str, sorted({run.seed for run in all_runs})))
    return [*found, ("seeds", seeds), ("rounds", str(rounds)), ("runs", str(len(all_runs)))]


def chapter(
    setup: Setup, final: "pd.DataFrame", figures: Path, pages: Mapping[str, Page], captions: Mapping[str, str]
) -> Chapter:
    """Gather everything that the study has about one setup, in the order of ``PARTS``.

    Args:
        setup: the setup.
        final: rows of the table ``final`` for it, a method each.
        figures: folder of the study's figures.
        pages: the study's tables by name.
        captions: as for :func:`make_report`.

    Raises:
        OSError: a figure cannot be read.
    """
    anchor = "-".join(["", *setup]).replace(".", "_")
    shown = Figures(setup, figures, captions, final)
    parts = []
    for number, (heading, names) in enumerate(PARTS.items()):
        blocks: list[Block] = []
        for name in names:
            if name in REGISTRY:
                blocks += section_blocks(pages[name], setup)
            elif "*" in name:
                blocks += shown.of_methods(name)
            else:
                blocks += shown.of_setup(name)
        if blocks:
            parts.append(Part(heading, f"part{number}{anchor}", blocks))
    return Chapter(setup.heading, f"chapter{anchor}", parts)


def section_blocks(page: Page, setup: Setup) -> list[Block]:
    """Take a page's table for ``setup``, or say why there is none."""
    folded = REGISTRY[page.name].is_folded
    found = [
        Block(page.title, f"{section.remark} {page.note}".strip(), table=section.table, folded=folded)
        for section in page.sections
        if section.setup == setup
    ]
    return found or [Block(page.title, page.absent)]


@dataclass(frozen=True)
class Figures:
    """The figures of one setup, each with its caption, and with what it shows for those who do not see it.

    Attributes:
        setup: the setup.
        folder: folder of the study's figures.
        captions: how to read a figure, by its file's name without method and suffix.
        final: rows of the table ``final`` for the setup, a method each.
    """

    setup: Setup
    folder: Path
    captions: Mapping[str, str]
    final: "pd.DataFrame"

    def of_setup(self, name: str) -> list[Block]:
        """Take the figure of a file's name, if it was drawn."""
        path = self.setup.folder(self.folder) / name
        return [self._block(path, path.name.removesuffix(path.suffix))] if path.is_file() else []

    def of_methods(self, name: str) -> list[Block]:
        """Take the figures of every method that has one; ``*`` stands for the method in ``name``."""
        # the reference's lie with the budget that is its own
        setups = dict.fromkeys([self.setup, self.setup._replace(budget="all")])
        methods = self.final["method"].tolist()
        paths = [(each, setup.folder(self.folder) / name.replace("*", each)) for each in methods for setup in setups]
        paths = [(method, path) for method, path in paths if path.is_file()]
        shown = [self._block(path, path.stem.removesuffix(f"-{method}"), method) for method, path in paths]
        # how to read them is said once
        blocks = [*shown[:1], *(replace(each, note=f"{each.title}, read as the first.") for each in shown[1:])]
        if name == OVERLAYS and (left_out := ", ".join(sorted(set(methods) - {method for method, _ in paths}))):
            blocks.append(Block("Left out", f"{left_out}: {THUMBNAILS} is not among the files of the runs."))
        return blocks

    def _block(self, path: Path, kind: str, method: str = "") -> Block:
        encoded = base64.b64encode(path.read_bytes()).decode()
        note = f"{method}. {self.captions[kind]}" if method else self.captions[kind]
        picture = f"data:{MEDIA[path.suffix]};base64,{encoded}"
        return Block(method or kind, note, picture=picture, alt=self._alt(kind, method))

    def _alt(self, kind: str, method: str) -> str:
        place = "{}, {}, budget {}".format(*self.setup)
        below = "; the table below has the numbers."
        return {
            "learning_curves": f"Line chart of mIoU over labelled pixels, {place}. After the last round: "
            f"{ends(self.final)}.",
            "differences": f"Differences between methods with their intervals, {place}{below}",
            "labels_per_class": f"Bar chart of labelled pixels per class and method, {place}{below}",
            "labels_per_round": f"Pixels of each class that each round asked for, a panel per method, {place}{below}",
            "settling": "Line charts of agreement with the round before and of entropy over the rounds, "
            f"{place}{below}",
            "scores": f"Scores of pool and chosen pixels over the rounds of {method}, {place}{below}",
            "overlay": f"Training and test images of {method}, {place}, with labelled pixels, truth, prediction and "
            "uncertainty.",
        }[kind]


def ends(final: "pd.DataFrame") -> str:
    """Put each method's last mIoU in words."""
    return ", ".join(
        f"{row.method} {100 * row.miou_mean:.1f} % with {row.labelled_pixels:,.10g} pixels"
        for row in final.itertuples()
    )
