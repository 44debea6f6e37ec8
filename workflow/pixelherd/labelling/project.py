"""A project: a folder of photographs, the answers to them, and the study that Snakemake repeats it by.

Everything that is written lies in a folder of its own: ``config.yaml`` (the study), ``answers.sqlite`` (the store),
``results`` and ``cache`` as of any study, the cache with what the page shows and the model knows of images.
"""

import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock, Timeout

from pixelherd.annotation import log
from pixelherd.annotation.page import KEYS
from pixelherd.datasets.originals import Digests, look, remember
from pixelherd.datasets.prepare import classes_of, samples_of
from pixelherd.datasets.readers.own.listing import listing
from pixelherd.datasets.samples import IMAGE_SUFFIXES, opened, orientation
from pixelherd.datasets.settings import FolderSettings
from pixelherd.errors import UserError
from pixelherd.labelling import state
from pixelherd.labelling.store import Class, Place, Store
from pixelherd.storage.files import write_csv, write_text
from pixelherd.storage.locks import lock_at
from pixelherd.study.paths import HEAD
from pixelherd.study.study import Study

if TYPE_CHECKING:
    from pixelherd.datasets.samples import Sample
    from pixelherd.datasets.settings import DatasetSettings
    from pixelherd.study.run import Run

STORE, STUDY, LABELLED, LOCK, CACHE = "answers.sqlite", "config.yaml", "labelled.yaml", ".labelling.lock", "live"
"""Names in the folder of a project: the store, the study that is written for a folder of photographs, or beside a study
of a person's own, the lock; and of a folder in the study's cache."""

DATASET, FEATURES, METHOD = "photographs", "encoder", "uherding"
"""Entries of the study that is written for a folder."""

ROUND = 20
"""Answers that heads may learn after which a round ends."""

LONGEST = 512
"""Longest side of prepared images, where the photographs are not smaller: an encoder takes half a second for them."""

STEP = 32
"""Sides are multiples of the encoder's coarsest stride."""

LOOKED_AT = 50
"""Photographs, spread over the folder, whose sizes decide that of prepared images."""

PREFACE = """# Written by `pixelherd label`, which writes it again at every checkpoint. `pixelherd run` (or `snakemake`)
# in this folder repeats what the page did, the heads of its rounds from the answers in results/annotation, and makes
# the report.
"""

STUDY_OF_PAGE = re.compile(r"\A# Written by `pixelherd label`")

STAND_INS = ({"name": "class 1"}, {"name": "class 2"})
"""Classes of a study that has none yet, so that all else of it can be read."""


