"""A chapter of the report: everything that a study says about one setup, the answer first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pixelherd.results.pages.format import Page, literal
from pixelherd.results.registry import REGISTRY
from pixelherd.results.report import charts, gallery
from pixelherd.results.report.charts import Chart
from pixelherd.results.report.gallery import Gallery
from pixelherd.results.report.verdict import Verdict, of_methods, of_own_images, when_to_stop
from pixelherd.results.setups import SETUP, Setup
from pixelherd.results.tables.runs import FinishedRun, read_labels
from pixelherd.study.paths import THUMBNAILS

if TYPE_CHECKING:
    import pandas as pd

    from pixelherd.results.figures.overlays import Pictured

PARTS = {
    "Result": ["curves.chart", "final", "area", "curves"],
    "Differences": [
        *("differences.svg", "leaderboard", "comparison", "stages", "features", "wins", "labels_needed"),
        *("stability", "power"),
    ],
    "Classes": ["classes"],
    "Pictures": ["pictures"],
    "Answers to look at again": ["contradictions"],
    "When to stop": ["stopping.chart", "stopping"],
    "What was labelled": [
        "labels_per_class.svg",
        "labels_per_class",
        "labels_per_round.png",
        "labels_per_round",
        "queries",
        "effort",
    ],
    "Why it was labelled": ["scores-*.png", "scores", "correlations"],
}
"""What each part of a chapter shows: figures by file name (* is every method), tables by name, and more."""

OWN_PARTS = {
    "Masks": ["pictures"],
    "Labels": ["bars"],
    "What is doubtful": ["doubts"],
    "Answers to look at again": PARTS["Answers to look at again"],
    "When to stop": PARTS["When to stop"],
    "Statistics": [
        *("curves.chart", "final", "area", "curves", *PARTS["Differences"], *PARTS["Classes"]),
        *PARTS["What was labelled"],
        *PARTS["Why it was labelled"],
    ],
}
"""The same where there are no test masks: masks first, and numbers last."""

TITLES = {
    "differences": "Differences and their intervals",
    "labels_per_class": "Labelled pixels of each class, as a picture",
    "labels_per_round": "Classes asked for in each round, as a picture",
    "scores": "Scores over the rounds",
}
"""What figures are called, by kind."""

FOLDED = ("area", "wins", "labels_per_round.png", "queries", "stopping", "scores-*.png")
"""What is opened by a click, besides tables that are long."""


@dataclass(frozen=True)
class Block:
    """One thing that a part shows; what it is tells which of its attributes is given."""

    title: str
    note: str = ""
    folded: bool = False
    text: str = ""
    picture: str = ""
    alt: str = ""
    table: "pd.DataFrame | None" = None
    chart: Chart | None = None
    gallery: Gallery | None = None
    bars: list[tuple[str, str, int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """What a chapter says about one question, under a heading."""

    heading: str
    anchor: str
    blocks: list[Block]


@dataclass(frozen=True)
class Chapter:
    """Everything about one dataset, features and budget; ``missing`` says what there is nothing of, and why."""

    heading: str
    anchor: str
    verdict: Verdict
    parts: list[Part]
    missing: list[tuple[str, str]]


@dataclass(frozen=True)
class Sources:
    """What chapters are made of.

    Attributes:
        runs: the finished runs, in the order of tables.
        rounds: rounds that the study asks for.
        figures: folder of the study's figures.
        captions: how to read a figure.
        pages: the study's tables by name.
        methods: the study's order of methods.
        confidence: coverage of intervals.
    """

    runs: list[FinishedRun]
    rounds: int
    figures: Path
    captions: Mapping[str, str]
    pages: Mapping[str, Page]
    methods: list[str]
    confidence: float

    def values(self, name: str, setup: Setup) -> "pd.DataFrame":
        """Return the rows of a table for a setup, with every digit."""
        table = self.pages[name].values
        if table.empty:
            return table
        return table[(table[SETUP] == list(setup)).all(axis=1)]

    def runs_of(self, setup: Setup) -> list[FinishedRun]:
        """Return the runs of a setup, and the reference's, which have a budget of their own."""
        return [each for each in self.runs if each.setup in (setup, setup._replace(budget="all"))]


