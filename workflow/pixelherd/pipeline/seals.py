"""Seals: a finished run's ``run.json`` holds what made it, and no rule may produce a sealed run's files again.

So neither file times, nor a deleted cache, nor a copy to another machine redoes a finished run. Other settings do: see
:mod:`.marks`.

Jobs that seal a run need no study: it is imported where it is read.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelherd.errors import UserError, raise_all, suppressed
from pixelherd.pipeline.accounts.machine import machine
from pixelherd.storage.files import digest_of, hash_of, write_json
from pixelherd.storage.records import (
    SEAL_DIGEST,
    check_digests,
    write_record,
)
from pixelherd.study.paths import BEGUN, EXPECTED, HEAD, METRICS, SEAL, THUMBNAILS, read_seal
from pixelherd.study.run import Run

if TYPE_CHECKING:
    from pixelherd.study.study import Study


def seal(folder: Path, run: Run, settings: dict[str, Any], rounds: int, facts: dict[str, Any], source: str) -> None:
    """Seal a finished run: its settings with their hash, the hash of the source, and the digest of every file.

    The machine that evaluated it stands there too, outside of what is compared: a run holds wherever it is carried to.
    What it was made of stays noted beside it, for the day on which it gets more rounds.

    Args:
        folder: the run's folder; all its files of ``rounds`` rounds are there.
        run: which run it is.
        settings: :func:`pixelherd.study.stages.result` of the run.
        rounds: rounds that it holds.
        facts: what else is asked of it: the ``address`` of all that it is made of, the digest of its backbone's files,
            and what tables and figures need (classes, image size, image counts).
        source: hash of the source that made it.
    """
    records = (record for number in range(rounds) for record in sorted((folder / f"round-{number}").glob("*.json")))
    problems: list[UserError] = []
    for record in records:
        with suppressed() as wrong:
            check_digests(record)
        problems += wrong
    raise_all(problems)
    files = [folder / METRICS, folder / EXPECTED, folder / THUMBNAILS]
    files += [file for number in range(rounds) for file in sorted((folder / f"round-{number}").iterdir())]
    content = {
        "run": vars(run),
        "rounds": rounds,
        **facts,
        "settings": settings,
        "settings_sha256": hash_of(settings),
        "source_sha256": source,
        "made_on": machine(),
        "files": {file.relative_to(folder).as_posix(): digest_of(file) for file in files},
    }
    write_json(folder / SEAL, content | {SEAL_DIGEST: hash_of(content)})
    if "address" in facts:
        note_made_of(folder, run, facts["address"])


def note_made_of(folder: Path, run: Run, address: str) -> None:
    """Note beside the rounds of a run what they are made of: other settings may hold where it is copied."""
    write_record(folder / BEGUN, {"run": run.path, "address": address}, run.path)


def sealed_rounds(folder: Path, settings: dict[str, Any]) -> int:
    """Rounds of the run in ``folder`` that are sealed; 0 for an unfinished run, or one made by other settings.

    Heads and thumbnails, all but a few of its bytes, may be taken away: the run is finished without them.
    """
    content = read_seal(folder)
    if content is None or content["settings_sha256"] != hash_of(settings):
        return 0
    tables = [name for name in content["files"] if name.endswith(".csv")]
    return content["rounds"] if all((folder / name).is_file() for name in tables) else 0


def break_seals(files: Iterable[str]) -> None:
    """Remove the seals that speak of ``files``, which are about to be made again.

    A seal would stand beside files that it does not speak of, if the settings were changed back in the middle.
    """
    for file in map(Path, files):
        for folder in file.parents:
            content = read_seal(folder)
            if content is not None and file.relative_to(folder).as_posix() in content["files"]:
                (folder / SEAL).unlink(missing_ok=True)


def pending_runs(study: "Study", source: str, address_of: Callable[[Run], str]) -> dict[Run, range]:
    """Return the runs of a study that are not sealed, with the rounds that they lack.

    With ``refresh`` runs that another version of the source made count as not sealed. A run that is to have more rounds
    lacks all of them if its heads are gone, since all are evaluated together, or if they are of other files.

    Args:
        study: the study.
        source: hash of the source that makes runs.
        address_of: gives the address of all that a run would be made of today.
    """
    from pixelherd.study import stages

    lacking = {}
    outdated = made_by_other_source(study, source) if study.refresh else []
    for run in study.runs():
        rounds, folder = study.rounds_of(run.method), study.paths.run_folder(run)
        done = 0 if run in outdated else sealed_rounds(folder, stages.result(study, run))
        if done < rounds:
            has_heads = all((folder / f"round-{number}" / HEAD).is_file() for number in range(done))
            goes_on = done and has_heads and made_of(folder) in (None, address_of(run))
            lacking[run] = range(done if goes_on else 0, rounds)
    return lacking


def news_of_finished(study: "Study", pending: Mapping[Run, range], source: str) -> list[str]:
    """Return lines for a user on finished runs: which another source made, and which begin anew."""

    def listed(runs: Sequence[Run]) -> str:
        return f"{len(runs)} finished runs ({', '.join(run.path for run in runs[:3])}{', …' if len(runs) > 3 else ''})"

    lines = []
    if kept := made_by_other_source(study, source):
        what = f"another version of the source made {listed(kept)}; they are kept"
        lines.append(f"{what}, `--config refresh=true` redoes them")
    if anew := extended_anew(study, pending):
        what = f"{listed(anew)} get more rounds, and all of them are made anew"
        lines.append(f"{what}: heads are gone, or images, features or pixelherd's source are others by now")
    return lines


def extended_anew(study: "Study", pending: Mapping[Run, range]) -> list[Run]:
    """Return finished runs that are to have more rounds, and whose finished ones are made again."""
    from pixelherd.study import stages

    begin = [run for run, rounds in pending.items() if not rounds.start]
    done = {run: sealed_rounds(study.paths.run_folder(run), stages.result(study, run)) for run in begin}
    return [run for run in begin if 0 < done[run] < pending[run].stop]


def made_of(folder: Path) -> str | None:
    """Return the address of what a finished run was made of; older seals hold none."""
    return (read_seal(folder) or {}).get("address")


def made_by_other_source(study: "Study", source: str) -> list[Run]:
    """Return sealed runs that another version of the source made: kept, and worth a line to the user."""
    found = []
    for run in study.runs():
        content = read_seal(study.paths.run_folder(run))
        if content and content["source_sha256"] != source:
            found.append(run)
    return found