@dataclass(frozen=True)
class Project:
    """A folder in which somebody labels; it is the working folder, since paths of a study are relative to it.

    Attributes:
        store: its answers.
        base: the study without the classes and rounds that the answers decide.
        dataset: name of the images in the study.
        study_file: where the study is written.
    """

    store: Store
    base: Mapping[str, Any]
    dataset: str
    study_file: Path

    def study(self, classes: Sequence[Class] = (), rounds: int = 1) -> Study:
        """Return the study with classes, or with stand-ins where there are too few, and rounds.

        Raises:
            UserError: the classes do not go together.
        """
        return Study.read(self.content(classes, rounds))

    def content(self, classes: Sequence[Class] = (), rounds: int = 1) -> dict[str, Any]:
        """Return what is written as the study."""
        described = [{"name": each.name, "key": f"class-{each.id}", "colour": rgb_of(each.colour)} for each in classes]
        content = json.loads(json.dumps(self.base))
        content["datasets"][self.dataset]["classes"] = described if len(described) > 1 else list(STAND_INS)
        return content | {"oracle": "log", "rounds": max(rounds, 1)}

    @cached_property
    def settings(self) -> "DatasetSettings":
        """Settings of the images, whatever the classes."""
        return self.study().datasets[self.dataset]

    @cached_property
    def run(self) -> "Run":
        """The run whose rounds are labelled."""
        return next(run for run in self.study().runs() if run.dataset == self.dataset)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of prepared images."""
        return self.settings.size

    @property
    def cache(self) -> Path:
        """Folder of what is known of images; it may be deleted while nobody labels."""
        return Path(self.study().cache) / CACHE

    @property
    def folder(self) -> Path:
        """Folder of what the page leaves for people and for Snakemake: rounds, tables, the head."""
        paths = self.study().paths
        return Path(paths.of_round(paths.answers, self.run, 0)).parents[1]

    @property
    def head(self) -> Path:
        """The head of the last checkpoint."""
        return self.folder / HEAD

    @property
    def masks(self) -> Path:
        """Folder of the photographs' masks."""
        return self.study_file.parent / "masks"

    def samples(self) -> "dict[str, Sample]":
        """Return the photographs by name.

        Raises:
            UserError: there are none, or two have the same name.
        """
        return {sample.id: sample for sample in samples_of(self.settings)["train"]}

    def order(self) -> list[str]:
        """Return the photographs in the order that the study has them in, and see to it that it keeps this order."""
        study = self.study()
        record = Path(study.paths.originals.format(dataset=self.dataset))
        found, _ = look(self.settings, record, Digests(Path(study.paths.digests)))
        remember(self.settings, record, found)
        return [each.id for each in found["train"]]

    def held_out(self) -> set[Place]:
        """Return the pixels that no head may learn."""
        return {each.place for each in self.store.questions() if each.reason == "random"}

    def rounds(self, images: Collection[str]) -> list[list[state.Row]]:
        """Return what each round learns, by what holds now; answers in images that are gone wait."""
        labels = state.Labels.of(self.store.answers())
        label_of = state.positions(self.store.classes())
        rows = state.training_rows(labels, label_of, self.held_out(), images)
        return state.rounds_of(rows, labels, self.store.checkpoints())

    def write(self, rounds: Sequence[Sequence[state.Row]]) -> Study | None:
        """Write the study, and the answers of its rounds; nothing where there is no round, or a class alone.

        A round whose answers are others than they were breaks the seal of the run, so that Snakemake makes it again.

        Returns:
            the study.
        """
        classes = state.kept(self.store.classes())
        if not rounds or len(classes) < 2:
            return None
        study = self.study(classes, len(rounds))
        paths, run, changed = study.paths, self.run, False
        for number, rows in enumerate(rounds):
            path = Path(paths.of_round(paths.answers, run, number))
            before = path.read_bytes() if path.is_file() else None
            if before is None or _rows_in(path) != [tuple(map(str, row)) for row in rows]:
                log.write_round(path, number, rows)
                changed |= before is not None
        number = len(rounds)
        while (path := Path(paths.of_round(paths.answers, run, number))).is_file():
            path.unlink()
            number, changed = number + 1, True
        if changed:
            Path(paths.seal.format(run=run.path)).unlink(missing_ok=True)
        self._write_tables(self.folder)
        text = PREFACE + yaml.safe_dump(self.content(classes, len(rounds)), sort_keys=False, allow_unicode=True)
        if not self.study_file.is_file() or self.study_file.read_text(encoding="utf-8") != text:
            write_text(self.study_file, text)
        return study

    def _write_tables(self, folder: Path) -> None:
        """Write all that was said, and what of it is held out, as tables for people."""
        names = {each.id: each.name for each in self.store.classes()} | {0: "unknown", None: ""}
        columns = ("id", "image", "row", "column", "class", "annotator", "time", "replaces", "undoes")
        rows = [
            (a.id, a.image, a.row, a.column, names[a.label], a.annotator, f"{a.time:.3f}", a.replaces, a.undoes)
            for a in self.store.answers()
        ]
        write_csv(folder / "answers.csv", columns, rows)
        labels, meant = state.Labels.of(self.store.answers()), state.merged(self.store.classes())
        held_out = sorted(place for place in self.held_out() if labels.label(place, meant) is not None)
        kept = [(*place, names[labels.label(place, meant)]) for place in held_out]
        write_csv(folder / "held_out.csv", ("image", "row", "column", "class"), kept)


def _rows_in(path: Path) -> list[tuple[str, ...]] | None:
    """Rows of a round's file without the round; None where it is damaged."""
    from pixelherd.datasets.pixels import LABEL_COLUMNS
    from pixelherd.storage.files import read_csv

    try:
        return [tuple(entry.values())[1:] for _, entry in read_csv(path, LABEL_COLUMNS)]
    except UserError:
        return None


def rgb_of(colour: str) -> list[int]:
    """Return ``#rrggbb`` as three numbers."""
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def folder_for(photographs: Path, wanted: Path | None) -> Path:
    """Return where the project of a folder lies: beside it, whatever the working folder, unless another is wanted.

    Raises:
        UserError: there is no such folder of photographs, or the project would lie inside it.
    """
    photographs = Path(os.path.realpath(photographs.expanduser()))
    if not photographs.is_dir():
        raise UserError(f"there is no folder {photographs}", remedy="name the folder of your photographs")
    project = Path(os.path.realpath(wanted)) if wanted else photographs.with_name(f"{photographs.name}-labels")
    if project.is_relative_to(photographs):
        raise UserError(
            f"{project} is in the folder of photographs, so masks would be taken for photographs",
            remedy="name a folder outside by --project",
        )
    return project


