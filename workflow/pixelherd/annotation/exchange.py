"""Answers to a round's queries from what a labelling tool exports.

Beside a round's page lie its queries for tools, see :mod:`pixelherd.annotation.tasks`. Give each keypoint its class
there, or "unknown", where it stands; then

    python -m pixelherd.annotation.exchange EXPORT results/annotation/…/round-0

writes the round's ``labels.csv``. A pixel that people answered differently stays open, unless one of them is the ground
truth; lines tell of it, and of what else in the export answers nothing.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelherd.annotation.exports import Keypoint, LeftOut, by_id, files_by_name, keypoints, referred
from pixelherd.annotation.oracle import spelling
from pixelherd.datasets.pixels import CANNOT_TELL, LABEL_COLUMNS
from pixelherd.errors import UserError, nearest, say
from pixelherd.storage.entries import Entry, read_json, shortened
from pixelherd.storage.files import write_csv
from pixelherd.study.paths import COCO, LABELS

Row = tuple[int, str, int, int, str]
"""Round, image, row, column and label of an answer file."""

EXAMPLES = 3
"""So many places are named of a kind of things that answer nothing."""


@dataclass(frozen=True)
class Query:
    """A pixel that was asked.

    Attributes:
        round_number, image, row, column: the pixel of the dataset.
        file: of its image.
        size: width and height of the file.
        centre: x and y in the file.
        box: left, top, width and height in the file.
    """

    round_number: int
    image: str
    row: int
    column: int
    file: str
    size: tuple[float, ...]
    centre: tuple[float, ...]
    box: tuple[float, ...]

    def at(self, point: Keypoint) -> tuple[float, ...]:
        """x and y of a keypoint in the file."""
        unit = [side / 100 for side in self.size] if point.percent else (1, 1)
        return point.x * unit[0], point.y * unit[1]

    def covers(self, point: Keypoint) -> bool:
        """Return whether a keypoint stands on the pixel."""
        # tools round coordinates, so half a pixel of the file is forgiven
        sides = zip(self.box[:2], self.box[2:], self.at(point), strict=True)
        return all(low - 0.5 <= value < low + side + 0.5 for low, side, value in sides)

    def distance(self, point: Keypoint) -> float:
        """Distance of a keypoint from the centre, in pixels of the file."""
        return sum(abs(value - middle) for value, middle in zip(self.at(point), self.centre, strict=True))


@dataclass(frozen=True)
class Answers:
    """What an export answers.

    Attributes:
        rows: of an answer file.
        notes: lines about what was left out, and about answers that disagree.
        asked: how many pixels the round asks.
    """

    rows: list[Row]
    notes: list[str]
    asked: int


def answers(export: Any, asked: Any, name: str = "export") -> Answers:
    """The answers that an export holds; pixels left "unanswered" have none.

    Args:
        export: COCO keypoints, or Label Studio's JSON or JSON-MIN; whatever ids the tool gave.
        asked: the round's ``coco.json``.
        name: how messages name the export.

    Raises:
        UserError: the export is of neither kind or malformed, or gives a pixel a class that is not known.
    """
    labels, queries = _asked(asked)
    found = list(keypoints(export, name))
    points = [each for each in found if isinstance(each, Keypoint) and _position(each, labels) != len(labels) - 1]
    given, astray = _on_queries(points, queries)
    left_out = [each for each in found if isinstance(each, LeftOut)] + astray
    rows, notes = [], list(_summaries(left_out))
    for query, some in given.items():
        meant = {_label(point, labels, name): point for point in _counting(some)}
        if len(meant) > 1:
            notes.append(_disagreement(query, meant.values()))
        else:
            texts = [spelling(label, labels[:-2]) for label in meant]
            rows += [(query.round_number, query.image, query.row, query.column, text) for text in texts]
    return Answers(rows, notes, len(queries))


def _asked(content: Any) -> tuple[list[str], list[Query]]:
    """Names of labels and queries of a round's ``coco.json``."""
    coco = Entry(content, COCO)
    labels = [each.text("name") for each in coco.entries("categories", "category")]
    if len(labels) < 3:
        raise coco.malformed("names of classes", labels, "categories")
    images = by_id(coco.entries("images", "image"))
    return labels, [_query(each, referred(images, each, "image_id")) for each in coco.entries("annotations", "query")]


