"""What all settings of a study have in common."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

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
        if part in content if isinstance(content, dict) else isinstance(content, list) and isinstance(part, int):
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


class Settings(BaseModel):
    """Base of all settings: unknown keys and infinite numbers are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
