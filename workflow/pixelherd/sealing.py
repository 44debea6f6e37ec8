"""Seals: a finished run's ``run.json`` holds what made it, and no rule may produce a sealed run's files again.

So neither file times, nor a deleted cache, nor a copy to another machine redoes a finished run. Other settings do, for
certain: a run that others sealed gets a mark, and what is made of it must be newer than the mark.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .storage import digest_of, write_json
from .study import Run, Study, hash_of

SEAL = "run.json"
MARKS = Path(".snakemake") / "pixelherd" / "outdated"
PACKAGE = Path(__file__).parent

HERDING = ("herding.py", "similarities.py", "products.py", "matmul.py")

#: Source that each stage's results depend on, as modules of the package. A change redoes the stage in pending runs.
STAGE_SOURCE = {
    "prepare": ("datasets", "storage.py", "randomness.py"),
    "pretrain": ("backbones", "pretraining.py"),
    "extract": (
        "backbones/__init__.py",
        "backbones/geometry.py",
        "backbones/noise.py",
        "backbones/unet.py",
        "features.py",
        "dense.py",
        "randomness.py",
    ),
    "herd": ("candidates.py", *HERDING, "dense.py", "features.py", "randomness.py"),
    "gather": ("candidates.py", *HERDING, "shards.py", "budget.py", "randomness.py"),
    "select": (
        "selection.py",
        "candidates.py",
        *HERDING,
        "representation.py",
        "single_stage.py",
        "acquisition.py",
        "scores.py",
        "rankings.py",
        "queries.py",
        "budget.py",
        "head.py",
        "randomness.py",
    ),
    "rank": (
        "single_stage.py",
        "acquisition.py",
        "scores.py",
        "queries.py",
        "features.py",
        "dense.py",
        "head.py",
        "matmul.py",
        "randomness.py",
    ),
    "train": ("head.py", "optimizer.py", "training.py", "dense.py", "matmul.py", "storage.py", "randomness.py"),
    "evaluate": ("evaluation.py", "metrics.py", "head.py", "dense.py", "matmul.py", "acquisition.py", "pictures.py"),
}


def source_hash(*stages: str) -> str:
    """SHA-256 of the package source behind ``stages``, all stages by default."""
    return source_hash_of(*(part for stage in stages or STAGE_SOURCE for part in STAGE_SOURCE[stage]))


def source_hash_of(*parts: str) -> str:
    """SHA-256 of modules and subpackages of the package, named by their paths in it."""
    digest = hashlib.sha256()
    for part in sorted(set(parts)):
        path = PACKAGE / part
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in (".py", ".yaml"):
                digest.update(file.relative_to(PACKAGE).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def seal(folder: Path, run: Run, settings: dict[str, Any], rounds: int, facts: dict[str, Any]) -> None:
    """Seal a finished run: its settings with their hash, the source hash, and the digest of every file.

    Args:
        folder: the run's folder; all its files of ``rounds`` rounds are there.
        run: which run it is.
        settings: ``Study.result_settings`` of the run.
        rounds: rounds that it holds.
        facts: what tables and figures need besides (classes, image size, image counts).
    """
    files = [folder / "metrics.csv", folder / "thumbnails.npz"]
    files += [file for number in range(rounds) for file in sorted((folder / f"round-{number}").iterdir())]
    write_json(
        folder / SEAL,
        {
            "run": vars(run),
            "rounds": rounds,
            **facts,
            "settings": settings,
            "settings_sha256": hash_of(settings),
            "source_sha256": source_hash(),
            "files": {file.relative_to(folder).as_posix(): digest_of(file) for file in files},
        },
    )


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
        content = json.loads((folder / SEAL).read_text())
    except (FileNotFoundError, ValueError):
        return None
    needed = {"run", "rounds", "settings_sha256", "source_sha256", "files"}
    return content if isinstance(content, dict) and needed <= content.keys() else None


def pending(study: Study) -> dict[Run, range]:
    """Runs of the study that are not sealed, with the rounds that they lack.

    With ``refresh`` runs that another version of the source made count as not sealed. A run that is to have more rounds
    lacks all of them if its heads are gone, since all are evaluated together.
    """
    lacking = {}
    outdated = made_by_other_source(study) if study.refresh else []
    for run in study.runs():
        rounds, folder = study.rounds_of(run.method), folder_of(study, run)
        done = 0 if run in outdated else sealed_rounds(folder, study.result_settings(run))
        if done < rounds:
            has_heads = all((folder / f"round-{number}" / "head.safetensors").is_file() for number in range(done))
            lacking[run] = range(done if has_heads else 0, rounds)
    return lacking


def folder_of(study: Study, run: Run) -> Path:
    """Where a run's results lie."""
    return Path(study.results) / "runs" / run.path


