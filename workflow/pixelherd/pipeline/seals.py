"""Seals: a finished run's ``run.json`` holds what made it, and no rule may produce a sealed run's files again.

So neither file times, nor a deleted cache, nor a copy to another machine redoes a finished run. Other settings do, for
certain: Snakemake knows by its own records what made a file, and a copy elsewhere has none, so a run that other
settings sealed gets a mark, and what is made of it must be newer than the mark.

Jobs that seal a run need no study: it is imported where it is read.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelherd.storage.files import digest_of, hash_of, write_json
from pixelherd.storage.records import (
    SEAL_DIGEST,
    check_digests,
    is_own_digest,
    is_sound,
    read_record,
    write_record,
)
from pixelherd.study.paths import BEGUN, HEAD, METRICS, SEAL, THUMBNAILS
from pixelherd.study.run import Run

if TYPE_CHECKING:
    from pixelherd.study.study import Study

SEVERAL = "several"
"""Instead of an address: rounds of a run are of several."""

MARKS = Path(".snakemake") / "pixelherd" / "outdated"


def seal(folder: Path, run: Run, settings: dict[str, Any], rounds: int, facts: dict[str, Any], source: str) -> None:
    """Seal a finished run: its settings with their hash, the hash of the source, and the digest of every file.

    Args:
        folder: the run's folder; all its files of ``rounds`` rounds are there.
        run: which run it is.
        settings: :func:`pixelherd.study.stages.result` of the run.
        rounds: rounds that it holds.
        facts: what tables and figures need besides (classes, image size, image counts).
        source: hash of the source that made it.
    """
    for number in range(rounds):
        for record in sorted((folder / f"round-{number}").glob("*.json")):
            check_digests(record)
    files = [folder / METRICS, folder / THUMBNAILS]
    files += [file for number in range(rounds) for file in sorted((folder / f"round-{number}").iterdir())]
    content = {
        "run": vars(run),
        "rounds": rounds,
        **facts,
        "settings": settings,
        "settings_sha256": hash_of(settings),
        "source_sha256": source,
        "files": {file.relative_to(folder).as_posix(): digest_of(file) for file in files},
    }
    write_json(folder / SEAL, content | {SEAL_DIGEST: hash_of(content)})
    (folder / BEGUN).unlink(missing_ok=True)


def sealed_rounds(folder: Path, settings: dict[str, Any]) -> int:
    """Rounds of the run in ``folder`` that are sealed; 0 for an unfinished run, or one made by other settings.

    Heads and thumbnails, all but a few of its bytes, may be taken away: the run is finished without them.
    """
    content = read_seal(folder)
    if content is None or content["settings_sha256"] != hash_of(settings):
        return 0
    tables = [name for name in content["files"] if name.endswith(".csv")]
    return content["rounds"] if all((folder / name).is_file() for name in tables) else 0


def read_seal(folder: Path) -> dict[str, Any] | None:
    """The seal of a run's folder, or None where there is none (or a broken one, which seals nothing)."""
    try:
        content = json.loads((folder / SEAL).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    needed = {"run", "rounds", "settings_sha256", "source_sha256", "files"}
    return content if isinstance(content, dict) and needed <= content.keys() and is_own_digest(content) else None


def break_seals(files: Iterable[str]) -> None:
    """Remove the seals that speak of ``files``, which are about to be made again.

    A seal would stand beside files that it does not speak of, if the settings were changed back in the middle.
    """
    for file in map(Path, files):
        for folder in file.parents:
            content = read_seal(folder)
            if content is not None and file.relative_to(folder).as_posix() in content["files"]:
                (folder / SEAL).unlink(missing_ok=True)


def pending_runs(study: "Study", source: str) -> dict[Run, range]:
    """Return the runs of a study that are not sealed, with the rounds that they lack.

    With ``refresh`` runs that another version of the source made count as not sealed. A run that is to have more rounds
    lacks all of them if its heads are gone, since all are evaluated together.
    """
    from pixelherd.study import stages

    lacking = {}
    outdated = made_by_other_source(study, source) if study.refresh else []
    for run in study.runs():
        rounds, folder = study.rounds_of(run.method), study.paths.run_folder(run)
        done = 0 if run in outdated else sealed_rounds(folder, stages.result(study, run))
        if done < rounds:
            has_heads = all((folder / f"round-{number}" / HEAD).is_file() for number in range(done))
            lacking[run] = range(done if has_heads else 0, rounds)
    return lacking


def note_begun(study: "Study", begun: Mapping[Run, str]) -> None:
    """Note beside the rounds of unfinished runs what they are made of: a copy elsewhere may have other settings.

    Where rounds of then are among those of today, which only a mark tells apart, the note equals nothing.

    Args:
        study: the study.
        begun: by pending run the address of all that it is made of.
    """
    for run, address in begun.items():
        note = study.paths.run_folder(run) / BEGUN
        first = not is_sound(note, run.path)
        if first or read_record(note, run.path)["address"] != address:
            write_record(note, {"run": run.path, "address": address if first else SEVERAL}, run.path)


def mark_outdated(
    study: "Study", pending: Mapping[Run, range], source: str, begun: Mapping[Run, str], marks: Path = MARKS
) -> None:
    """Mark pending runs that have a seal: of other settings, of another source, of fewer rounds, or of a missing file.

    So are marked those that were begun with other settings or images. A mark stays until the run is sealed again, so
    an interrupted run goes on where it was.
    """
    from pixelherd.study import stages

    refreshed = {"source_sha256": source} if study.refresh else {}
    for run in study.runs():
        folder, mark, rounds = study.paths.run_folder(run), mark_of(study, run, marks), study.rounds_of(run.method)
        if run not in pending:
            mark.unlink(missing_ok=True)
            continue
        address, noted = {"address": begun.get(run)}, _marked(mark).get("wanted", {})
        if not (folder / SEAL).is_file():
            is_other = noted.get("address") != begun.get(run) if "address" in noted else not noted
            if is_other and (noted or _begun_otherwise(folder / BEGUN, run, begun.get(run))):
                _make_older(folder, time.time())
                write_json(mark, {"wanted": address, "first_round": 0})
            continue
        wanted = {"settings_sha256": hash_of(stages.result(study, run)), "rounds": rounds, **refreshed}
        if noted in (wanted, wanted | address):
            continue
        _make_older(folder, time.time())
        content = read_seal(folder) or {}
        lacks_a_file = all(content.get(name) == value for name, value in wanted.items())
        write_json(mark, {"wanted": wanted | address, "first_round": rounds if lacks_a_file else pending[run].start})


def _marked(mark: Path) -> dict[str, Any]:
    """What a mark says; nothing where there is none, or a broken one."""
    try:
        content = json.loads(mark.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _begun_otherwise(begun: Path, run: Run, address: str | None) -> bool:
    """Whether an unfinished run was begun with other settings or images; a broken note says nothing for sure."""
    if not begun.is_file() or address is None:
        return False
    return not is_sound(begun, run.path) or read_record(begun, run.path)["address"] != address


def _make_older(folder: Path, now: float) -> None:
    """Have the files of a folder older than the mark that is about to be made: a copy's clock may be ahead."""
    for path in folder.rglob("*"):
        if path.stat().st_mtime >= now:
            os.utime(path, (now - 1, now - 1))


def mark_of(study: "Study", run: Run, marks: Path = MARKS) -> Path:
    """Return the mark of a run; it is there while the run is made again."""
    return marks / str(study.paths.run_folder(run)).lstrip("/") / SEAL


def first_round_again(study: "Study", run: Run, marks: Path = MARKS) -> int | None:
    """Return the round from which a marked run is made again, the number of its rounds if only its evaluation is."""
    mark = mark_of(study, run, marks)
    return _marked(mark).get("first_round", 0) if mark.is_file() else None


def made_by_other_source(study: "Study", source: str) -> list[Run]:
    """Return sealed runs that another version of the source made: kept, and worth a line to the user."""
    found = []
    for run in study.runs():
        content = read_seal(study.paths.run_folder(run))
        if content and content["source_sha256"] != source:
            found.append(run)
    return found
