"""Small JSON files that tell when they are damaged, or are another's: each holds its own name and digest."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pixelherd.errors import UserError
from pixelherd.storage.files import digest_of, hash_of, write_json

NAME, DIGEST, SEAL_DIGEST = "name", "sha256", "seal_sha256"


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
        older = " (or an older pixelherd wrote it)" if named and DIGEST not in content else ""
        raise UserError(f"{path} is damaged{older}", remedy="delete it and run the same command again")
    if content[NAME] != (name or path.name):
        raise UserError(f"{path} is {content[NAME]} in the wrong place", remedy="delete it and run again")
    return {key: value for key, value in named.items() if key != NAME}


def found_in(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds; an empty one where there is no file, or a broken one.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a power cut leaves empty files
        return {}
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})", remedy="mend its rights") from None
    return content if isinstance(content, dict) else {}


def is_own_digest(content: dict[str, Any]) -> bool:
    """Return whether a seal is that of its digest; older ones hold none."""
    rest = {name: value for name, value in content.items() if name != SEAL_DIGEST}
    return SEAL_DIGEST not in content or content[SEAL_DIGEST] == hash_of(rest)


def write_digests(path: Path | str, files: Iterable[Path | str], place: str | None = None, **facts: Any) -> None:
    """Write a record of the digests of files that lie beside it, with ``facts``, for :func:`check_digests`.

    Args:
        path: the record.
        files: those beside it.
        place: where the record will lie, if it is written elsewhere first, as a copy for a storage is.
        facts: what else it tells.
    """
    named = {Path(file).name: digest_of(Path(file)) for file in files}
    write_record(path, {**facts, "files": named}, _beside(Path(place or path)))


def fact_beside(path: Path, name: str) -> Any:
    """Return a fact of a record of digests; None where there is no record, or an older one.

    Raises:
        UserError: the record is damaged.
    """
    return _read_digests(path).get(name)


def check_digests(path: Path, names: Iterable[str] | None = None) -> None:
    """Compare files with the digests that a record beside them holds; where there is no record, nothing is known.

    Args:
        path: the record.
        names: of the files; by default all that it names.

    Raises:
        UserError: a file is not what was written, or the record is not.
    """
    recorded = _read_digests(path).get("files", {})
    for name in recorded if names is None else set(names) & recorded.keys():
        file = path.with_name(name)
        if not file.is_file() or digest_of(file) != recorded[name]:
            what = "has changed since pixelherd wrote it" if file.is_file() else "is missing"
            raise UserError(f"{file} {what}", remedy="delete it and run the same command again")


def digests_in(path: Path) -> list[str]:
    """Return the files that a record of digests names; none where there is none.

    Raises:
        UserError: the record is damaged.
    """
    return list(_read_digests(path).get("files", {}))


def check_beside(file: Path) -> None:
    """Compare a file with what the records of digests beside it say of it.

    Raises:
        UserError: as :func:`check_digests`.
    """
    for record in sorted(file.parent.glob("*.json")):
        check_digests(record, [file.name])


def _read_digests(path: Path) -> dict[str, Any]:
    """A record of digests; nothing where there is none."""
    return read_record(path, _beside(path)) if path.is_file() else {}


def _beside(path: Path) -> str:
    return "/".join(path.parts[-7:])


def is_sound(path: Path | str, name: str | None = None) -> bool:
    """Return whether there is a record that is whole and in its place."""
    try:
        read_record(path, name)
    except UserError:
        return False
    return True
