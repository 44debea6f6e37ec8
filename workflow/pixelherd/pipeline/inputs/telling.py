"""What a call of Snakemake tells its jobs of their study, and where they find it."""

import json
import os
from pathlib import Path
from typing import Any

from pixelherd.errors import UserError
from pixelherd.pipeline.inputs.mirror import Storage
from pixelherd.storage.files import hash_of, write_text
from pixelherd.study.study import Study

TOLD = "PIXELHERD_SESSION"
"""Begins the environment variable by which jobs find what their Snakemake tells them of their study."""
FOLDER = Path(".snakemake") / "pixelherd" / "told"


def variable_of(study: Study) -> str:
    """Return the environment variable by which jobs of a study find what they are told."""
    return f"{TOLD}_{hash_of(study.content())[:12]}"


def tell(folder: Path, study: Study, told: dict[str, Any]) -> Path | None:
    """Write what jobs have to know, and name the file in the environment.

    Args:
        folder: where such files lie.
        study: the study.
        told: what its jobs have to know, as JSON.

    Returns:
        the file; None in a folder that is read only, in which no job will run.
    """
    path = folder / f"{(variable := variable_of(study))}-{os.getpid()}.json"
    try:
        write_text(path, json.dumps(told))  # without indents, which take minutes for a million images
    except OSError:
        return None
    os.environ[variable] = str(path.absolute())
    return path.absolute()


def send(study: Study, storage: Storage) -> None:
    """Put what :func:`tell` wrote into the storage, for jobs on machines that share no files with this one."""
    storage.put(Path(os.environ[variable_of(study)]), _place_of(study))


def hear(study: Study, last: dict[str, str], storage: Storage | None) -> dict[str, Any] | None:
    """Return what the Snakemake that started this job told it; None if it told nothing.

    Args:
        study: the study.
        last: by variable the file that the last Snakemake in this folder wrote: a cluster's jobs may lack variables.
        storage: where results and cache lie, if not on this file system.

    Raises:
        UserError: the job does not see what its Snakemake wrote.
    """
    name = variable_of(study)
    path = os.environ.get(name) or last.get(name)
    if storage and not (path and Path(path).is_file()):
        storage.fetch(_place_of(study), fetched := FOLDER / f"{name}-{os.getpid()}-fetched.json")
        told = json.loads(fetched.read_bytes())
        fetched.unlink()
        return told
    if path is None:
        return None
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        remedy = "work on a file system that all nodes share, or with a storage"
        raise UserError(f"{path} is not there for this job", remedy=remedy) from None


def _place_of(study: Study) -> str:
    return str(FOLDER / f"{variable_of(study)}.json")
