"""Finished runs as tables find them: a folder each, and no raw data, no cache, no order of folders.

A run's folder holds its seal, its metrics and, for each round, the labels; rounds that ranked a pool, or that a person
labelled, hold more. Runs may have more rounds than the study asks for now, so every reader takes ``rounds`` and uses
the rounds before it. Rows come in one order everywhere: dataset, features, budget (as a number), method (in the study's
order, the reference last), seed, round.
"""

import csv
import itertools
import json
import math
import operator
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pixelherd.datasets.classes import IGNORED, ClassInfo
from pixelherd.datasets.pixels import LABEL_COLUMNS
from pixelherd.errors import UserError
from pixelherd.results.setups import RUN, Setup
from pixelherd.storage.files import digest_of, original
from pixelherd.storage.records import is_own_digest
from pixelherd.study.paths import LABELS, METRICS, SEAL
from pixelherd.study.run import Run

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "full"
"""The method that labels every training pixel: one round, the same for all budgets, shown for comparison."""

CANNOT_TELL = "cannot tell"
"""What tables and figures call an ignored label that somebody was asked for."""

MEASURES = ["miou", "pixel_accuracy", "mean_class_accuracy"]

CALIBRATION = "calibration_error"
"""Column of ``metrics.csv`` after the measures; runs of pixelherd 0.1 have none."""


@dataclass(frozen=True)
class FinishedRun:
    """A run that is sealed, as far as tables and figures need to know it.

    Attributes:
        folder: the run's folder.
        run: which run it is.
        rounds: rounds that it has.
        classes: classes of its dataset; a label value is a position among them.
        image_size: (height, width) of its prepared images.
        train_images: images of the training split.
        test_images: images of the test split.
        has_masks: whether the training images have masks.
    """

    folder: Path
    run: Run
    rounds: int
    classes: tuple[ClassInfo, ...]
    image_size: tuple[int, int]
    train_images: int
    test_images: int
    has_masks: bool

    @property
    def key(self) -> list[str | int]:
        """Values of the columns ``RUN``."""
        return [getattr(self.run, name) for name in RUN]

    @property
    def setup(self) -> Setup:
        """What it is compared with other methods on."""
        return Setup(self.run.dataset, self.run.features, self.run.budget)

    @property
    def is_reference(self) -> bool:
        """Whether it labels every training pixel."""
        return self.run.method == REFERENCE

    @cached_property
    def labels(self) -> "pd.DataFrame":
        """The answers of all of its rounds, as :func:`read_labels` gives them; several tables ask for them."""
        return read_labels(self.folder, self.rounds, len(self.classes))


def read_run(folder: Path | str) -> FinishedRun:
    """Read a run's seal.

    Raises:
        UserError: the file is missing, is not JSON, or does not describe a run.
    """
    path = Path(folder) / SEAL
    try:
        facts = json.loads(path.read_bytes())
        if not is_own_digest(facts):
            raise ValueError
        run, images = Run(**{key: facts["run"][key] for key in RUN}), facts["images"]
        budget_key(run.budget)
        classes = tuple(ClassInfo(entry["name"], tuple(entry["colour"])) for entry in facts["classes"])
        height, width = facts["image_size"]
        if images["train"] <= 0:
            raise ValueError
        # what seals did not say once goes without saying: there are test images and masks
        tests, has_masks = images.get("test", 1), facts.get("masks", True)
        _check(Path(folder), facts["files"])
        size, trains = (height, width), images["train"]
        return FinishedRun(Path(folder), run, facts["rounds"], classes, size, trains, tests, has_masks)
    except FileNotFoundError:
        raise UserError(f"{path} is missing, so the run is not finished", remedy="run the study again") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} does not describe a run", remedy=f"delete {folder} and run the study again") from None


def _check(folder: Path, sealed: dict[str, str]) -> None:
    """Compare the tables of a run with its seal; heads and thumbnails may be taken away."""
    for name, digest in sealed.items():
        path = folder / name
        if name.endswith(".csv") and path.is_file() and digest_of(path) != digest:
            raise UserError(
                f"{path} has changed since the run was finished",
                remedy=f"put back the file of then, or delete {folder / SEAL} and run the study again",
            )


def budget_key(budget: str) -> float:
    """Return where a budget stands among others: its number, and "all" after every number."""
    return float("inf") if budget == "all" else float(budget)


