"""Which GPU a job uses: Snakemake counts GPUs but never says which one a job may take.

A job locks a file that all jobs of the machine share and makes the GPU behind it the only visible one, before torch is
imported. The lock is advisory and the kernel's, so it is freed when the process ends, however it ends.
"""

import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from pixelherd.errors import UserError, mention

VISIBLE = "CUDA_VISIBLE_DEVICES"

POLL_SECONDS = 0.2

_GPU = re.compile(r"GPU (\d+): .*\(UUID: ([^)]+)\)")
_SLICE = re.compile(r"\s+MIG .*\(UUID: ([^)]+)\)")


@dataclass(frozen=True)
class Gpu:
    """A GPU of this machine.

    Attributes:
        index: its number among those of the machine, as text.
        uuid: its UUID, `GPU-…`.
        slices: UUIDs, `MIG-…`, of the parts that it is divided into; CUDA sees these, and not the whole.
    """

    index: str
    uuid: str
    slices: tuple[str, ...]

    def devices(self) -> list[str]:
        """Return what CUDA sees of it, by UUID."""
        return list(self.slices) or [self.uuid]


def of_machine() -> list[Gpu]:
    """Return the GPUs that the driver shows to this process; none where there is no driver."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    found: list[Gpu] = []
    for line in listed.stdout.splitlines() if listed.returncode == 0 else []:
        if gpu := _GPU.match(line):
            found.append(Gpu(gpu[1], gpu[2], ()))
        elif part := _SLICE.match(line):
            found[-1] = replace(found[-1], slices=(*found[-1].slices, part[1]))
    return found


def visible() -> list[str]:
    """GPUs that this process may use: by UUID, so that whoever uses one calls it the same; slices instead of a GPU.

    Those of an inherited ``CUDA_VISIBLE_DEVICES`` as far as CUDA reads it (what names no GPU ends the list), all of
    the machine's where the variable is not set. Indices are those of ``nvidia-smi``. Without a driver that tells UUIDs
    they stay what they are.
    """
    there = of_machine()
    inherited = os.environ.get(VISIBLE)
    if inherited is None:
        return [device for gpu in there for device in gpu.devices()]
    found: list[str] = []
    for entry in map(str.strip, inherited.split(",")):
        if not entry or entry.startswith("-") or not (meant := _devices_of(entry, there)):
            break
        found += meant
    return list(dict.fromkeys(found))


def _devices_of(entry: str, there: Sequence[Gpu]) -> list[str]:
    """What an entry means, by UUID, which may be shortened; itself where the GPUs of the machine are not known."""
    for gpu in there:
        if entry == gpu.index or (entry.startswith("GPU-") and gpu.uuid.startswith(entry)):
            return gpu.devices()
        for part in gpu.slices:
            if entry.startswith("MIG-") and part.startswith(entry):
                return [part]
    return [] if there else [entry]


def _lock_of(device: str) -> str:
    """Name of a device's lock: a UUID is of one device in the world, an index of one machine or one allocation of it.

    The folder of locks may lie on a file system of many machines, and inside an allocation of SLURM indices count its
    own GPUs, so that they mean others in the next one. SLURM may also give one GPU to several.
    """
    name = device.replace("/", "-")
    if "SLURM_JOB_ID" in os.environ:
        return f"slurm-{os.environ['SLURM_JOB_ID']}-{name}"
    return name if name.startswith(("GPU-", "MIG-")) else f"{socket.gethostname()}-{name}"


@contextmanager
def lease(jobs_per_gpu: int = 1, folder: Path | None = None) -> Iterator[str | None]:
    """Hold a GPU for the block, as the only one that CUDA sees; waits while all are taken.

    Args:
        jobs_per_gpu: how many jobs may hold one GPU at a time; GPUs fill up evenly.
        folder: where the locks lie; by default one for this user in the folder for temporary files.

    Yields:
        the GPU's name in ``CUDA_VISIBLE_DEVICES``; None on a machine without GPUs, where nothing is locked.

    Raises:
        UserError: the file system of the folder has no locks.
    """
    if not (found := visible()):
        yield None
        return
    folder = folder or Path(tempfile.gettempdir()) / f"pixelherd-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    slots = [(gpu, folder / f"{_lock_of(gpu)}.{slot}") for slot in range(jobs_per_gpu) for gpu in found]
    waiting = False
    while True:
        for gpu, path in slots:
            lock = FileLock(path)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            except (OSError, NotImplementedError):
                raise UserError(
                    f"{folder} has no locks for GPUs", remedy="set TMPDIR to a folder of this machine"
                ) from None
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
