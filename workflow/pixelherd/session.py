"""One Snakemake at a time in a folder, however the last one ended, and what it tells its jobs on other nodes."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import UserError
from .storage import write_json
from .study import Run, Study

FOLDER = Path(".snakemake")
RECORD = "pixelherd.json"
POLL_SECONDS = 1.0
PATIENCE_SECONDS = 300


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
            message = "another Snakemake works in this folder; let it end, or end it, before this one makes files"
            print(f"pixelherd: {message}", file=sys.stderr)
            return
        except (OSError, NotImplementedError):
            return  # a file system without such locks, or one that is read only: Snakemake's own have to do
        if left:
            message = "the last Snakemake in this folder was killed; its locks are removed, what it finished is kept"
            print(f"pixelherd: {message}", file=sys.stderr)

    def start(self, pending: Mapping[Run, range], waiting: Mapping[Run, int], queue: str | None = None) -> None:
        """Before the first job: hold the folder for good, and write what jobs have to know.

        Jobs that a killed Snakemake left in SLURM's queue are cancelled: they would do again what this one's jobs do,
        and delete it before.

        Args:
            pending: unfinished runs with the rounds that they lack.
            waiting: runs that wait for a person, and the round whose answers are incomplete.
            queue: the name of all jobs that this Snakemake will submit to SLURM.

        Raises:
            UserError: another Snakemake has the folder, or a killed one's jobs do not end.
        """
        try:
            self._lock.acquire(timeout=PATIENCE_SECONDS)  # a dry run may have had it
        except Timeout:
            raise UserError("another Snakemake works in this folder; let it end, or end it, first") from None
        except (OSError, NotImplementedError):
            pass
        if self._lock.is_locked and (left := self._left_queue()):
            cancel(left)
        told = {
            "pending": {run.path: [rounds.start, rounds.stop] for run, rounds in pending.items()},
            "waiting": {run.path: number for run, number in waiting.items()},
            "queue": queue,
        }
        write_json(self._folder / RECORD, told)

    def _left_queue(self) -> str | None:
        """The name of the jobs that the last Snakemake submitted, if it did."""
        try:
            return json.loads((self._folder / RECORD).read_text()).get("queue")
        except FileNotFoundError:
            return None


def cancel(queue: str) -> None:
    """Cancel the jobs of SLURM that have this name, and wait until they have ended.

    Raises:
        UserError: they do not end.
    """
    began, cancelled = time.monotonic(), False
    try:
        while left := _slurm("squeue", "--noheader", "--array", "--format=%A", f"--name={queue}").split():
            if not cancelled:
                cancelled = True
                message = f"{len(left)} jobs of a killed Snakemake are still in SLURM's queue; they are cancelled"
                print(f"pixelherd: {message}", file=sys.stderr)
                _slurm("scancel", f"--name={queue}")
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise UserError(f"jobs that a killed Snakemake left do not end; see `squeue --name={queue}`")
            time.sleep(POLL_SECONDS)
    except (OSError, subprocess.CalledProcessError):
        message = "SLURM cannot be asked here for jobs of the last Snakemake; if it was killed, cancel them:"
        print(f"pixelherd: {message} scancel --name={queue}", file=sys.stderr)


def _slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def told(study: Study, folder: Path = FOLDER) -> tuple[dict[Run, range], dict[Run, int]]:
    """Pending and waiting runs as the Snakemake that started this job found them.

    Runs may be sealed, and answers saved, while jobs run; a job must see the DAG that it was planned in.

    Raises:
        UserError: the job sees another folder than that Snakemake.
    """
    try:
        record = json.loads((folder / RECORD).read_text())
    except FileNotFoundError:
        where = (folder / RECORD).absolute()
        raise UserError(f"{where} is not there for this job; work on a file system that all nodes share") from None
    pending = {run: range(*record["pending"][run.path]) for run in study.runs() if run.path in record["pending"]}
    return pending, {Run.parse(path): number for path, number in record["waiting"].items()}
