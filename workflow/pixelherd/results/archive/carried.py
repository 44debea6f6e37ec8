"""Finished runs as they are carried: seals and tables, without heads and pictures, which make up almost all bytes."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelherd.errors import UserError
from pixelherd.storage.files import digest_of_text, json_text
from pixelherd.storage.records import found_in, is_own_digest
from pixelherd.study.paths import SEAL
from pixelherd.study.run import Run

NEEDED = {"run", "rounds", "settings_sha256", "source_sha256", "files"}
"""Keys of a seal."""

UNSEALED = f".{SEAL}"
"""The name of a seal while files of runs are still being written."""


@dataclass(frozen=True)
class Carried:
    """A finished run without heads and pictures.

    Attributes:
        seal: what its ``run.json`` holds.
        tables: the text of its CSV files, by their path in the run's folder.
    """

    seal: dict[str, Any]
    tables: dict[str, str]

    @property
    def run(self) -> Run:
        """Which run it is."""
        return Run(**self.seal["run"])

    @property
    def sealed_tables(self) -> dict[str, str]:
        """Digests of its CSV files, as sealed, by path."""
        return {name: digest for name, digest in self.seal["files"].items() if name.endswith(".csv")}

    def differs_from(self, other: "Carried") -> str:
        """Say what differs between two finished runs of one name; nothing where all tables are the same bytes."""
        if self.seal["settings_sha256"] != other.seal["settings_sha256"]:
            return "other settings"
        if self.seal["rounds"] != other.seal["rounds"]:
            return f"{self.seal['rounds']} rounds instead of {other.seal['rounds']}"
        mine, theirs = self.sealed_tables, other.sealed_tables
        changed = [name for name in sorted(mine | theirs) if mine.get(name) != theirs.get(name)]
        return f"another {changed[0]}" if changed else ""


Runs = dict[str, Carried]
"""Finished runs by :attr:`Run.path`."""


def in_order(runs: Iterable[Carried]) -> Runs:
    """Sort runs by dataset, features, budget, method and seed, the last as a number."""

    def key(carried: Carried) -> tuple:
        run = carried.run
        return run.dataset, run.features, run.budget, run.method, run.seed

    return {each.run.path: each for each in sorted(runs, key=key)}


def sound(seal: dict[str, Any]) -> bool:
    """Return whether an object is the seal of a run, and whole."""
    return seal.keys() >= NEEDED and is_own_digest(seal)


def read_results(results: Path) -> Runs:
    """Read the finished runs of a folder of results; runs without a seal are not finished and left aside.

    Raises:
        UserError: there is none, or a file is not what was sealed.
    """
    found, problems = [], list[str]()
    for path in sorted(results.glob(f"runs/*/*/*/*/*/{SEAL}")):
        seal = found_in(path)
        if not sound(seal) or Run(**seal["run"]) != Run.parse(path.parent.relative_to(results / "runs").as_posix()):
            problems.append(f"{path} is damaged, or another run's")
            continue
        names = [name for name in seal["files"] if name.endswith(".csv")]
        missing = [name for name in names if not (path.parent / name).is_file()]
        problems += [f"{path.parent / name} is missing" for name in missing]
        if not missing:
            carried = Carried(seal, {name: (path.parent / name).read_bytes().decode() for name in names})
            problems += as_sealed(carried, path.parent)
            found.append(carried)
    raise_first(problems, "put back the files of then, or delete the run and run the study again")
    if not found:
        raise UserError(f"{results} holds no finished run", remedy="name a study's folder of results, such as results")
    return in_order(found)


def as_sealed(carried: Carried, where: Path) -> list[str]:
    """Say of every table that is not what the seal says that it is not."""
    wrong = [name for name, text in carried.tables.items() if digest_of_text(text) != carried.seal["files"][name]]
    return [f"{where / name} has changed since the run was finished" for name in wrong]


def raise_first(problems: Sequence[str], remedy: str) -> None:
    """Raise the first of many mistakes of one kind, with the number of others, if there are any."""
    if problems:
        more = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
        raise UserError(f"{problems[0]}{more}", remedy=remedy)


def merge(sources: Iterable[tuple[Path, Runs]]) -> Runs:
    """Put the runs of several folders together; what two of them hold alike counts once.

    Args:
        sources: folders, and the runs that they hold.

    Raises:
        UserError: two folders hold the same run with other settings, rounds or tables.
    """
    merged: dict[str, tuple[Path, Carried]] = {}
    problems = []
    for folder, runs in sources:
        for path, carried in runs.items():
            other, kept = merged.setdefault(path, (folder, carried))
            if difference := carried.differs_from(kept):
                problems.append(f"{path} is not the same run in {other} and {folder}, which has {difference}")
    raise_first(problems, "`pixelherd repeats` tells how much they differ; take the runs of one of them")
    return in_order(carried for _, carried in merged.values())


def write_results(runs: Runs, results: Path) -> int:
    """Write runs into a folder of results, which may hold others; returns how many were not there yet.

    A seal gets its name when the tables and seals of all runs are on the disk, and nothing is written where anything
    differs.

    Raises:
        UserError: a run is there and differs, or is there unfinished.
    """
    folders = {path: results / "runs" / path for path in runs}
    there = {path: found_in(folder / SEAL) for path, folder in folders.items()}
    held = {path: Carried(seal, {}) for path, seal in there.items() if sound(seal)}
    merge([(results, held), (Path("the archive"), {path: runs[path] for path in held})])
    begun = [folder for path, folder in folders.items() if path not in held and folder.exists()]
    if begun:
        raise UserError(
            f"{begun[0]} holds an unfinished run", remedy="finish it, or delete the folder, and unpack again"
        )
    fresh = {path: carried for path, carried in runs.items() if path not in held}
    for path, carried in fresh.items():
        for inside in {(folders[path] / name).parent for name in [UNSEALED, *carried.tables]}:
            inside.mkdir(parents=True, exist_ok=True)
        for name, text in (carried.tables | {UNSEALED: json_text(carried.seal)}).items():
            (folders[path] / name).write_bytes(text.encode())
    os.sync()  # at once, where a wait for each of ten thousands of files would take minutes
    for path in fresh:
        os.replace(folders[path] / UNSEALED, folders[path] / SEAL)
    os.sync()
    return len(fresh)
