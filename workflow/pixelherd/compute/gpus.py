"""Which GPU a job uses: Snakemake counts GPUs but never says which one a job may take.

A job locks a file that all jobs of the machine share and makes the GPU behind it the only visible one, before torch is
imported. The lock is advisory and the kernel's, so it is freed when the process ends, however it ends.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pixelherd.errors import mention

VISIBLE = "CUDA_VISIBLE_DEVICES"

POLL_SECONDS = 0.2


def visible() -> list[str]:
    """GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them: indices or UUIDs.

    Those of an inherited ``CUDA_VISIBLE_DEVICES``, as far as CUDA reads it (an index below 0 ends the list); all of
    the machine's, by UUID, where the variable is not set.
    """
    if (inherited := os.environ.get(VISIBLE)) is not None:
        found = []
        for entry in map(str.strip, inherited.split(",")):
            if not entry or entry.startswith("-"):
                break
            found.append(entry)
        return found
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return listed.stdout.split() if listed.returncode == 0 else []


@contextmanager
def lease(jobs_per_gpu: int = 1, folder: Path | None = None) -> Iterator[str | None]:
    """Hold a GPU for the block, as the only one that CUDA sees; waits while all are taken.

    Args:
        jobs_per_gpu: how many jobs may hold one GPU at a time; GPUs fill up evenly.
        folder: where the locks lie; by default one for this user on this machine.

    Yields:
        the GPU's name in ``CUDA_VISIBLE_DEVICES``; None on a machine without GPUs, where nothing is locked.
    """
    if not (found := visible()):
        yield None
        return
    folder = folder or Path(tempfile.gettempdir()) / f"pixelherd-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Inside an allocation of SLURM indices count its own GPUs, so that they mean others in the next one.
    scope = f"slurm-{os.environ['SLURM_JOB_ID']}-" if "SLURM_JOB_ID" in os.environ else ""
    slots = [(gpu, folder / f"{scope}{gpu.replace('/', '-')}.{slot}") for slot in range(jobs_per_gpu) for gpu in found]
    waiting = False
    while True:
        for gpu, path in slots:
            lock = FileLock(path)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            before = os.environ.get(VISIBLE)
            os.environ[VISIBLE] = gpu
            try:
                yield gpu
            finally:
                if before is None:
                    del os.environ[VISIBLE]
                else:
                    os.environ[VISIBLE] = before
                lock.release()
            return
        if not waiting:
            mention(f"all GPUs are taken ({', '.join(found)}); waiting for one")
            waiting = True
        time.sleep(POLL_SECONDS)
