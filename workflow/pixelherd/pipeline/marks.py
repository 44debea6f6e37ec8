"""Marks: what other settings made is made anew, for certain.

Snakemake knows by its own records what made a file, and a copy elsewhere has none. So a run that other settings sealed
or began gets a mark, and what is made of it must be newer than the mark.
"""

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelherd.errors import say
from pixelherd.pipeline.seals import note_made_of, read_seal
from pixelherd.storage.files import hash_of, write_bytes, write_json
from pixelherd.storage.records import found_in, is_sound, read_record
from pixelherd.study import stages
from pixelherd.study.paths import BEGUN, SEAL
from pixelherd.study.run import Run

if TYPE_CHECKING:
    from pixelherd.study.study import Study

MARKS = Path(".snakemake") / "pixelherd" / "outdated"

SEVERAL = "several"
"""Instead of an address: rounds of a run are of several."""


def note_begun(study: "Study", begun: Mapping[Run, str]) -> None:
    """Note beside the rounds of unfinished runs what they are made of: a copy elsewhere may have other settings.

    Where rounds of then are among those of today, which only a mark tells apart, the note equals nothing.

    Args:
        study: the study.
        begun: by pending run the address of all that it is made of.
    """
    for run, address in begun.items():
        folder = study.paths.run_folder(run)
        if _noted_otherwise(folder, run, address):
            is_new = not any(folder.glob("round-*"))
            note_made_of(folder, run, address if is_new else SEVERAL)


def mark_outdated(
    study: "Study", pending: Mapping[Run, range], source: str, begun: Mapping[Run, str], marks: Path = MARKS
) -> Callable[[], None]:
    """Mark pending runs that have a seal: of other settings, of another source, of fewer rounds, or of a missing file.

    So are marked those that were begun with other settings or images. A mark stays until the run is sealed again, so
    an interrupted run goes on where it was.

    Returns:
        what puts the marks back as they were, for a call that makes nothing.
    """
    before: dict[Path, tuple[bytes, int] | None] = {}
    for run in study.runs():
        folder, mark = study.paths.run_folder(run), mark_of(study, run, marks)
        noted = found_in(mark)
        wanted = _wanted(study, run, pending[run], noted, source, begun.get(run)) if run in pending else {}
        if wanted != noted:
            before[mark.absolute()] = (mark.read_bytes(), mark.stat().st_mtime_ns) if mark.is_file() else None
            try:
                _mark(mark, wanted, folder)
            except OSError as error:  # nothing can be made here, but what there is may be looked at
                say(f"{error.filename} cannot be written ({error.strerror}): what is to be made anew looks finished")
                break
    return partial(_put_back, before)


def _mark(mark: Path, wanted: dict[str, Any], folder: Path) -> None:
    if wanted:
        _make_older(folder, time.time())
        write_json(mark, wanted)
    else:
        mark.unlink(missing_ok=True)


def _wanted(
    study: "Study", run: Run, lacking: range, noted: dict[str, Any], source: str, address: str | None
) -> dict[str, Any]:
    """The mark of a pending run: the one that was noted while it is right, none if the run goes on as it is."""
    folder, rounds, made_of = study.paths.run_folder(run), study.rounds_of(run.method), {"address": address}
    before = noted.get("wanted", {})
    if not (folder / SEAL).is_file():
        is_other = before.get("address") != address if "address" in before else not before
        is_outdated = is_other and (before or _begun_otherwise(folder, run, address))
        return {"wanted": made_of, "first_round": 0} if is_outdated else noted
    refreshed = {"source_sha256": source} if study.refresh else {}
    wanted = {"settings_sha256": hash_of(stages.result(study, run)), "rounds": rounds, **refreshed}
    if before in (wanted, wanted | made_of):
        return noted
    content = read_seal(folder) or {}
    lacks_a_file = all(content.get(name) == value for name, value in wanted.items())
    return {"wanted": wanted | made_of, "first_round": rounds if lacks_a_file else lacking.start}


def _put_back(marks: Mapping[Path, tuple[bytes, int] | None]) -> None:
    for mark, was in marks.items():
        if was is None:
            mark.unlink(missing_ok=True)
        else:
            content, time_ns = was
            write_bytes(mark, content)
            os.utime(mark, ns=(time_ns, time_ns))


def _begun_otherwise(folder: Path, run: Run, address: str | None) -> bool:
    """Whether an unfinished run was begun with other settings or images, or nobody knows with which."""
    return address is not None and any(folder.glob("round-*")) and _noted_otherwise(folder, run, address)


def _noted_otherwise(folder: Path, run: Run, address: str) -> bool:
    """Whether the note beside a run's rounds is not that they are made of this."""
    note = folder / BEGUN
    return not is_sound(note, run.path) or read_record(note, run.path)["address"] != address


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
    return found_in(mark).get("first_round", 0) if mark.is_file() else None
