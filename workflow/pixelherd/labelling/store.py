"""The answers of a project: rows of an SQLite file, added and never changed.

An answer is a row before the page is told that it counts, on the disk: the journal is written ahead, and every commit
waits for the disk. A correction is a row that names the row up to which it replaces what was said of a pixel; a class
that gets another name, colour or key, or is merged into another, is a row too. So nothing that was ever said is lost,
and :mod:`pixelherd.labelling.state` tells from the rows what holds now.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from pixelherd.errors import UserError

VERSION = 1

UNKNOWN = 0
"""Class of an answer that says that the class cannot be told; classes are numbered from 1."""

TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE classes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, class INTEGER NOT NULL, name TEXT NOT NULL, colour TEXT NOT NULL,
    key TEXT NOT NULL, merged_into INTEGER, annotator TEXT NOT NULL, time REAL NOT NULL
) STRICT;
CREATE TABLE images (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, time REAL NOT NULL) STRICT;
CREATE TABLE questions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, image TEXT NOT NULL, row INTEGER NOT NULL, "column" INTEGER NOT NULL,
    reason TEXT NOT NULL, annotator TEXT NOT NULL, time REAL NOT NULL
) STRICT;
CREATE TABLE answers (
    id INTEGER PRIMARY KEY AUTOINCREMENT, image TEXT NOT NULL, row INTEGER NOT NULL, "column" INTEGER NOT NULL,
    class INTEGER, annotator TEXT NOT NULL, time REAL NOT NULL, replaces INTEGER REFERENCES answers (id),
    question INTEGER REFERENCES questions (id), undoes INTEGER REFERENCES answers (id), receipt TEXT UNIQUE
) STRICT;
CREATE TABLE skips (id INTEGER PRIMARY KEY AUTOINCREMENT, question INTEGER NOT NULL, time REAL NOT NULL) STRICT;
CREATE TABLE checkpoints (
    id INTEGER PRIMARY KEY AUTOINCREMENT, answer INTEGER NOT NULL, time REAL NOT NULL
) STRICT;
"""

Place = tuple[str, int, int]
"""Name of an image, row and column of a prepared pixel."""


@dataclass(frozen=True)
class Class:
    """A class as it was last described.

    Attributes:
        id: its number for good, from 1.
        name: as people call it.
        colour: ``#rrggbb``.
        key: that answers with it; empty where it has none.
        merged_into: the class that its answers count for; None where they are its own.
    """

    id: int
    name: str
    colour: str
    key: str
    merged_into: int | None = None


@dataclass(frozen=True)
class Question:
    """A pixel that somebody was asked.

    Attributes:
        id: its number.
        image, row, column: the pixel.
        reason: why it was asked, of :data:`pixelherd.labelling.questions.REASONS`.
        annotator: who was asked.
        time: when, in seconds since 1970.
    """

    id: int
    image: str
    row: int
    column: int
    reason: str
    annotator: str
    time: float

    @property
    def place(self) -> Place:
        """Return the pixel."""
        return self.image, self.row, self.column


@dataclass(frozen=True)
class Answer:
    """What somebody said of a pixel.

    Attributes:
        id: its number; later answers have higher ones.
        image, row, column: the pixel.
        label: the class, :data:`UNKNOWN`, or None where an answer is taken back.
        annotator: who said it.
        time: when, in seconds since 1970.
        replaces: what was said of the pixel up to this answer does not hold any more; None for another opinion.
        question: what it answers; None where somebody chose the pixel.
        undoes: the answer that it takes back.
    """

    id: int
    image: str
    row: int
    column: int
    label: int | None
    annotator: str
    time: float
    replaces: int | None = None
    question: int | None = None
    undoes: int | None = None

    @property
    def place(self) -> Place:
        """Return the pixel."""
        return self.image, self.row, self.column


