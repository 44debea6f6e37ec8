"""The two files of a round: ``queries.csv`` (pixels to label, with scores) and ``labels.csv`` (the answers).

Rows and columns are 0-based coordinates of the prepared images; images are named by their id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixelherd.datasets.classes import IGNORED
from pixelherd.errors import UserError
from pixelherd.storage.files import read_csv, write_csv
from pixelherd.storage.records import check_beside

if TYPE_CHECKING:
    from pixelherd.datasets.settings import AnnotatorSettings

QUERY_COLUMNS = ("round", "image", "row", "column", "score")

LABEL_COLUMNS = ("round", "image", "row", "column", "label")

EXPECTED_COLUMNS = ("round", "image", "row", "column", "expected", "confidence")
"""Of what the head of the round before predicted at the queried pixels, its likeliest class and its probability."""

CANNOT_TELL = IGNORED
"""The label of a pixel whose class the oracle could not tell: no class, so nothing learns from it."""


@dataclass(frozen=True)
class Pixels:
    """Pixels of a split: ``images`` and ``flat`` positions, with ``values`` (scores or labels); ``[n]`` each."""

    images: np.ndarray
    flat: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def write_pixels(
    path: Path | str, columns: Sequence[str], round_number: int, pixels: Pixels, ids: Sequence[str], width: int
) -> None:
    """Write a round's file; the values' column comes last."""
    rows: list[tuple[object, ...]] = []
    for image, flat, value in zip(pixels.images, pixels.flat, pixels.values, strict=True):
        written = f"{value:.9g}" if columns is QUERY_COLUMNS else int(value)
        rows.append((round_number, ids[image], int(flat) // width, int(flat) % width, written))
    write_csv(path, columns, rows)


def read_pixels(paths: Sequence[Path | str], columns: Sequence[str], ids: Sequence[str], width: int) -> Pixels:
    """Read the files of several rounds as one.

    Raises:
        UserError: a file has other columns, names an image that the dataset does not have, or holds something else than
            numbers where they belong.
    """
    position = {name: index for index, name in enumerate(ids)}
    images, flat, values = [], [], []
    for path in map(Path, paths):
        check_beside(path)
        for line, entry in read_csv(path, columns):
            if entry["image"] not in position:
                raise UserError(
                    f"{path}, line {line}: the dataset has no image {entry['image']!r}",
                    remedy="put it back, or delete the run's folder",
                )
            try:
                row, column, value = int(entry["row"]), int(entry["column"]), float(entry[columns[-1]])
            except ValueError:
                raise UserError(
                    f"{path}, line {line}: row, column or {columns[-1]} is no number", remedy="mend it"
                ) from None
            images.append(position[entry["image"]])
            flat.append(row * width + column)
            values.append(value)
    return Pixels(np.array(images, dtype=np.int64), np.array(flat, dtype=np.int64), np.array(values))


def answer(asked: Pixels, truth: "np.ndarray") -> Pixels:
    """The labels of the asked pixels, from ground truth ``[N, H, W]``; 255 means "cannot tell"."""
    values = np.array(
        [truth[image].reshape(-1)[flat] for image, flat in zip(asked.images.tolist(), asked.flat.tolist(), strict=True)]
    )
    return Pixels(asked.images, asked.flat, values)


def answer_as(
    annotator: "AnnotatorSettings | None", asked: Pixels, truth: Any, ids: Sequence[str], classes: int, seed: int
) -> Pixels:
    """Answer as masks do, or as a person who errs: with its probability an answer is that of another class.

    Chance is keyed by seed, image and pixel: whichever method asks for a pixel, and when, gets the same answer.

    Args:
        annotator: how the person errs; None for nobody, who does not.
        asked: the pixels.
        truth: masks ``[N, H, W]`` by position. What these ignore cannot be told by the person either.
        ids: names of the images.
        classes: C.
        seed: of the run.
    """
    from pixelherd.compute.randomness import numpy_generator  # brings torch, which planning does without

    right = answer(asked, truth)
    if annotator is None or not annotator.error:
        return right
    values = right.values.copy()
    for place in np.flatnonzero(values != IGNORED).tolist():
        image, flat = int(asked.images[place]), int(asked.flat[place])
        random = numpy_generator(seed, "annotator", ids[image], flat)
        if random.random() < annotator.error and len(others := _other_classes(annotator, truth[image], flat, classes)):
            values[place] = random.choice(others)
    return Pixels(asked.images, asked.flat, values)


def _other_classes(annotator: "AnnotatorSettings", truth: np.ndarray, flat: int, classes: int) -> np.ndarray:
    """What may be taken for the class of a pixel: every other class, or those of the pixels nearby, one each."""
    row, column = divmod(flat, truth.shape[1])
    if annotator.where == "anywhere":
        return np.delete(np.arange(classes), truth[row, column])
    reach = annotator.reach
    near = truth[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
    return near[(near != truth[row, column]) & (near != IGNORED)]


def answer_by(asked: Pixels, labels: Sequence[int | None], path: Path | str) -> Pixels:
    """The labels of the asked pixels as a person gave them.

    Args:
        asked: the pixels.
        labels: one for each, None where there is no answer yet.
        path: the file they come from.

    Raises:
        UserError: an answer is lacking.
    """
    if lacking := sum(label is None for label in labels):
        raise UserError(
            f"{lacking} of {len(labels)} pixels still wait for labels in {path}",
            remedy=("add them, then run the same command again"),
        )
    return Pixels(asked.images, asked.flat, np.array(labels))
