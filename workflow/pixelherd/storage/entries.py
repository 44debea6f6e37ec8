"""JSON that somebody else wrote: read in the encodings that tools use, and checked as its fields are asked for."""

import json
import math
import reprlib
from pathlib import Path
from typing import Any

from pixelherd.errors import UserError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60

_REMEDY = "name a JSON file, unpacked"


def shortened(value: object) -> str:
    """Spell a value of a JSON file in one line, long ones with dots in the middle."""
    return _SHORT.repr(value)


def read_json(path: Path | str) -> Any:
    """Read a JSON file in UTF-8, UTF-16 or UTF-32, with a byte order mark or without.

    Raises:
        UserError: there is no such file, it cannot be read, or it holds no JSON.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} does not exist", remedy="check the name") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder", remedy=_REMEDY) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})", remedy=_REMEDY) from None
    except RecursionError:
        raise UserError(f"{path} is nested too deeply", remedy=_REMEDY) from None
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise UserError(f"{path} is no JSON ({reason})", remedy=_REMEDY) from None


class Entry:
    """An object of a JSON file; a field that is not what it is asked for as is a :class:`UserError`.

    Args:
        content: what the file holds in this place.
        file: how messages name the file.
        place: how they name the place in it; nothing for all of it.

    Attributes:
        fields: the object, unchecked.
        file, place: as given.

    Raises:
        UserError: the content is no object.
    """

    def __init__(self, content: object, file: str, place: str = "") -> None:
        self.file, self.place = file, place
        if not isinstance(content, dict):
            raise self.malformed("an object", content)
        self.fields: dict[str, Any] = content

    def has(self, key: str) -> bool:
        """Return whether a field is there and not null."""
        return self.fields.get(key) is not None

    def text(self, key: str) -> str:
        """A text."""
        value = self.fields.get(key)
        if not isinstance(value, str):
            raise self._not(key, "a text")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of texts."""
        value = self.fields.get(key)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self._not(key, "a list of texts")
        return value

    def identifier(self, key: str) -> str:
        """A whole number or a text, as text: what tools count in numbers others spell."""
        value = self.fields.get(key)
        if not _is_identifier(value):
            raise self._not(key, "a number or a text")
        return str(value)

    def whole(self, key: str) -> int:
        """A whole number from 0 on."""
        value = self.fields.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._not(key, "a whole number")
        return value

    def number(self, key: str) -> float:
        """A finite number."""
        value = _finite(self.fields.get(key))
        if value is None:
            raise self._not(key, "a finite number")
        return value

    def numbers(self, key: str) -> list[float]:
        """A list of finite numbers."""
        value = self.fields.get(key)
        found = [_finite(each) for each in value] if isinstance(value, list) else [None]
        if None in found:
            raise self._not(key, "a list of finite numbers")
        return [each for each in found if each is not None]

    def entry(self, key: str) -> "Entry":
        """Another object."""
        return Entry(self.fields.get(key), self.file, self._below(key))

    def entries(self, key: str, name: str) -> list["Entry"]:
        """A list of objects, which messages call by ``name`` and their id; none if the field is not there or null."""
        value = self.fields.get(key) if self.has(key) else []
        if not isinstance(value, list):
            raise self._not(key, "a list")
        return [Entry(each, self.file, self._below(named(each, name, number))) for number, each in enumerate(value, 1)]

    def malformed(self, kind: str, value: object, key: str = "") -> UserError:
        """The mistake that a value, by default the object itself, is not what it must be."""
        place = self._below(key)
        where = f"{self.file}: {place}" if place else self.file
        return UserError(
            f"{where}: must be {kind}, found {shortened(value)}", remedy="write the file again, or mend it"
        )

    def _below(self, key: str) -> str:
        return ", ".join(filter(None, (self.place, key)))

    def _not(self, key: str, kind: str) -> UserError:
        return self.malformed(kind, self.fields.get(key), key)


def named(content: object, name: str, number: int) -> str:
    """How messages call an object of a list: ``name`` and its id, or ``number``, its place, if it has none."""
    known = content.get("id") if isinstance(content, dict) else None
    return f"{name} {_SHORT.repr(known).strip(chr(39)) if _is_identifier(known) else number}"


def _is_identifier(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # whole numbers have no limit, and others do
        return None