def mark_outdated(study: Study, pending: dict[Run, range], marks: Path = MARKS) -> None:
    """Mark pending runs that have a seal: of other settings, of another source, of fewer rounds, or of a missing file.

    Snakemake knows by its own records what made a file, and a copy elsewhere has none: it would take the old results
    for the new ones. A mark stays until the run is sealed again, so an interrupted run goes on where it was.
    """
    source = {"source_sha256": source_hash()} if study.refresh else {}
    for run in study.runs():
        folder, mark, rounds = folder_of(study, run), mark_of(study, run, marks), study.rounds_of(run.method)
        if run not in pending:
            mark.unlink(missing_ok=True)
            continue
        if not (folder / SEAL).is_file():
            continue
        wanted = {"settings_sha256": hash_of(study.result_settings(run)), "rounds": rounds, **source}
        if mark.is_file() and json.loads(mark.read_text())["wanted"] == wanted:
            continue
        now = time.time()
        for path in folder.rglob("*"):  # a copy may come from a clock that is ahead
            if path.stat().st_mtime >= now:
                os.utime(path, (now - 1, now - 1))
        content = read_seal(folder) or {}
        lacks_a_file = all(content.get(name) == value for name, value in wanted.items())
        write_json(mark, {"wanted": wanted, "first_round": rounds if lacks_a_file else pending[run].start})


def mark_of(study: Study, run: Run, marks: Path = MARKS) -> Path:
    """The mark of a run; it is there while the run is made again."""
    return marks / str(folder_of(study, run)).lstrip("/") / SEAL


def first_round_again(study: Study, run: Run, marks: Path = MARKS) -> int | None:
    """The round from which a marked run is made again, the number of its rounds if only its evaluation is."""
    mark = mark_of(study, run, marks)
    return json.loads(mark.read_text())["first_round"] if mark.is_file() else None


def break_seals(study: Study, pending: dict[Run, range], files: Iterable[str]) -> None:
    """Remove the seals of runs that are made again from their first round on, before the first of ``files`` is made.

    A seal would stand beside files that it does not speak of, if the settings were changed back in the middle.
    """
    folders = {str(folder_of(study, run)): run for run, rounds in pending.items() if rounds.start == 0}
    parents = {str(parent) for file in files for parent in Path(file).parents}
    for folder in parents & folders.keys():
        (Path(folder) / SEAL).unlink(missing_ok=True)


def made_by_other_source(study: Study) -> list[Run]:
    """Sealed runs that another version of the source made: kept, and worth a line to the user."""
    now = source_hash()
    found = []
    for run in study.runs():
        content = read_seal(folder_of(study, run))
        if content and content["source_sha256"] != now:
            found.append(run)
    return found


def one_of(paths: Iterable[str]) -> str:
    """A regular expression that matches these paths alone, for a wildcard that stands for pending runs only.

    Common folders stand in it once, or it would be slow to match where there are thousands of runs.
    """
    below: dict[str, list[str]] = {}
    for path in paths:
        first, *rest = path.split("/", 1)
        below.setdefault(first, []).extend(rest)
    branches = (re.escape(first) + (f"/{one_of(rest)}" if rest else "") for first, rest in below.items())
    return f"(?:{'|'.join(branches)})" if below else "(?!)"
