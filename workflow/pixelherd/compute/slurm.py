"""Jobs that a killed Snakemake left in SLURM's queue."""

import subprocess
import time

from pixelherd.errors import UserError, say

POLL_SECONDS = 1.0
PATIENCE_SECONDS = 300


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
                say(f"{len(left)} jobs of a killed Snakemake are still in SLURM's queue; they are cancelled")
                _slurm("scancel", f"--name={queue}")
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise UserError("jobs that a killed Snakemake left do not end", remedy=f"see `squeue --name={queue}`")
            time.sleep(POLL_SECONDS)
    except (OSError, subprocess.CalledProcessError):
        what = "SLURM cannot be asked here for jobs of the last Snakemake; if it was killed, cancel them:"
        say(f"{what} scancel --name={queue}")


def _slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
