"""Files that are written whole or not at all, and stay written when the power fails."""

import csv
import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pixelherd.errors import UserError


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


_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan)", re.ASCII | re.IGNORECASE)


def harmless(cell: Any) -> Any:
    """Put an apostrophe before a text that a spreadsheet would run as a formula; all else stays as it is."""
    if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def original(cell: str) -> str:
    """Undo :func:`harmless`; what was never escaped stays as it is, too."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_csv(path: Path | str, columns: Iterable[object], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with a line of column names, fields apart by commas and lines by line feeds, atomically.

    Names come from others, and tables are opened in spreadsheets: no cell is a formula. :func:`read_csv` undoes that.
    """
    write_text(path, "".join(",".join(map(_field, row)) + "\n" for row in itertools.chain([columns], rows)))


def _field(cell: object) -> str:
    return quoted("" if cell is None else str(harmless(cell)))


def quoted(cell: str) -> str:
    """Put a cell of CSV in quotation marks where it needs them; older csv modules leave a carriage return without."""
    return '"' + cell.replace('"', '""') + '"' if re.search('[",\r\n]', cell) else cell


def read_csv(path: Path | str, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Read a table that :func:`write_csv` wrote: for every row its line, and its cells by column.

    Raises:
        UserError: it is no such table, or has other columns.
    """
    remedy = "mend it, or delete it and run again"
    try:
        with open(path, newline="", encoding="utf-8") as file:
            table = csv.reader(file, strict=True)
            rows = [(table.line_num, [original(cell) for cell in row]) for row in table if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no table of comma-separated values ({error})", remedy=remedy) from None
    found = rows[0][1] if rows else []
    if found != list(columns):
        raise UserError(f"{path}: columns are {','.join(found) or 'none'}, not {','.join(columns)}", remedy=remedy)
    for line, row in rows[1:]:
        if len(row) != len(columns):
            raise UserError(f"{path}, line {line}: has {len(row)} columns, not {len(columns)}", remedy=remedy)
    return [(line, dict(zip(columns, row, strict=True))) for line, row in rows[1:]]


def write_json(path: Path | str, content: dict | list) -> None:
    """Write ``content`` as :func:`json_text`, as :func:`write_bytes` does."""
    write_text(path, json_text(content))


def json_text(content: dict | list) -> str:
    """Return ``content`` as indented JSON in key order given, as it stands in a file."""
    return json.dumps(content, indent=1) + "\n"


def hash_of(settings: dict[str, Any], written: Mapping[str, str] = MappingProxyType({})) -> str:
    """SHA-256 of settings, the same for equal settings in any key order.

    Args:
        settings: JSON.
        written: more of them that :func:`sorted_json` wrote before, by key: large ones that many hashes share.
    """
    if not written:
        return hashlib.sha256(sorted_json(settings).encode()).hexdigest()
    texts = {key: sorted_json(value) for key, value in settings.items()} | dict(written)
    whole = ", ".join(f"{json.dumps(key)}: {texts[key]}" for key in sorted(texts))
    return hashlib.sha256(f"{{{whole}}}".encode()).hexdigest()


def sorted_json(content: Any) -> str:
    """Return JSON in one line, the same for equal content in any key order."""
    return json.dumps(content, sort_keys=True)
