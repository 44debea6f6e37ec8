"""The files of an archive: tables of many runs in one, which pandas reads, and from which each run's own come back.

A file ``queries.csv.xz`` holds the ``queries.csv`` of all rounds of all runs, a row a line, behind the columns that
name the run. Where the columns of a table differ, as those of metrics do with a dataset's classes, each kind has a
file. Cells are kept as text, so that every run's file comes back in the same bytes; its seal tells.
"""

import csv
import io
import json
import lzma
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pixelherd.errors import UserError
from pixelherd.results.archive.carried import Carried, Runs, as_sealed, in_order, raise_first
from pixelherd.results.setups import RUN
from pixelherd.storage.files import digest_of, digest_of_text, quoted, write_bytes
from pixelherd.storage.records import read_record, write_record

INDEX, SEALS, CARD, ENDING = "index.json", "seals.jsonl.xz", "README.md", ".csv.xz"

NAME = "pixelherd archive"
"""What the index calls itself, wherever the folder lies."""

FORMAT = 1

ROUND = "round"

Row = list[str]
Kind = tuple[str, ...]
"""Columns of a table."""


@dataclass(frozen=True)
class Table:
    """One kind of table of all runs.

    Attributes:
        file: the CSV file of a run or round that it is made of, such as ``queries.csv``.
        columns: those of each of these files.
        of_rounds: whether the files are of rounds, not of runs.
        parts: rows of each file, by run (:attr:`Run.path`) and the file's path in the run's folder.
    """

    file: str
    columns: Kind
    of_rounds: bool
    parts: dict[tuple[str, str], list[Row]]

    @property
    def adds_round(self) -> bool:
        """Whether the round has to be told, since the file's own columns do not."""
        return self.of_rounds and ROUND not in self.columns

    def text(self, runs: Runs) -> str:
        """Write all rows as CSV, behind the columns ``RUN``."""
        more = [ROUND] if self.adds_round else []
        lines = [line([*RUN, *more, *self.columns])]
        for (path, name), rows in self.parts.items():
            of_run = [str(getattr(runs[path].run, column)) for column in RUN]
            key = [*of_run, _round_of(name)] if more else of_run
            lines += [line([*key, *row]) for row in rows]
        return "".join(lines)


def line(cells: Sequence[str]) -> str:
    """Write cells as a line of CSV, quoted where they must be, as pixelherd's own files are."""
    joined = ",".join(cells)
    if joined.count(",") < len(cells) and not re.search('["\r\n]', joined):  # as nearly all of a million lines
        return joined + "\n"
    return ",".join(map(quoted, cells)) + "\n"


def _round_of(name: str) -> str:
    return PurePosixPath(name).parts[0].removeprefix("round-")


def _parse(text: str) -> tuple[Kind, list[Row]]:
    columns, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    return tuple(columns), rows


def gather(runs: Runs) -> dict[str, Table]:
    """Put the tables of runs together, by the name of the archive's file.

    Raises:
        UserError: a file would not come back in the same bytes.
    """
    kinds: dict[tuple[str, Kind], Table] = {}
    datasets: dict[tuple[str, Kind], set[str]] = defaultdict(set)
    for path, carried in runs.items():
        for name in sorted(carried.tables, key=_place):
            columns, rows = _parse(carried.tables[name])
            if "".join(map(line, [columns, *rows])) != carried.tables[name]:
                raise UserError(f"{path}/{name} is not written as pixelherd writes tables", remedy="run it again")
            place = PurePosixPath(name)
            table = kinds.setdefault((place.name, columns), Table(place.name, columns, len(place.parts) > 1, {}))
            table.parts[path, name] = rows
            datasets[place.name, columns].add(carried.run.dataset)
    return {file: kinds[kind] for file, kind in _named(datasets).items()}


def _place(name: str) -> tuple[int, str]:
    """Where a file of a run stands among others: round by round, the run's own first."""
    parts = PurePosixPath(name).parts
    return int(_round_of(name)) if len(parts) > 1 else -1, parts[-1]


def _named(datasets: dict[tuple[str, Kind], set[str]]) -> dict[str, tuple[str, Kind]]:
    """Name the file of each kind: by its table, by its dataset too where there are several, and numbered at last."""
    named: dict[str, tuple[str, Kind]] = {}
    files = [file for file, _ in datasets]
    for kind, found in datasets.items():
        stem = kind[0].removesuffix(".csv")
        if files.count(kind[0]) > 1:
            stem = "-".join([stem, *sorted(found)])
        name, number = f"{stem}{ENDING}", 1
        while name in named:
            number += 1
            name = f"{stem}-{number}{ENDING}"
        named[name] = kind
    return named


