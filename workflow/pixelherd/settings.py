"""What all settings of a study have in common."""

import os
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pixelherd.errors import nearest


def explain(errors: list[Any], content: Any, schema: dict[str, Any], subject: str = "study") -> str:
    """One line for Pydantic's errors: where, what, and the nearest name for an unknown key.

    Args:
        errors: of Pydantic's ``ValidationError``.
        content: what was checked.
        schema: JSON schema of the models that checked it.
        subject: what the content is, to begin the line with.
    """
    found: dict[str, list[str]] = {}  # what the members of a union say about the same value goes together
    for error in errors:
        if error["type"] == "default_factory_not_called":
            continue  # of a default that depends on what is wrong
        where = ".".join(_keys(error["loc"], content))
        if error["type"] == "extra_forbidden":
            *place, key = map(str, error["loc"])
            found[f"unknown key `{where}`{nearest(key, _known_keys(schema, place))}"] = []
        elif error["type"] in ("missing", "union_tag_not_found"):
            key = "kind" if error["type"] == "union_tag_not_found" else error["loc"][-1]
            found[f"{where}.{key}".removeprefix(".")] = ["this key is required"]
        else:
            found.setdefault(where, []).append(error["msg"].removeprefix("Value error, "))
    return "; ".join(": ".join(filter(None, (subject, where, " or ".join(what)))) for where, what in found.items())


def _keys(location: tuple[int | str, ...], content: Any) -> Iterator[str]:
    """The parts of a Pydantic location that are keys of the content; the others name members of unions."""
    for part in location:
        known = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
        if part in known:
            content = content[part]
            yield str(part)


def _known_keys(root: dict[str, Any], place: list[str]) -> list[str]:
    """Keys that the models allow at ``place``, found by walking the JSON schema."""
    nodes = [root]
    for part in place:
        nodes = [child for node in nodes for child in _children(root, node, part)]
    return sorted({key for node in nodes for key in _resolve(root, node).get("properties", {})})


def _resolve(root: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    return root["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node


def _children(root: dict[str, Any], node: dict[str, Any], part: str) -> list[dict[str, Any]]:
    node = _resolve(root, node)
    found = [node.get("properties", {}).get(part), node.get("additionalProperties"), node.get("items")]
    found += node.get("patternProperties", {}).values()
    options = [option for key in ("anyOf", "oneOf") for option in node.get(key, [])]
    if options:  # the part of the place names a member of the union, or lies inside one of them
        found += [option for option in options if part in _labels(root, option)]
        found += [child for option in options for child in _children(root, option, part)]
    expanded = []
    for child in found:
        if isinstance(child, dict):
            expanded.append(child)
            expanded += _resolve(root, child).get("anyOf", []) + _resolve(root, child).get("oneOf", [])
    return expanded


def _labels(root: dict[str, Any], option: dict[str, Any]) -> tuple[str | None, str]:
    """How Pydantic calls a member of a union: by its tag (the kind) or by its class."""
    kind = _resolve(root, option).get("properties", {}).get("kind", {}).get("const")
    return kind, option.get("$ref", "").rsplit("/", 1)[-1]


def _usable(path: str) -> str:
    """Return a path that a file system can have, and that means what it says."""
    if not path.isprintable():
        raise ValueError(f"{path!r} holds characters that cannot be seen, such as the end of a line; write it without")
    if path != path.strip():
        raise ValueError(f"{path!r} begins or ends with a space; write it without")
    if path.split("/")[0].startswith("~"):
        raise ValueError(f"{path!r} begins with ~, which only a shell replaces; write the folder in full")
    if len(path) > LONGEST_PATH or max(len(os.fsencode(part)) for part in path.split("/")) > LONGEST_NAME:
        raise ValueError(f"{path[:40]!r}… is longer than file systems take; shorten it")
    return path


LONGEST_NAME, LONGEST_PATH = 200, 1000
"""Bytes of a file's name and characters of a path; file systems take 255 and 4095, and something is put behind both."""

PathText = Annotated[str, Field(min_length=1), AfterValidator(_usable)]

MANY = 1_000_000_000
"""More than anything is counted to, and far from where whole numbers of machines end."""

Count = Annotated[int, Field(gt=0, le=MANY)]

Whole = Annotated[int, Field(ge=0, le=MANY)]

Seed = Annotated[int, Field(ge=0, lt=2**63)]

LONGEST_SIDE = 10_000
"""Pixels of a side of an image; no network takes so many."""

Side = Annotated[int, Field(gt=0, le=LONGEST_SIDE)]

MOST_PIXELS = LONGEST_SIDE**2

PixelCount = Annotated[int, Field(gt=0, le=MOST_PIXELS)]


class Settings(BaseModel):
    """Base of all settings: unknown keys and infinite numbers are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