def begin(photographs: Path, project: Path) -> Project:
    """Open the project of a folder, made where it is not there, and go there.

    Raises:
        UserError: the folder holds no photographs, or the project is of another folder or cannot be written.
    """
    photographs = Path(os.path.realpath(photographs.expanduser()))
    found = listing(photographs, IMAGE_SUFFIXES, "image")
    if not found.files:
        others = f", but {found.kinds()}" if found.other_kinds else ""
        raise UserError(f"there are no photographs in {photographs}{others}", remedy="JPEG or PNG are read")
    try:
        project.mkdir(parents=True, exist_ok=True)
        os.chdir(project)
    except OSError as error:
        raise UserError(
            f"{project} cannot be made ({error.strerror})", remedy="name another folder by --project"
        ) from None
    root = os.path.relpath(photographs, project) if photographs.parent == project.parent else str(photographs)
    store = Store(STORE)
    facts = store.facts()
    if "study" not in facts:
        content = {
            "datasets": {DATASET: {"kind": "folder", "root": root, "train_images": ".", "size": size_of(found.files)}},
            "features": {FEATURES: {"backbone": {"embedded": "efficientnet_lite2"}}},
            "methods": {METHOD: None},
            "budgets": [ROUND],
            "seeds": [0],
            "pictures": 6,
        }
        store.note(study=json.dumps(content), photographs=str(photographs))
    base = json.loads(store.facts()["study"])
    if os.path.realpath(base["datasets"][DATASET]["root"]) != str(photographs):
        known = store.facts()["photographs"]
        raise UserError(f"{project} is the project of {known}", remedy="name another folder by --project")
    return Project(store, base, DATASET, Path(STUDY))


def of_study(content: Mapping[str, Any]) -> Project:
    """Open the project of a study in the working folder, made where it is not there.

    Args:
        content: the study.

    Raises:
        UserError: the study is not labelled live, or has several runs, another head, or images of another kind.
    """
    study = Study.read(dict(content))
    runs = study.runs()
    if study.oracle != "log" or len(runs) != 1:
        what = f"has {len(runs)} runs" if study.oracle == "log" else f"takes its answers from `oracle: {study.oracle}`"
        raise UserError(
            f"this study {what}",
            remedy="to label live, set `oracle: log`, with a dataset, method, budget and seed alone",
        )
    dataset, settings = runs[0].dataset, study.datasets[runs[0].dataset]
    head = study.head_of(runs[0].method)
    if not isinstance(settings, FolderSettings) or head.kind != "linear" or head.self_training:
        raise UserError("only a dataset of `kind: folder` is labelled live, with a linear head without self-training")
    store = Store(STORE)
    known = store.facts().get("study")
    if known is not None and STUDY_OF_PAGE.search(_text_of(Path(STUDY))):
        return Project(store, json.loads(known), dataset, Path(STUDY))
    if known is None and not store.classes():
        for each, info, key in zip(settings.classes, classes_of(settings), KEYS.ljust(255), strict=False):
            store.describe(Class(0, each.name, "#{:02x}{:02x}{:02x}".format(*info.colour), key.strip()), "the study")
    base = json.loads(json.dumps(content))
    del base["datasets"][dataset]["classes"]
    store.note(study=json.dumps(base), photographs=os.path.realpath(settings.root))
    return Project(store, base, dataset, Path(LABELLED))


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def claim(folder: Path) -> FileLock:
    """Return the lock that says that a project is open; keep it, or it is released.

    Raises:
        UserError: somebody has it open already.
    """
    lock = lock_at(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(
            f"a page of {folder} is open already", remedy="go on there, or end its `pixelherd label` first"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise UserError(f"{folder} cannot be locked ({error})", remedy="name another folder by --project") from None
    return lock


def size_of(files: Mapping[str, Path]) -> list[int]:
    """Return [height, width] that suits photographs: of their median shape, not larger than the median one.

    Raises:
        UserError: none of those that are looked at can be read.
    """
    paths = list(files.values())
    looked_at = paths[:: max(len(paths) // LOOKED_AT, 1)]
    sizes = [size for size in map(_upright, looked_at) if size]
    if not sizes:
        raise UserError(f"{looked_at[0]} is no photograph that can be read", remedy="replace it")
    width = median(width for width, _ in sizes)
    shape = median(height / width for width, height in sizes)
    scale = min(LONGEST / max(width, width * shape), 1.0)
    sides = (width * shape * scale, width * scale)
    return [max(round(side / STEP) * STEP, STEP) for side in sides]


def _upright(path: Path) -> tuple[int, int] | None:
    """Width and height of a photograph as it is shown; None where it cannot be read."""
    try:
        with opened(path) as image:
            width, height = image.size
    except (OSError, ValueError, SyntaxError, UserError):
        return None
    return (height, width) if orientation(path) > 4 else (width, height)
