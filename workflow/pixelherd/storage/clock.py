"""Files that seem to be of the future: whatever goes by times, as Snakemake does, makes them again and again."""

import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

TOLERANCE_SECONDS = 60
"""By which the clocks of a machine and of its file server may differ."""


def of_the_future(*folders: Path | str) -> str | None:
    """Say which file below ``folders`` was changed latest, if that lies in the future, and how to mend it.

    Hidden files are left out, and so is what cannot be read.
    """
    latest, path = max(_times(folders), default=(0.0, ""))
    ahead = latest - time.time()
    if ahead <= TOLERANCE_SECONDS:
        return None
    mend = f"find {shlex.join(map(str, folders))} -newermt now -exec touch -h {{}} +"
    return (
        f"{path} has a time {_span(ahead)} in the future, and by times Snakemake decides what to make again; set the "
        f"clock of this machine or, if it is right, give `{mend}`"
    )


def _times(folders: tuple[Path | str, ...]) -> Iterator[tuple[float, str]]:
    """When each file below the folders was changed, in seconds since 1970, and its path."""
    for folder in folders:
        for place, subfolders, files in os.walk(folder):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            for path in (os.path.join(place, name) for name in files if not name.startswith(".")):
                try:
                    yield os.lstat(path).st_mtime, path
                except OSError:
                    continue  # another process removed it


def _span(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} seconds"