@dataclass(frozen=True)
class OfSetup:
    """Gathers a chapter.

    Attributes:
        study: what it is made of.
        setup: the setup.
        final: rows of the table ``final`` for it, a method each.
    """

    study: Sources
    setup: Setup
    final: "pd.DataFrame"

    @property
    def is_tested(self) -> bool:
        """Whether there are test masks."""
        return bool(self.final["miou_mean"].notna().any())

    @cached_property
    def pictured(self) -> "dict[str, Pictured]":
        """The first run of each method that has pictures, by method."""
        found: dict[str, Pictured] = {}
        for run in self.study.runs_of(self.setup):
            if run.run.method not in found and (run.folder / THUMBNAILS).is_file():
                found[run.run.method] = gallery.read_pictured(run, self.study.rounds)
        return found

    def chapter(self) -> Chapter:
        """Gather everything that there is, in the order of ``PARTS``, and name what there is not.

        Raises:
            OSError: a figure cannot be read.
            UserError: a file of a run is missing or malformed.
        """
        anchor, missing = "-".join(["", *self.setup]).replace(".", "_"), []
        parts = []
        for number, (heading, names) in enumerate((PARTS if self.is_tested else OWN_PARTS).items()):
            blocks = [block for name in names for block in self.blocks(name)]
            if heading == "Statistics":
                blocks = [replace(block, folded=True) for block in blocks]
            if blocks:
                parts.append(Part(heading, f"part{number}{anchor}", blocks))
            missing += [entry for name in names if (entry := self.why_not(name))]
        return Chapter(self.setup.heading, f"chapter{anchor}", self.verdict(), parts, missing)

    def verdict(self) -> Verdict:
        """Say what the setup's runs show."""
        if self.is_tested:
            return of_methods(self.study.values("comparison", self.setup), self.final, self.study.confidence)
        images = max((run.train_images for run in self.study.runs_of(self.setup)), default=0)
        return of_own_images(self.study.values("stopping", self.setup), images)

    def blocks(self, name: str) -> list[Block]:
        """Return what there is of a name in ``PARTS``."""
        if name in REGISTRY:
            return self._table(name)
        if "*" in name:
            return self._figures_of_methods(name)
        if name.endswith((".svg", ".png")):
            return self._figure(name)
        made: dict[str, Callable[[], list[Block]]] = {
            "curves.chart": self._curves,
            "stopping.chart": self._settling,
            "pictures": self._pictures,
            "contradictions": self._contradictions,
            "doubts": self._doubts,
            "bars": self._bars,
        }
        return made[name]()

    def why_not(self, name: str) -> tuple[str, str] | None:
        """Return title and reason of a table, or pictures, that there is nothing of."""
        if name == "pictures":
            methods = self.final["method"]
            lacking = ", ".join(sorted(set(methods) - self.pictured.keys()))
            return ("Pictures", f"{lacking}: {THUMBNAILS} is not among the files of the runs.") if lacking else None
        if name not in REGISTRY or self._table(name) or (REGISTRY[name].is_evaluated and not self.is_tested):
            return None  # of what takes test masks the verdict speaks once
        page = self.study.pages[name]
        return page.title, page.absent

    def _table(self, name: str) -> list[Block]:
        if REGISTRY[name].is_evaluated and not self.is_tested:
            return []
        page, is_folded = self.study.pages[name], REGISTRY[name].is_folded or name in FOLDED
        return [
            Block(page.title, f"{section.remark} {page.note}".strip(), is_folded, table=section.table)
            for section in page.sections
            if section.setup == self.setup
        ]

    def _figure(self, name: str, method: str = "") -> list[Block]:
        for setup in (self.setup, self.setup._replace(budget="all")) if method else (self.setup,):
            path = setup.folder(self.study.figures) / name.replace("*", method)
            if path.is_file():
                kind = name.partition(".")[0].removesuffix("-*")
                title = f"{method}: {TITLES[kind].lower()}" if method else TITLES[kind]
                note, picture = self.study.captions[kind], gallery.data_uri(path)
                return [Block(title, note, name in FOLDED, picture=picture, alt=self._alt(kind, method))]
        return []

    def _figures_of_methods(self, name: str) -> list[Block]:
        blocks = [block for method in self.final["method"] for block in self._figure(name, method)]
        return [*blocks[:1], *(replace(each, note="Read as the first.") for each in blocks[1:])]  # how is said once

    def _alt(self, kind: str, method: str) -> str:
        place = "{}, {}, budget {}".format(*self.setup)
        below = "; the table below has the numbers."
        return {
            "differences": f"Differences between methods with their intervals, {place}{below}",
            "labels_per_class": f"Bar chart of labelled pixels per class and method, {place}{below}",
            "labels_per_round": f"Pixels of each class that each round asked for, a panel per method, {place}{below}",
            "scores": f"Scores of pool and chosen pixels over the rounds of {method}, {place}{below}",
        }[kind]

    def _curves(self) -> list[Block]:
        if not self.is_tested:
            return []
        place, rows = "{}, {}, budget {}".format(*self.setup), self.study.values("curves", self.setup)
        label = f"Line chart of mIoU over labelled pixels, {place}. After the last round: {ends(self.final)}."
        chart = charts.learning_curves(rows, self.study.methods, label)
        return [Block("Learning curves", self.study.captions["learning_curves"], chart=chart)]

    def _settling(self) -> list[Block]:
        rows = self.study.values("stopping", self.setup)
        if rows.empty:
            return []
        text = " ".join(
            f"{method}: {when_to_stop(of_method)}" if rows["method"].nunique() > 1 else when_to_stop(of_method)
            for method, of_method in rows.groupby("method", sort=False)
        )
        if rows["agreement_mean"].isna().all():
            return [Block("When to stop", text=text)]
        label = "Line chart of agreement with the round before over labelled pixels; the table below has the numbers."
        chart = charts.settling(rows, self.study.methods, label)
        return [Block("Settling", self.study.captions["settling"], text=text, chart=chart)]

    def _pictures(self) -> list[Block]:
        galleries = [gallery.gallery_of(each) for each in self.pictured.values()]
        notes = [self.study.captions["overlay"], *["Read as the first."] * len(galleries)]
        return [
            Block(each.method, note, gallery=each) for each, note in zip(galleries, notes, strict=False) if each.cards
        ]

    def _contradictions(self) -> list[Block]:
        blocks = []
        for method, shown in self.pictured.items():
            found, number, told = gallery.contradicted(shown)
            if found is None:
                continue
            named = f"{method}: " if len(self.pictured) > 1 else ""
            text = f"{named}{number} of {told} answers get another class from a fit that has not seen their image"
            text += "." if not number else f"; here are the {len(found.cards)} of which it is surest."
            note, pictures = self.study.captions["contradictions"], found if number else None
            blocks.append(Block("Answers that contradict the model", note, text=text, gallery=pictures))
        return blocks

    def _doubts(self) -> list[Block]:
        for shown in self.pictured.values():
            table, text = gallery.doubtful(shown)
            if text:
                return [Block("Uncertainty of each class", self.study.captions["doubts"], text=text, table=table)]
        return []

    def _bars(self) -> list[Block]:
        first: dict[str, FinishedRun] = {}
        for run in self.study.runs_of(self.setup):
            if not run.is_reference:
                first.setdefault(run.run.method, run)
        blocks = []
        for method, run in first.items():
            counts = gallery.bars(run, read_labels(run.folder, self.study.rounds, len(run.classes)))
            none = [literal(name) for name, _, count, _ in counts if not count]
            text = f"No label yet: {', '.join(none)}. The model cannot predict what it has never seen." if none else ""
            blocks.append(Block(f"Labelled pixels of each class, {method}", text=text, bars=counts))
        return blocks


def ends(final: "pd.DataFrame") -> str:
    """Put each method's last mIoU in words."""
    return ", ".join(
        f"{row.method} {100 * row.miou_mean:.1f} % with {row.labelled_pixels:,.10g} pixels"
        for row in final.itertuples()
    )