def in_order(folders: Iterable[Path | str | FinishedRun], methods: Sequence[str] = ()) -> list[FinishedRun]:
    """Read the seals of run folders, and sort the runs as all tables and figures do.

    Args:
        folders: run folders, or runs whose seals were read and compared before.
        methods: the study's order of methods; others follow by name, and the reference comes last.

    Raises:
        UserError: as :func:`read_run`.
    """

    def key(finished: FinishedRun) -> tuple:
        run = finished.run
        rank = methods.index(run.method) if run.method in methods else len(methods)
        method = (finished.is_reference, rank, run.method)
        return (run.dataset, run.features, budget_key(run.budget), run.budget, *method, run.seed)

    return sorted((each if isinstance(each, FinishedRun) else read_run(each) for each in folders), key=key)


def read_cells(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """Read the cells of a CSV file that must start with ``columns``, those alone, as text.

    A study has tens of thousands of files of a few rows, of which pandas would take a millisecond each.

    Raises:
        UserError: the file is missing, cannot be parsed, or has other columns.
    """
    return [row[: len(columns)] for row in _read_table(path, columns)[1:]]


def _read_table(path: Path, columns: Sequence[str]) -> list[list[str]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            found = [[original(cell) for cell in row] for row in csv.reader(file, strict=True) if row]
    except FileNotFoundError:
        raise UserError(f"{path} is missing", remedy="run the study again to make it") from None
    except (csv.Error, UnicodeDecodeError):
        found = []
    if not found or any(len(row) != len(found[0]) for row in found):
        raise UserError(f"{path} is not a table of comma-separated values", remedy="delete it and run the study again")
    if found[0][: len(columns)] != list(columns):
        raise UserError(
            f"{path} has the columns {', '.join(found[0])}, but must start with {', '.join(columns)}",
            remedy="delete it and run the study again",
        )
    return found


def as_numbers(
    path: Path,
    columns: Sequence[str],
    cells: list[list[str]],
    whole: Collection[str] = ("round",),
    texts: Collection[str] = (),
    damaged: str | Path = "it",
) -> list[list]:
    """Turn the cells of a CSV file into numbers in all columns but ``texts``; an empty cell is NaN.

    Args:
        path: the file.
        columns: of the cells.
        cells: its rows, from :func:`read_cells`.
        whole: columns of whole numbers, where no cell is empty.
        texts: columns that stay text.
        damaged: what is to be deleted where there is something else; the file by default.

    Raises:
        UserError: there is something else where numbers belong.
    """
    turn = [str if column in texts else _whole if column in whole else _number for column in columns]
    try:
        return [[of(cell) for of, cell in zip(turn, row, strict=True)] for row in cells]
    except (ValueError, OverflowError):
        raise UserError(
            f"{path} holds text where numbers belong", remedy=f"delete {damaged} and run the study again"
        ) from None


def _number(cell: str) -> float:
    return float(cell or "nan")


def _whole(cell: str) -> int:
    return int(float(cell))


def read_metrics(
    folders: Iterable[Path | str | FinishedRun], rounds: int, methods: Sequence[str] = ()
) -> "pd.DataFrame":
    """Read the metrics of many runs, a row per run and round.

    Args:
        folders: run folders.
        rounds: rounds to use, counted from round 0; the reference has round 0 only.
        methods: the study's order of methods.

    Returns:
        Columns dataset, features, budget (text), method, seed, round, labelled_pixels, miou, pixel_accuracy,
        mean_class_accuracy, calibration_error (NaN in runs of pixelherd 0.1), and ``iou_<class name>`` for the classes
        of all datasets; values in [0, 1], NaN where a class is absent from target and prediction or is not of the
        dataset, all NaN where there are no test images.

    Raises:
        UserError: a file is missing, has unexpected columns, values outside [0, 1], or too few rounds; or there are
            test images, but no pixel of their masks has a class.
    """
    import pandas as pd

    found = []
    for run in in_order(folders, methods):
        columns, rows = _metrics_of(run, 1 if run.is_reference else rounds)
        found.append((columns, [[*run.key, *row] for row in rows]))
    if not found:
        raise UserError("there are no finished runs to make tables of", remedy="run the study first")
    # one table of all runs of a dataset: pandas takes milliseconds for each
    parts = [
        pd.DataFrame([row for _, rows in group for row in rows], columns=[*RUN, *columns])
        for columns, group in itertools.groupby(found, key=operator.itemgetter(0))
    ]
    return pd.concat(parts, ignore_index=True)


def _metrics_of(run: FinishedRun, wanted: int) -> tuple[list[str], list[list]]:
    """The metrics of a run's first rounds, checked, with the names of their columns: of classes instead of slugs."""
    path, remedy = run.folder / METRICS, "delete it and run the study again"
    columns = ["round", "labelled_pixels", *MEASURES]
    given, *cells = _read_table(path, columns)
    has_calibration = CALIBRATION in given
    iou = given[len(columns) + has_calibration :]
    if len(iou) != len(run.classes) or not all(column.startswith("iou_") for column in iou):
        raise UserError(
            f"{path} must have one iou_ column for each of the {len(run.classes)} classes after {MEASURES[-1]}, but "
            f"has {', '.join(iou) or 'none'}",
            remedy=remedy,
        )
    table = as_numbers(path, given, cells, whole=columns[:2])
    if not has_calibration:
        table = [[*row[: len(columns)], math.nan, *row[len(columns) :]] for row in table]
    values = [value for row in table for value in row[2:]]
    if run.test_images and all(map(math.isnan, values)):
        raise UserError(
            f"no pixel of the {run.test_images} test masks of {run.run.dataset} has a class, so {path} holds no values",
            remedy=(f"correct the test masks, delete {run.folder} and run the study again"),
        )
    measured = [value for row in table for value in row[2 : len(columns)]]
    if (run.test_images and any(map(math.isnan, measured))) or any(value < 0 or value > 1 for value in values):
        raise UserError(f"{path} holds values outside [0, 1]", remedy=remedy)
    rows = sorted((row for row in table if row[0] < wanted), key=operator.itemgetter(0))
    if [row[0] for row in rows] != list(range(wanted)):
        raise UserError(
            f"{path} has the rounds {[row[0] for row in rows]}, but the study asks for the first {wanted}",
            remedy=("run the study again"),
        )
    # the file writes the classes in the order of the seal
    return [*columns, CALIBRATION, *(f"iou_{each.name}" for each in run.classes)], rows


def of_round(folder: Path, number: int, name: str) -> Path:
    """Return the path of a file of a run's round."""
    return folder / f"round-{number}" / name


def read_labels(folder: Path, rounds: int, classes: int) -> "pd.DataFrame":
    """Read the answers of a run's first ``rounds`` rounds: round, image, row, column, label.

    Raises:
        UserError: a file is missing, or a label is neither a class nor 255.
    """
    import pandas as pd

    answers = [row for number in range(rounds) for row in _answers(of_round(folder, number, LABELS), number, classes)]
    return pd.DataFrame(answers, columns=LABEL_COLUMNS)


def _answers(path: Path, number: int, classes: int) -> Iterator[tuple[int, str, int, int, int]]:
    """The answers of a round: its number, image, row, column, label."""
    for _, image, *place, label in read_cells(path, LABEL_COLUMNS):
        try:
            row, column = (int(float(cell)) for cell in place)
        except (ValueError, OverflowError):
            raise UserError(f"{path} holds a row or column that is no number", remedy="correct it") from None
        try:
            value = float(label)
        except ValueError:
            value = math.nan
        if not (value in range(classes) or value == IGNORED):
            raise UserError(
                f"{path} holds the label {label}, but labels are 0 to {classes - 1}, or {IGNORED} for {CANNOT_TELL!r}",
                remedy="correct it",
            )
        yield number, image, row, column, int(value)


def labelled_runs(
    folders: Iterable[Path | str | FinishedRun], rounds: int, methods: Sequence[str]
) -> Iterator[tuple[FinishedRun, "pd.DataFrame"]]:
    """Yield every run but the reference's, with its answers.

    Raises:
        UserError: as :func:`read_run` and :func:`read_labels`.
    """
    for run in in_order(folders, methods):
        if not run.is_reference:
            yield run, run.labels[run.labels["round"] < rounds]


def read_rounds(
    folders: Iterable[Path | str | FinishedRun], rounds: int, methods: Sequence[str], name: str, columns: Sequence[str]
) -> "pd.DataFrame":
    """Read a file that rounds may have, of all rounds and runs, behind the runs' keys.

    Args:
        folders: run folders.
        rounds: rounds to use, counted from round 0.
        methods: the study's order of methods.
        name: the file's name; a round without it is left out.
        columns: its columns; numbers but for score, group, first and second.

    Raises:
        UserError: a file is malformed.
    """
    import pandas as pd

    texts = {"score", "group", "first", "second"}
    rows = []
    for run in in_order(folders, methods):
        for path in (of_round(run.folder, number, name) for number in range(rounds)):
            if path.is_file():  # seals list their files: where this one is lacking, the run is older than it
                # without this file alone the run would pass for an older one
                found = as_numbers(path, columns, read_cells(path, columns), texts=texts, damaged=run.folder)
                rows += [[*run.key, *row] for row in found]
    return pd.DataFrame(rows, columns=[*RUN, *columns])
