"""Locks of the kernel's, which go with the process that holds them, however it ends."""

from pathlib import Path

from filelock import FileLock, Timeout

from pixelherd.errors import UserError


def lock_at(path: Path | str) -> FileLock:
    """Return the lock of a file, which all who ask for it in this process share; keep it, or it is released."""
    return FileLock(path, is_singleton=True)


def take(lock: FileLock, patience: float, what: str, remedy: str) -> None:
    """Take a lock, if the file system has such locks.

    Args:
        lock: the lock.
        patience: seconds to wait for whoever holds it.
        what: that it stands for, such as "in this folder".
        remedy: what a user can do who finds it taken.

    Raises:
        UserError: another process holds it.
    """
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=patience)
    except Timeout:
        raise UserError(f"another Snakemake works {what}", remedy=remedy) from None
    except (OSError, NotImplementedError):
        pass
