"""Small JSON files that tell when they are damaged, or are another's: each holds its own name and digest."""

import json
from pathlib import Path
from typing import Any

from pixelherd.errors import UserError
from pixelherd.storage.files import hash_of, write_json

NAME, DIGEST = "name", "sha256"


def write_record(path: Path | str, content: dict[str, Any], name: str | None = None) -> None:
    """Write ``content`` with the name that it is found by and its digest, atomically.

    Args:
        path: the file.
        content: JSON, without the keys ``name`` and ``sha256``.
        name: the file's own name if not given.
    """
    named = {NAME: name or Path(path).name, **content}
    write_json(path, named | {DIGEST: hash_of(named)})


def read_record(path: Path | str, name: str | None = None) -> dict[str, Any]:
    """Return what :func:`write_record` wrote.

    Raises:
        UserError: the file is not there, empty, damaged, or another's that was put in its place.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} is missing", remedy="run the same command again") from None
    except (OSError, ValueError):
        content = None
    named = {key: value for key, value in content.items() if key != DIGEST} if isinstance(content, dict) else {}
    if not isinstance(content, dict) or content.get(DIGEST) != hash_of(named):
        raise UserError(f"{path} is damaged", remedy="delete it and run the same command again")
    if content[NAME] != (name or path.name):
        raise UserError(f"{path} is {content[NAME]} in the wrong place", remedy="delete it and run again")
    return {key: value for key, value in named.items() if key != NAME}


def is_sound(path: Path | str, name: str | None = None) -> bool:
    """Return whether there is a record that is whole and in its place."""
    try:
        read_record(path, name)
    except UserError:
        return False
    return True
