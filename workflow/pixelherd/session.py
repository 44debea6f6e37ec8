"""One Snakemake at a time in a folder, however the last one ended, and what it tells its jobs on other nodes."""

import json
import sys
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from . import sealing
from .storage import write_json
from .study import Run, Study

FOLDER = Path(".snakemake")


class Session:
    """A Snakemake's hold on its working folder.

    Snakemake's own locks are files, which a killed Snakemake leaves behind. This one is the kernel's and goes with the
    process that holds it; so whoever gets it knows that locks which lie there are a dead one's.
    """

    def __init__(self, folder: Path = FOLDER):
        self._folder = folder
        self._lock = FileLock(folder / "pixelherd.lock")

    def claim(self) -> None:
        """Take the folder if nobody has it, and remove the locks of a killed Snakemake; else say that somebody has."""
        try:
            self._folder.mkdir(exist_ok=True)
            self._lock.acquire(blocking=False)
            left = list((self._folder / "locks").glob("*"))
            for path in left:
                path.unlink(missing_ok=True)
        except Timeout:
            print("pixelherd: another Snakemake works in this folder; let it end, or end it, first", file=sys.stderr)
            return
        except (OSError, NotImplementedError):
            return  # a file system without such locks, or one that is read only: Snakemake's own have to do
        if left:
            message = "the last Snakemake in this folder was killed; its locks are removed, what it finished is kept"
            print(f"pixelherd: {message}", file=sys.stderr)

    def start(self, pending: dict[Run, range]) -> None:
        """Before the first job: hold the folder for good (a dry run may have had it), and write what is pending."""
        with suppress(OSError, NotImplementedError):
            self._lock.acquire()
        rounds = {run.path: [lacking.start, lacking.stop] for run, lacking in pending.items()}
        write_json(self._folder / "pixelherd.json", {"pending": rounds})


def pending(study: Study, folder: Path = FOLDER) -> dict[Run, range]:
    """The pending runs of the Snakemake that started this job, as :func:`pixelherd.sealing.pending`.

    Runs that were sealed since then still count: a job must see the DAG that it was planned in.
    """
    try:
        rounds = json.loads((folder / "pixelherd.json").read_text())["pending"]
    except FileNotFoundError:
        return sealing.pending(study)
    return {run: range(*rounds[run.path]) for run in study.runs() if run.path in rounds}
