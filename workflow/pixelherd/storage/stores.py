"""Folders of arrays that are complete or absent: a manifest with a checksum of every file is written last.

Zarr reads a missing chunk silently as its fill value, a killed job leaves half a folder behind, disks and copies make
mistakes, and folders are renamed. So nothing in pixelherd opens an array before :func:`read_manifest` has found every
file of the folder in its recorded size, and the folder in its place; and what is read is compared with its checksum:
a chunk of a Zarr array as it is read, another file when it is opened.
"""

import io
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelherd.errors import UserError
from pixelherd.storage.files import keep, write_bytes
from pixelherd.storage.records import is_sound, read_record, write_record

if TYPE_CHECKING:
    import numpy as np
    import zarr

MANIFEST, DATA = "manifest.json", "data"
"""Names in a store: of its manifest, and of the folder of all else."""

PART = ".part"
"""Ends the name of a folder that is being filled, or was left by a job that was killed."""

PLACE = "place"
"""Array of a file of :func:`save_arrays` that says whose it is."""

TRAILER = 4
"""Bytes of the CRC-32C that follows the archive in such a file."""

BLOCK = 1 << 24
"""Bytes that are read at once for a checksum."""


def checksum_of(path: Path) -> int:
    """Return the CRC-32C (Castagnoli) of a file's content."""
    import google_crc32c

    checksum = 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            checksum = google_crc32c.extend(checksum, block)
    return checksum


@contextmanager
def writing(folder: Path | str, facts: dict[str, Any], inside: str = DATA) -> Iterator[Path]:
    """Fill ``folder`` from empty; on a clean exit write its manifest: ``facts`` plus size and checksum of every file.

    What is yielded is a folder to be filled, ``inside`` that of the manifest: a rule declares both, so that Snakemake
    knows of all that there is. ``facts`` may be added to inside the block. All is on the disk before the manifest says
    so.

    The folder is filled under another name and then takes its place whole. A Snakemake that was killed leaves its jobs
    running, and the next one removes what they have written so far: half of a folder would be gone from under its job,
    which would go on and say of the rest that it is all.
    """
    folder = Path(folder)
    filled = folder.with_name(f".{folder.name}{PART}")
    for old in (folder, filled):
        shutil.rmtree(old, ignore_errors=True)
    (filled / inside).mkdir(parents=True)
    try:
        yield filled / inside
    except BaseException:
        shutil.rmtree(filled, ignore_errors=True)
        raise
    files = {}
    for path in sorted(filled.rglob("*")):
        keep(path)
        if path.is_file():
            name = path.relative_to(filled).as_posix()
            files[name] = {"bytes": path.stat().st_size, "crc32c": checksum_of(path)}
    write_record(filled / MANIFEST, {**facts, "files": files}, folder.name)
    keep(filled)
    shutil.rmtree(folder, ignore_errors=True)
    filled.rename(folder)
    keep(folder.parent)


def is_whole(folder: Path | str) -> bool:
    """Return whether a folder has its manifest, which is written last."""
    return is_sound(Path(folder) / MANIFEST, Path(folder).name)


