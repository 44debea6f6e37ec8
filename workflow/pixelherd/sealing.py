"""Seals: a finished run's ``run.json`` holds what made it, and no rule may produce a sealed run's files again.

So neither file times, nor a deleted cache, nor a copy to another machine redoes a finished run; other settings do.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .storage import digest_of, write_json
from .study import Run, Study, hash_of

SEAL = "run.json"
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
    """Rounds of the run in ``folder`` that are sealed; 0 for an unfinished run, or one made by other settings."""
    content = read_seal(folder)
    if content is None or content["settings_sha256"] != hash_of(settings):
        return 0
    return content["rounds"] if all((folder / name).is_file() for name in content["files"]) else 0


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

    With ``refresh`` runs that another version of the source made count as not sealed.
    """
    lacking = {}
    outdated = made_by_other_source(study) if study.refresh else []
    for run in study.runs():
        rounds = study.rounds_of(run.method)
        if run in outdated:
            lacking[run] = range(rounds)
            continue
        done = sealed_rounds(Path(study.results) / "runs" / run.path, study.result_settings(run))
        if done < rounds:
            lacking[run] = range(done, rounds)
    return lacking


def made_by_other_source(study: Study) -> list[Run]:
    """Sealed runs that another version of the source made: kept, and worth a line to the user."""
    now = source_hash()
    found = []
    for run in study.runs():
        content = read_seal(Path(study.results) / "runs" / run.path)
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