def _query(query: Entry, image: Entry) -> Query:
    pixel, box, place = query.entry("attributes"), query.numbers("bbox"), query.numbers("keypoints")
    if len(box) != 4 or len(place) != 3:
        raise query.malformed("a box and a keypoint", [box, place])
    return Query(
        *(pixel.whole("round"), pixel.text("image"), pixel.whole("row"), pixel.whole("column")),
        *(image.text("file_name"), (image.number("width"), image.number("height"))),
        *(tuple(place[:2]), tuple(box)),
    )


def _on_queries(
    points: Sequence[Keypoint], queries: Sequence[Query]
) -> tuple[dict[Query, list[Keypoint]], list[LeftOut]]:
    """The keypoints on each queried pixel, and those that are on none."""
    files = files_by_name(dict.fromkeys(point.file for point in points), {query.file for query in queries})
    given: dict[Query, list[Keypoint]] = {query: [] for query in queries}
    astray = []
    for point in points:
        of_image = [query for query in queries if query.file == files.get(point.file)]
        hits = [query for query in of_image if query.covers(point)]
        if hits:
            given[min(hits, key=lambda query: query.distance(point))].append(point)
        else:
            why = "on no queried pixel" if of_image else "of no image that was asked about, or not clearly of one"
            astray.append(LeftOut(why, point.where))
    return given, astray


def _position(point: Keypoint, labels: Sequence[str]) -> int | None:
    """Where the class of a keypoint stands among the labels; tools may write its name in other capitals."""
    for spelt in (str, lambda name: name.casefold().strip()):
        alike = [number for number, name in enumerate(labels) if spelt(name) == spelt(point.label)]
        if len(alike) == 1:
            return alike[0]
    return None


def _label(point: Keypoint, labels: Sequence[str], name: str) -> int:
    """The label that a keypoint gives."""
    label = _position(point, labels)
    if label is None:
        known = nearest(point.label, labels[:-1])
        raise UserError(f"{name}: {point.where}: unknown class {shortened(point.label)}{known}")
    return CANNOT_TELL if label == len(labels) - 2 else label


def _counting(points: Sequence[Keypoint]) -> Sequence[Keypoint]:
    """The keypoints of a pixel that count: those of the ground truth, if there are any."""
    return [point for point in points if point.starred] or points


def _disagreement(query: Query, points: Iterable[Keypoint]) -> str:
    answered = " or ".join(f"{shortened(point.label)} ({point.where})" for point in points)
    return f"row {query.row}, column {query.column} of {query.image!r} stays open, answers disagree: {answered}"


def _summaries(left_out: Iterable[LeftOut]) -> Iterator[str]:
    """A line for each reason."""
    places: dict[str, list[str]] = {}
    for each in left_out:
        places.setdefault(each.why, []).append(each.where)
    for why, some in places.items():
        more = f"; and {len(some) - EXAMPLES} more" if len(some) > EXAMPLES else ""
        yield f"left out, {why}: {'; '.join(some[:EXAMPLES])}{more}"


def write_answers(export: Path | str, folder: Path | str) -> Answers:
    """Write a round's ``labels.csv`` from an export, and tell what is left open or was left out.

    Args:
        export: the file that a tool exported.
        folder: of the round, with ``coco.json``.

    Raises:
        UserError: a file is missing or malformed, the export answers nothing, or there are answers already.
    """
    content, asked, path = read_json(export), read_json(Path(folder) / COCO), Path(folder) / LABELS
    if path.exists():
        raise UserError(f"{path} is there already", remedy="move it away to write another")
    found = answers(content, asked, str(export))
    for note in found.notes:
        say(note)
    if not found.rows:
        remedy = "give the keypoints of this round their classes in the tool, and submit them"
        raise UserError(f"{export} answers no pixel of {folder}", remedy=remedy)
    try:
        write_csv(path, LABEL_COLUMNS, found.rows)
    except (OSError, UnicodeEncodeError) as error:
        raise UserError(f"{path} cannot be written ({error})", remedy="mend this, then do it again") from None
    return found


def _main(arguments: Sequence[str]) -> str:
    """Write answers; returns the line that says so."""
    if len(arguments) != 2:
        raise UserError("usage: python -m pixelherd.annotation.exchange EXPORT results/annotation/…/round-0")
    found, path = write_answers(*arguments), Path(arguments[1]) / LABELS
    rest = found.asked - len(found.rows)
    still = f"; {rest} of {found.asked} pixels stay open, add their lines to it" if rest else ""
    return f"{len(found.rows)} answers written to {path}{still}"


if __name__ == "__main__":
    try:
        print(_main(sys.argv[1:]))
    except UserError as mistake:
        sys.exit(f"pixelherd: {mistake}")
