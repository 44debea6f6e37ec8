"""Folders of arrays that are complete or absent: a manifest with content digests is written last.

Zarr reads a missing chunk silently as its fill value, and a killed job leaves half a folder behind; so nothing in
pixelherd opens an array before :func:`read_manifest` has found every file of the folder in its recorded size.
"""

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelherd.errors import UserError

if TYPE_CHECKING:
    import numpy as np

MANIFEST = "manifest.json"


def digest_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_text(text: str) -> str:
    """Hexadecimal SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` as UTF-8, as :func:`write_bytes` does."""
    write_bytes(path, text.encode())


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write ``content`` so that ``path`` holds either its old content or all of the new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(path: Path | str, columns: Iterable[object], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with a line of column names, fields apart by commas and lines by line feeds, atomically."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    write_text(path, text.getvalue())


def write_json(path: Path | str, content: dict | list) -> None:
    """Write ``content`` as indented JSON in key order given, atomically."""
    write_text(path, json.dumps(content, indent=1) + "\n")


@contextmanager
def writing(folder: Path | str, facts: dict) -> Iterator[Path]:
    """Fill ``folder`` from empty; on a clean exit write its manifest: ``facts`` plus size and digest of every file.

    ``facts`` may be added to inside the block. After an error the folder has no manifest, so nobody reads it.
    """
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder
    files = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": digest_of(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    write_json(folder / MANIFEST, {**facts, "files": files})


def read_manifest(folder: Path | str) -> dict:
    """The manifest of a complete folder.

    Raises:
        UserError: there is no manifest, or a file that it lists is missing or has another size.
    """
    folder = Path(folder)
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (FileNotFoundError, ValueError):
        raise UserError(
            f"{folder} is incomplete: it has no {MANIFEST}", remedy="delete the folder and run again"
        ) from None
    for name, recorded in manifest["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != recorded["bytes"]:
            raise UserError(f"{path} is missing or truncated", remedy=f"delete {folder} and run the same command again")
    return manifest


def create_array(folder: Path, name: str, shape: tuple[int, ...], dtype: str) -> "np.memmap":
    """A new memory-mapped ``.npy`` file of zeros in ``folder``; flush it before the manifest is written.

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


def open_array(folder: Path | str, name: str) -> "np.ndarray":
    """Memory-map an array that :func:`create_array` made, read-only."""
    import numpy as np

    return np.load(Path(folder) / f"{name}.npy", mmap_mode="r")


def hash_of(settings: dict[str, Any]) -> str:
    """SHA-256 of settings, the same for equal settings in any key order."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
