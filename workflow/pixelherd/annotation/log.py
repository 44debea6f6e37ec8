"""Rounds of answers that somebody gave while labelling live: files that say themselves which pixels they are of.

With ``oracle: log`` a study chooses nothing: :mod:`pixelherd.labelling` asked, people answered or chose pixels
themselves, and each round, ``results/annotation/{run}/round-{r}/labels.csv``, holds what came since the round before.
Its columns are those of a run's ``labels.csv``; labels are numbers, 255 = "cannot tell".
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pixelherd.datasets.pixels import CANNOT_TELL, LABEL_COLUMNS, Pixels, read_pixels
from pixelherd.errors import UserError
from pixelherd.storage.files import read_csv, write_csv

Row = tuple[str, int, int, int]
"""Image, row, column and label."""

REMEDY = "let `pixelherd label` write it again: open the page, and make a checkpoint"


def write_round(path: Path | str, round_number: int, rows: Sequence[Row]) -> None:
    """Write a round's answers."""
    write_csv(path, LABEL_COLUMNS, [(round_number, *row) for row in rows])


def read_round(path: Path | str, round_number: int, ids: Sequence[str], size: tuple[int, int], classes: int) -> Pixels:
    """Read a round's answers.

    Args:
        path: the file.
        round_number: the round that the file must be of.
        ids: names of the training images.
        size: (H, W) of prepared images.
        classes: number of classes.

    Raises:
        UserError: the file has other columns, is of another round, names an image that is not there or a pixel
            outside, holds a pixel twice or a label that is no class, or has no row.
    """
    for line, entry in read_csv(path, LABEL_COLUMNS):
        if entry["round"] != str(round_number):
            raise UserError(f"{path}, line {line}: is of round {entry['round']}, not {round_number}", remedy=REMEDY)
        if not all(
            entry[name].isdecimal() and int(entry[name]) < side
            for name, side in zip(("row", "column"), size, strict=True)
        ):
            where = f"row {entry['row']}, column {entry['column']}"
            raise UserError(f"{path}, line {line}: {where} is outside images of {size[0]}x{size[1]}", remedy=REMEDY)
    found = read_pixels([path], LABEL_COLUMNS, ids, size[1])
    wrong = np.flatnonzero((found.values != CANNOT_TELL) & ~np.isin(found.values, np.arange(classes)))
    if len(wrong):
        label = f"{found.values[wrong[0]]:g}"
        raise UserError(f"{path}, line {wrong[0] + 2}: label {label} is no class of {classes}", remedy=REMEDY)
    if len(np.unique(np.stack([found.images, found.flat]), axis=1).T) < max(len(found), 1):
        problem = "a pixel stands twice" if len(found) else "there is no answer"
        raise UserError(f"{path}: {problem}", remedy=REMEDY)
    return found