def read_manifest(folder: Path | str) -> dict[str, Any]:
    """Return the manifest of a complete folder.

    Raises:
        UserError: there is no manifest, or a damaged or another folder's; or a file that it lists is missing or has
            another size.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder} is incomplete: it has no {MANIFEST}", remedy="delete the folder and run again")
    try:
        manifest = read_record(folder / MANIFEST, folder.name)
    except UserError as error:
        raise UserError(error.problem, remedy=f"delete {folder} and run the same command again") from None
    for name, recorded in manifest["files"].items():  # a file for each image: paths as strings are twice as fast
        try:
            state = os.stat(f"{folder}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            raise _missing(folder, name) from None
        if not stat.S_ISREG(state.st_mode) or state.st_size != recorded["bytes"]:
            raise _missing(folder, name)
    return manifest


def create_array(folder: Path, name: str, shape: tuple[int, ...], dtype: str) -> "np.memmap":
    """Create a memory-mapped ``.npy`` file of zeros in ``folder``; flush it before the manifest is written.

    Raises:
        OSError: there is no room for it on the disk.
    """
    import numpy as np

    path = folder / f"{name}.npy"
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        # The file has holes, and to write into one on a full disk would end the process by a signal.
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def open_array(folder: Path | str, name: str, inside: str = DATA) -> "np.ndarray":
    """Memory-map an array that :func:`create_array` made, read-only; ``inside`` is as :func:`writing` had it.

    Raises:
        UserError: it is not what was written.
    """
    import numpy as np

    name = (Path(inside) / f"{name}.npy").as_posix()
    check(Path(folder), name)
    return np.load(Path(folder) / name, mmap_mode="r")


def check(folder: Path, name: str) -> None:
    """Compare a file of a folder with its checksum, unless this process has done so since the file changed.

    Raises:
        UserError: it is not what was written.
    """
    if not (folder / name).is_file():
        raise _missing(folder, name)
    states = ((folder / each).stat() for each in (name, MANIFEST))
    _checked(folder, name, *((state.st_ino, state.st_size, state.st_ctime_ns) for state in states))


@cache
def _checked(folder: Path, name: str, *states: tuple[int, int, int]) -> None:
    if checksum_of(folder / name) != _checksums(folder, states[1]).get(name):
        raise _damaged(folder, name)


@cache
def _checksums(folder: Path, state: tuple[int, int, int]) -> dict[str, int]:
    return {name: recorded["crc32c"] for name, recorded in read_manifest(folder)["files"].items()}


def _missing(folder: Path, name: str) -> UserError:
    what = f"{folder / name} is missing or truncated"
    return UserError(what, remedy=f"delete {folder} and run the same command again")


def _damaged(folder: Path, name: str) -> UserError:
    return UserError(f"{folder / name} is damaged", remedy=f"delete {folder} and run the same command again")


def open_zarr(folder: Path | str, name: str) -> "zarr.Group":
    """Open a Zarr group in ``folder``, read-only; what is read is compared with its checksum.

    Raises:
        UserError: now or on reading: a file is missing, or not what was written.
    """
    import google_crc32c
    import zarr
    from zarr.storage import LocalStore

    place, name = Path(folder), f"{DATA}/{name}"
    checksums = {
        key.removeprefix(f"{name}/"): recorded["crc32c"]
        for key, recorded in read_manifest(place)["files"].items()
        if key.startswith(f"{name}/")
    }

    # a copy takes as long as reading; google_crc32c written in Python, where there is no other, counts bytes alone
    content = methodcaller("as_numpy_array" if google_crc32c.implementation == "c" else "to_bytes")

    class CheckedStore(LocalStore):
        async def get(self, key, prototype=None, byte_range=None):  # type: ignore[no-untyped-def]
            found = await super().get(key, prototype, byte_range)
            sound = found is not None and google_crc32c.value(content(found)) == checksums.get(key)
            if key in checksums and byte_range is None and not sound:
                raise _damaged(place, f"{name}/{key}")
            return found

    return zarr.open_group(CheckedStore(place / name, read_only=True), mode="r")


def create_chunks(
    group: "zarr.Group", name: str, shape: tuple[int, ...], dtype: str, compressed: bool = True
) -> "zarr.Array":
    """Create an array in a Zarr group, each entry of whose first axis is a file once it is written, also if it is zero.

    The files lie side by side. By Zarr's default each lies in folders of its own, one for every axis, which take longer
    to be made and kept on the disk than a small file.

    Args:
        group: where it belongs.
        name: of the array, perhaps with those of groups before it.
        shape: of all its entries.
        dtype: of its values.
        compressed: whether Zarr compresses them.
    """
    return group.create_array(
        name,
        shape=shape,
        chunks=(1, *shape[1:]),
        dtype=dtype,
        compressors="auto" if compressed else None,
        chunk_key_encoding={"name": "default", "separator": "."},
        config={"write_empty_chunks": True},  # so that the manifest lists a file for every entry
    )


def save_arrays(path: Path | str, **arrays: "np.ndarray") -> None:
    """Write arrays into one ``.npz`` file, with its place and a checksum of it all, atomically.

    The archive's own checksums are of its arrays alone: damage elsewhere may hide one of them.
    """
    import numpy as np

    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **{PLACE: np.array(_place(Path(path)))}, **arrays)
    write_bytes(path, content.getvalue() + _trailer(content.getvalue()))


def load_arrays(path: Path | str) -> "dict[str, np.ndarray]":
    """Return what :func:`save_arrays` wrote.

    Raises:
        UserError: the file is missing, damaged, or another's that was put in its place.
    """
    import numpy as np

    try:
        written = Path(path).read_bytes()
    except OSError as error:
        what = "missing" if isinstance(error, FileNotFoundError) else f"unreadable ({error.strerror})"
        raise UserError(f"{path} is {what}", remedy="delete it and run the same command again") from None
    content, trailer = written[:-TRAILER], written[-TRAILER:]
    if not content or trailer != _trailer(content):
        raise UserError(f"{path} is damaged", remedy="delete it and run the same command again")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = dict(file)
    place = str(arrays.pop(PLACE))
    if place != _place(Path(path)):
        raise UserError(f"{path} is {place} in the wrong place", remedy="delete it and run the same command again")
    return arrays


def _trailer(content: bytes) -> bytes:
    import google_crc32c

    return google_crc32c.value(content).to_bytes(TRAILER, "big")


def _place(path: Path) -> str:
    return "/".join(path.parts[-2:])
