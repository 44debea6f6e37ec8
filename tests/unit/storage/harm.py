"""Ways in which files come to harm."""

from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

BYTES = st.floats(0, 1, exclude_max=True)
"""Where in a file, as a share of its length, so that files of any length are harmed everywhere."""


def flipped(content: bytes, where: float, value: int) -> bytes:
    """Return the content with one byte replaced by ``value``."""
    place = int(where * len(content))
    return content[:place] + bytes([value]) + content[place + 1 :]


def files_below(folder: Path) -> list[Path]:
    """Return all files of a folder and its subfolders, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def swap(one: Path, other: Path) -> None:
    """Have two files, or two folders, take each other's places."""
    aside = one.with_name(f"{one.name}.aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def ways(content: bytes) -> Iterator[bytes | None]:
    """Yield what may be left of a file; None for a file that is gone."""
    yield from (b"", content[:-1], content[: len(content) // 2], content + b"\0", bytes(len(content)), None)