@dataclass(frozen=True)
class Said:
    """An answer that is about to become a row; attributes as of :class:`Answer`."""

    image: str
    row: int
    column: int
    label: int | None
    annotator: str
    replaces: int | None = None
    question: int | None = None
    undoes: int | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A place in the log at which a round ends: after an answer."""

    id: int
    answer: int
    time: float


class Store:
    """The rows of a project. Threads may share it; other processes may read the file meanwhile.

    Args:
        path: the file; made where it is not there.

    Raises:
        UserError: the file is no store, was written by a later pixelherd, or is damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path, self._lock = Path(path), RLock()
        try:
            self._database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA foreign_keys = ON")
            self._make()
        except sqlite3.Error as error:
            raise UserError(
                f"{self.path} cannot be opened as a store of answers ({error})", remedy="put back a copy of it"
            ) from None

    def _make(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise UserError(f"{self.path} was written by a later pixelherd", remedy="install that one")
        with self.writing():
            if not self._database.execute("PRAGMA user_version").fetchone()[0]:
                for statement in filter(str.strip, TABLES.split(";")):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Do all that is inside as one: when it is left all is on the disk, and after an error nothing is."""
        with self._lock:
            if self._database.in_transaction:
                yield
                return
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _rows(self, query: str, *values: Any) -> list[tuple]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    def _add(self, table: str, values: Mapping[str, Any]) -> int:
        columns = ", ".join(f'"{name}"' for name in values)
        query = f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(values))})"
        with self.writing():
            return self._database.execute(query, tuple(values.values())).lastrowid or 0

    # What was decided when the project began.

    def facts(self) -> dict[str, str]:
        """Return what is known of the project by name."""
        return dict(self._rows("SELECT name, value FROM facts"))

    def note(self, **facts: str) -> None:
        """Note facts of the project, in place of what was noted by the same names."""
        with self.writing():
            self._database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", list(facts.items()))

    # Images and classes.

    def images(self) -> list[str]:
        """Return the names of all images that ever were in the folder, those first that came first."""
        return [name for (name,) in self._rows("SELECT name FROM images ORDER BY id")]

    def add_images(self, names: Iterable[str]) -> None:
        """Add images that are not there yet."""
        rows = [(name, time.time()) for name in names]
        with self.writing():
            self._database.executemany("INSERT OR IGNORE INTO images (name, time) VALUES (?, ?)", rows)

    def classes(self) -> list[Class]:
        """Return all classes as they were last described, merged ones too, by their numbers."""
        columns = "class, name, colour, key, merged_into"
        latest = "SELECT max(id) FROM classes GROUP BY class"
        return [Class(*row) for row in self._rows(f"SELECT {columns} FROM classes WHERE id IN ({latest}) ORDER BY 1")]

    def describe(self, given: Class, annotator: str) -> Class:
        """Add a class (its ``id`` is 0), or describe one anew; returns it with its number."""
        with self.writing():
            (last,) = self._rows("SELECT coalesce(max(class), 0) FROM classes")[0]
            found = Class(**{**asdict(given), "id": given.id or last + 1})
            row = {"class" if name == "id" else name: value for name, value in asdict(found).items()}
            self._add("classes", row | {"annotator": annotator, "time": time.time()})
        return found

    # Questions and answers.

    def ask(self, place: Place, reason: str, annotator: str) -> Question:
        """Note that somebody is asked a pixel."""
        row = dict(zip(("image", "row", "column"), place, strict=True))
        values: dict[str, Any] = {**row, "reason": reason, "annotator": annotator, "time": time.time()}
        return Question(self._add("questions", values), **values)

    def questions(self, after: int = 0) -> list[Question]:
        """Return the questions that were asked after a number."""
        query = 'SELECT id, image, row, "column", reason, annotator, time FROM questions WHERE id > ? ORDER BY id'
        return [Question(*row) for row in self._rows(query, after)]

    def skip(self, question: int) -> None:
        """Note that somebody left a question open."""
        self._add("skips", {"question": question, "time": time.time()})

    def skips(self) -> set[int]:
        """Return the questions that were left open."""
        return {question for (question,) in self._rows("SELECT question FROM skips")}

    def answer(self, said: Said, receipt: str | None = None) -> Answer:
        """Add an answer; when it is returned, it is on the disk.

        Args:
            said: the answer.
            receipt: names it for whoever sends it; sent again, it is the same answer and not another row.
        """
        with self.writing():
            if receipt is not None and (before := self._answers("receipt = ?", receipt)):
                return before[0]
            values = asdict(said) | {"time": time.time()}
            row = {"class" if name == "label" else name: value for name, value in values.items()}
            return Answer(self._add("answers", row | {"receipt": receipt}), **values)

    def answers(self, after: int = 0) -> list[Answer]:
        """Return the answers after a number, in order."""
        return self._answers("id > ?", after)

    def _answers(self, condition: str, value: Any) -> list[Answer]:
        columns = 'id, image, row, "column", class, annotator, time, replaces, question, undoes'
        return [
            Answer(*row) for row in self._rows(f"SELECT {columns} FROM answers WHERE {condition} ORDER BY id", value)
        ]

    # Rounds.

    def checkpoint(self, answer: int) -> Checkpoint:
        """Note that a round ends after an answer."""
        values: dict[str, Any] = {"answer": answer, "time": time.time()}
        return Checkpoint(self._add("checkpoints", values), **values)

    def checkpoints(self) -> list[Checkpoint]:
        """Return where rounds end."""
        return [Checkpoint(*row) for row in self._rows("SELECT id, answer, time FROM checkpoints ORDER BY id")]

    def is_sound(self) -> bool:
        """Return whether SQLite finds no damage in the file."""
        return self._rows("PRAGMA integrity_check") == [("ok",)]
