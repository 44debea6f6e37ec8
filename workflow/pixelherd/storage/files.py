"""Files that are written whole or not at all, and stay written when the power fails."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


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
    """Write ``content`` so that ``path`` holds either its old content or all of the new one, also after a power cut."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        keep(temporary)
        os.replace(temporary, path)
        keep(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def keep(path: Path) -> None:
    """Have a file's content, or a folder's names, written to the disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def hash_of(settings: dict[str, Any]) -> str:
    """SHA-256 of settings, the same for equal settings in any key order."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
