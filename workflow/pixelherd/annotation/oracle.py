"""A person as the oracle: a round's answers come from a CSV file, and the run waits as long as they are incomplete.

A run's questions and answers lie in ``results/annotation/{run}/round-{r}``: ``page.html`` to label with,
``asked.json``, which says what the page asks, and ``labels.csv``, which nothing but the person writes. An answer file
has the columns of ``labels.csv`` in a run's folder; its rows may come in any order, and its labels may be names.
"""

import csv
import io
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pixelherd.datasets.pixels import CANNOT_TELL, LABEL_COLUMNS, QUERY_COLUMNS
from pixelherd.errors import UserError, nearest
from pixelherd.storage.files import digest_of, original, read_csv, write_json
from pixelherd.storage.records import fact_beside, found_in
from pixelherd.study import stages
from pixelherd.study.paths import ASKED_DIGESTS
from pixelherd.study.run import Run
from pixelherd.study.study import Study

UNKNOWN = "unknown"
"""What a person writes, or :data:`~pixelherd.datasets.pixels.CANNOT_TELL`, for a pixel whose class cannot be told."""

Pixel = tuple[str, int, int]
"""Image, row and column."""


def read_asked(path: Path | str) -> list[Pixel]:
    """The pixels that a ``queries.csv`` asks for, in its order."""
    pixels = []
    for line, entry in read_csv(path, QUERY_COLUMNS):
        try:
            pixels.append((entry["image"], int(entry["row"]), int(entry["column"])))
        except ValueError:
            raise UserError(
                f"{path}, line {line}: row or column is no number", remedy="delete it and run again"
            ) from None
    return pixels


def read_answers(
    path: Path | str,
    asked: Sequence[Pixel],
    round_number: int,
    classes: Sequence[str],
    keys: Sequence[str] = (),
    numbers: Sequence[str] | None = None,
) -> list[int | None]:
    """The label of every asked pixel, in their order; None for those that have no answer yet.

    A label is a class by name or by number, or 255 or "unknown" for "cannot tell"; digits are always a number. A row
    with an empty label, and a pixel without a row, have no answer yet. Columns are separated by commas, or by the
    semicolons or tabs that spreadsheets write instead.

    Args:
        path: the answer file.
        asked: the round's pixels.
        round_number: the round that the file must answer.
        classes: names in label order.
        keys: names by which answers know the classes, too, in label order.
        numbers: keys of the classes in the order that numbers meant when the round was asked; by default that of today.

    Raises:
        UserError: the file cannot be read, or a line has another round, a pixel that was not asked or is there twice,
            or an unknown class; the message names the line.
    """
    place = {pixel: number for number, pixel in enumerate(asked)}
    images = {image for image, _, _ in asked}
    names, numbered = _by_name(classes, keys), _numbered(numbers, keys or classes)
    labels: list[int | None] = [None] * len(asked)
    seen: dict[Pixel, int] = {}
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text in UTF-8", remedy="save it as CSV in UTF-8") from None
    separator = next((each for each in ",;\t" if each in text.partition("\n")[0]), ",")
    table = _numbered_rows(text, separator, path)
    header = [name.strip() for name in next(table, (1, []))[1]]
    if header != list(LABEL_COLUMNS):
        raise UserError(f"{path}, line 1: must be {','.join(LABEL_COLUMNS)}, found {','.join(header) or 'nothing'}")
    for line, row in table:
        where = f"{path}, line {line}"
        if not any(map(str.strip, row)):
            continue
        if len(row) != len(LABEL_COLUMNS):
            raise UserError(f"{where}: has {len(row)} columns instead of {len(LABEL_COLUMNS)}", remedy="mend the line")
        number, image, *at, label = (
            cell if column == "image" else cell.strip() for column, cell in zip(header, row, strict=True)
        )
        if not all(_is_number(value) for value in (number, *at)):
            raise UserError(f"{where}: round, row and column must be whole numbers", remedy="mend the line")
        if int(number) != round_number:
            raise UserError(f"{where}: answers round {number}, but this is the file of round {round_number}")
        pixel = _meant(image, images), int(at[0]), int(at[1])
        if pixel not in place:
            raise UserError(
                f"{where}: row {pixel[1]}, column {pixel[2]} of image {image!r} was not asked in round {round_number}",
                remedy=("remove the line, or move the file away if it answers a study with other settings"),
            )
        if pixel in seen:
            raise UserError(f"{where}: answers the same pixel as line {seen[pixel]}", remedy="remove one of them")
        seen[pixel] = line
        labels[place[pixel]] = _label(label, names, numbered, where)
    return labels