def write_archive(runs: Runs, folder: Path, card: str) -> None:
    """Write an archive, the same bytes for the same runs; its index, with the digest of every file, comes last.

    Args:
        runs: what it holds.
        folder: where its files go; those of an archive that lies there are replaced.
        card: the text of its data card, in which ``{files}`` stands for the table of files.

    Raises:
        UserError: the folder holds something else, or a table would not come back.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / INDEX).is_file():
        raise UserError(f"{folder} holds something else than an archive", remedy="name another folder")
    tables = gather(runs)
    texts = {name: table.text(runs) for name, table in tables.items()}
    texts[SEALS] = "".join(json.dumps(carried.seal) + "\n" for carried in runs.values())
    packed = {name: _packed(text) for name, text in texts.items()}
    for old in folder.glob("*.xz"):
        old.unlink()
    for name, content in packed.items():
        write_bytes(folder / name, content)
    sizes = [[name, texts[name].count("\n") - (name != SEALS), len(packed[name])] for name in sorted(packed)]
    rows = "".join(f"| `{name}` | {rows:,} | {size:,} |\n" for name, rows, size in sizes)
    write_bytes(folder / CARD, card.replace("{files}", f"| file | rows | bytes |\n|---|---:|---:|\n{rows}").encode())
    kinds = {
        name: {"file": table.file, "of_rounds": table.of_rounds, "columns": list(table.columns)}
        for name, table in tables.items()
    }
    digests = {name: digest_of(folder / name) for name in sorted([*packed, CARD])}
    write_record(folder / INDEX, {"format": FORMAT, "runs": len(runs), "files": digests, "tables": kinds}, NAME)


def _packed(text: str) -> bytes:
    # a CRC-32 of the content stands inside; the index has the digest of the whole
    return lzma.compress(text.encode(), preset=6, check=lzma.CHECK_CRC32)


def is_archive(folder: Path) -> bool:
    """Return whether a folder holds an archive."""
    return (folder / INDEX).is_file() and (folder / SEALS).is_file()


def read_archive(folder: Path) -> Runs:
    """Read the runs of an archive.

    Raises:
        UserError: a file is missing or damaged, or a later pixelherd wrote it.
    """
    index = read_record(folder / INDEX, NAME)
    if index["format"] != FORMAT:
        raise UserError(f"{folder} is an archive of format {index['format']}", remedy="take a newer pixelherd")
    damaged = [
        f"{folder / name} is {'damaged' if (folder / name).is_file() else 'missing'}"
        for name, digest in index["files"].items()
        if name != CARD and (not (folder / name).is_file() or digest_of(folder / name) != digest)
    ]
    raise_first(damaged, "fetch the archive again")
    seals = [json.loads(each) for each in _unpacked(folder / SEALS).splitlines()]
    runs = in_order(Carried(seal, {}) for seal in seals)
    empty: dict[tuple[str, str], str] = {}
    for name, kind in index["tables"].items():
        columns = tuple(kind["columns"])
        head = line(columns)
        empty[kind["file"], digest_of_text(head)] = head
        for path, file, rows in _parts(_unpacked(folder / name), kind):
            runs[path].tables[file] = head + "".join(map(line, rows))
    problems = []
    for path, carried in runs.items():
        for file, digest in carried.sealed_tables.items():
            if file not in carried.tables:  # a table without rows is known by its digest
                carried.tables[file] = empty.get((PurePosixPath(file).name, digest), "")
        problems += as_sealed(carried, folder / path)
    raise_first(problems, "fetch the archive again")
    return runs


def _unpacked(path: Path) -> str:
    return lzma.decompress(path.read_bytes()).decode()


def _parts(text: str, kind: dict[str, Any]) -> Iterator[tuple[str, str, list[Row]]]:
    """Take a table of many runs apart: run, path of the file in its folder, and the file's rows."""
    from pixelherd.study.run import Run

    _, rows = _parse(text)
    adds_round = kind["of_rounds"] and ROUND not in kind["columns"]
    first, where = len(RUN) + adds_round, len(RUN) + (0 if adds_round else _position(kind))
    parts: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        parts[(*row[: len(RUN)], row[where] if kind["of_rounds"] else "")].append(row[first:])
    for (*key, number), found in parts.items():
        named = dict(zip(RUN, key, strict=True))
        run = Run(**named | {"seed": int(named["seed"])})  # type: ignore[arg-type]
        yield run.path, f"round-{number}/{kind['file']}" if number else kind["file"], found


def _position(kind: dict[str, Any]) -> int:
    return kind["columns"].index(ROUND) if kind["of_rounds"] else 0
