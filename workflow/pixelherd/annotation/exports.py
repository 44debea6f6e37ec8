"""What labelling tools export: COCO keypoints, and Label Studio's JSON and JSON-MIN.

Tools renumber what they import, give other people's regions along, and spell files' names in ways of their own. So
keypoints are told by where they stand, and an export is read entry by entry: what is no answer is left out with the
reason, and what is malformed is a mistake that is named.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from pixelherd.errors import UserError
from pixelherd.storage.entries import Entry, named, shortened


@dataclass(frozen=True)
class Keypoint:
    """A keypoint that somebody gave a class.

    Attributes:
        file: its image's file, as the tool spells it.
        x, y: its place in the file, in pixels or percent of the sides.
        label: the name of its class.
        where: how messages name it.
        percent: how its place is measured.
        starred: it belongs to what the tool calls ground truth.
    """

    file: str
    x: float
    y: float
    label: str
    where: str
    percent: bool = False
    starred: bool = False


@dataclass(frozen=True)
class LeftOut:
    """Something in an export that answers nothing: why, and how messages name it."""

    why: str
    where: str


def keypoints(export: Any, name: str) -> Iterator[Keypoint | LeftOut]:
    """All keypoints of an export with their classes, and what it holds besides.

    Args:
        export: the content of a JSON file.
        name: how messages name the file.

    Raises:
        UserError: the content is of no kind that is known, or malformed in some place.
    """
    if isinstance(export, dict) and {"images", "annotations", "categories"} <= export.keys():
        yield from _coco(Entry(export, name))
        return
    tasks = [export] if isinstance(export, dict) else export
    for number, content in enumerate(tasks if isinstance(tasks, list) else (None,), 1):
        if not isinstance(content, dict):
            raise _unknown_kind(name)
        yield from _task(Entry(content, name, named(content, "task", number)))


def _unknown_kind(name: str) -> UserError:
    return UserError(f"{name}: is neither COCO keypoints nor Label Studio's JSON", remedy="export one of them")


def _coco(export: Entry) -> Iterator[Keypoint | LeftOut]:
    files = by_id(export.entries("images", "image"))
    classes = by_id(export.entries("categories", "category"))
    for annotation in export.entries("annotations", "annotation"):
        file = referred(files, annotation, "image_id").text("file_name")
        label = referred(classes, annotation, "category_id").text("name")
        where = f"{annotation.place} of {shortened(file)}"
        if not annotation.has("keypoints"):
            yield LeftOut("no keypoint", where)
            continue
        numbers = annotation.numbers("keypoints")
        if len(numbers) % 3:
            raise annotation.malformed("x, y and visibility of each", numbers, "keypoints")
        points = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
        visible = [(x, y) for x, y, visibility in points if visibility > 0]
        if not visible:
            yield LeftOut("without a visible keypoint", where)
        for x, y in visible:
            yield Keypoint(file, x, y, label, where)


def by_id(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Entries of COCO by their ids.

    Raises:
        UserError: an entry has no id, or that of another one.
    """
    found: dict[str, Entry] = {}
    for each in entries:
        if (known := each.identifier("id")) in found:
            raise each.malformed("an id of its own", known, "id")
        found[known] = each
    return found


def referred(known: Mapping[str, Entry], annotation: Entry, key: str) -> Entry:
    """The entry that a field of an annotation names by its id.

    Raises:
        UserError: there is none.
    """
    if (found := annotation.identifier(key)) not in known:
        raise annotation.malformed("an id of the file", found, key)
    return known[found]


def _task(task: Entry) -> Iterator[Keypoint | LeftOut]:
    """What Label Studio has of a task; predictions are questions to it, not answers."""
    if not task.has("data"):
        yield from _flat_task(task)
        return
    file = _file_of(task.entry("data"))
    if task.fields.get("drafts"):
        yield LeftOut("a draft that was not submitted", task.place)
    for annotation in task.entries("annotations", "annotation"):
        if annotation.fields.get("was_cancelled"):
            yield LeftOut("skipped by the annotator", annotation.place)
            continue
        starred = annotation.fields.get("ground_truth") is True
        for region in annotation.entries("result", "region"):
            if (kind := region.fields.get("type")) == "keypointlabels":
                value = Entry(region.fields.get("value"), region.file, region.place)
                yield from _points(value, file, starred)
            else:
                yield LeftOut("no keypoint", f"{region.place} ({shortened(kind)})")


def _flat_task(task: Entry) -> Iterator[Keypoint | LeftOut]:
    """A task of JSON-MIN: its data and, by the name of their control, the values of one annotation's regions."""
    file = _file_of(task)
    for values in task.fields.values():
        for number, value in enumerate(values if isinstance(values, list) else (), 1):
            region = f"{task.place}, {named(value, 'region', number)}"
            if isinstance(value, dict) and "keypointlabels" in value:
                yield from _points(Entry(value, task.file, region), file)
            else:
                yield LeftOut("no keypoint", region)


def _file_of(data: Entry) -> str:
    for key in ("file_name", "image"):
        if data.has(key):
            return data.text(key)
    raise _unknown_kind(data.file)


def _points(value: Entry, file: str, starred: bool = False) -> Iterator[Keypoint]:
    # a region whose label was taken away again has none, and answers nothing
    for label in value.texts("keypointlabels") if value.has("keypointlabels") else ():
        where = f"{value.place} of {shortened(file)}"
        yield Keypoint(file, value.number("x"), value.number("y"), label, where, percent=True, starred=starred)


def files_by_name(names: Collection[str], files: Collection[str]) -> dict[str, str]:
    """The file that each name of an export means; names that mean none, or not clearly one, are left out.

    A name is its file's; else that with folders less or more, decoded if it is a URL's, with Windows' separators; else
    the name alone, in other folders. What fits better comes first, and neither two files nor two names are taken for
    one.

    Args:
        names: as the tool spells them.
        files: as they were told to the tool.
    """
    found: dict[str, str] = {}
    for fits in (str.__eq__, _is_tail, _has_name):
        free = [file for file in files if file not in found.values()]
        found |= _clear_pairs([name for name in names if name not in found], free, fits)
    return found


def _clear_pairs(names: list[str], files: list[str], fits: Callable[[str, str], bool]) -> dict[str, str]:
    fitting = {name: [file for file in files if fits(name, file)] for name in names}
    taken = [file for some in fitting.values() for file in some]
    return {name: some[0] for name, some in fitting.items() if len(some) == 1 and taken.count(some[0]) == 1}


def _is_tail(name: str, file: str) -> bool:
    return any(
        short and short == long[-len(short) :]
        for spelt in _spellings(name)
        for short, long in ((spelt, _parts(file)), (_parts(file), spelt))
    )


def _has_name(name: str, file: str) -> bool:
    return any(spelt[-1:] == _parts(file)[-1:] for spelt in _spellings(name))


def _spellings(name: str) -> Iterator[tuple[str, ...]]:
    """Parts of the path that a name may mean: as it stands, as a URL, and with Windows' separators."""
    _, local, path = name.partition("?d=")
    for text in (name, path if local else name.partition("?")[0]):
        for spelt in (text, unquote(text)):
            yield _parts(spelt)
            yield _parts(spelt.replace("\\", "/"))


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part not in ("", "."))