def _numbered_rows(text: str, separator: str, path: Path | str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the lines that they begin on."""
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        line = table.line_num + 1
        try:
            yield line, next(table)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(f"{path}, line {line}: is no CSV ({error})", remedy="mend its quotation marks") from None


def spelling(label: int, classes: Sequence[str]) -> str:
    """Spell a label for an answer file: by its class, or by its number where the name would be read as another one."""
    name = UNKNOWN if label == CANNOT_TELL else classes[label]
    try:
        read = _label(name.strip(), _by_name(classes), _numbered(None, classes), name)
    except UserError:
        read = None
    return name if read == label else str(label)


def _by_name(classes: Sequence[str], keys: Sequence[str] = ()) -> dict[str, int]:
    return {
        name.casefold().strip(): label for each in (keys, classes) for label, name in reversed(list(enumerate(each)))
    }


def _numbered(numbers: Sequence[str] | None, keys: Sequence[str]) -> dict[int, int]:
    """Today's label by the number that meant the class when it was asked; classes that are gone have none."""
    today = {key: label for label, key in enumerate(keys)}
    return {number: today[key] for number, key in enumerate(keys if numbers is None else numbers) if key in today}


def _meant(cell: str, known: Container[str]) -> str:
    """What a cell names, with the apostrophe that keeps spreadsheets from running it or, written by hand, without."""
    return original(cell) if original(cell) in known else cell


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _label(text: str, names: Mapping[str, int], numbered: Mapping[int, int], where: str) -> int | None:
    if not text:
        return None
    if _is_number(text):
        if int(text) == CANNOT_TELL or int(text) in numbered:
            return numbered.get(int(text), CANNOT_TELL)
        remedy = f"labels are 0 to {max(numbered, default=0)}, or {CANNOT_TELL}"
        raise UserError(f"{where}: label {text} is no class", remedy=remedy)
    name = _meant(text.casefold(), names)
    if name in names:
        return names[name]
    if text.casefold() == UNKNOWN:
        return CANNOT_TELL
    raise UserError(f"{where}: unknown class {text!r}{nearest(text, [*names, UNKNOWN])}")


def note_asked(path: Path | str, question: str, queries: Path | str) -> None:
    """Write ``asked.json``: whose run a page asks for, and which queries."""
    write_json(path, {"run": question, "queries_sha256": digest_of(Path(queries))})


def asked_keys(queries: Path | str) -> list[str] | None:
    """Return which class each number meant when queries were chosen; None where nothing tells, as of pixelherd 0.1.

    Raises:
        UserError: what tells it is damaged.
    """
    return fact_beside(Path(queries).with_name(ASKED_DIGESTS), "classes")


def has_asked(study: Study, run: Run, round_number: int) -> bool:
    """Return whether a page asks a round's queries, for the run as it is set now.

    What a person was asked stays asked: such queries are not chosen anew, not even when earlier answers are corrected.
    """
    queries, asked = _files(study, run, round_number, study.paths.queries, study.paths.asked)
    content = found_in(asked)
    if not queries.is_file() or content.get("queries_sha256") != digest_of(queries):
        return False
    return content.get("run") in (stages.question(study, run), stages.identity(study, run))  # the latter in 0.1


def _files(study: Study, run: Run, round_number: int, *patterns: str) -> list[Path]:
    return [Path(study.paths.of_round(pattern, run, round_number)) for pattern in patterns]


def waiting(study: Study, pending: Mapping[Run, Iterable[int]]) -> dict[Run, int]:
    """The runs that wait for a person, with the first round whose answers are incomplete.

    An answer file with a mistake in it, or of a round whose queries are to be chosen again, does not count as
    incomplete: the job that reads it tells.

    Args:
        study: the study.
        pending: unfinished runs with the rounds that they lack.
    """
    found = {}
    for run, rounds in pending.items():
        if study.needs_masks(run.method):
            continue
        for number in rounds:
            if missing(study, run, number) != 0:
                found[run] = number
                break
    return found


def missing(study: Study, run: Run, round_number: int) -> int | None:
    """How many pixels of a round have no answer yet; None for all of them.

    A malformed answer file lacks nothing, nor does one whose queries are not there.
    """
    queries, answers = _files(study, run, round_number, study.paths.queries, study.paths.answers)
    if not answers.is_file():
        return None
    if not queries.is_file():
        return 0
    try:
        names, keys = (of(study, run.dataset) for of in (stages.class_names, stages.class_keys))
        numbers = asked_keys(queries)
        labels = read_answers(answers, read_asked(queries), round_number, names, keys, numbers)
    except UserError:
        return 0
    return labels.count(None)


def request(study: Study, run: Run, round_number: int) -> str | None:
    """The line that asks a person for answers; None as long as the round's page is not there."""
    paths = study.paths
    queries, page, answers = _files(study, run, round_number, paths.queries, paths.page, paths.answers)
    if study.oracle == "log":
        return f"round {round_number} of {run.path} waits for {answers}, which `pixelherd label` writes"
    if not queries.is_file() or not page.is_file():
        return None
    asked, lacking = len(read_asked(queries)), missing(study, run, round_number)
    if lacking == 0:
        return None
    pixels = f"{asked} pixels wait" if lacking in (None, asked) else f"{lacking} of {asked} pixels still wait"
    return (
        f"{pixels if asked != 1 else '1 pixel waits'} for labels in {answers}; open {page}, then run "
        "the same command again"
    )
