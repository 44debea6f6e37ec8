"""When to stop labelling, without test images: does another round still change the predictions?

Bloodgood & Vijay-Shanker (2009), "A Method for Stopping Active Learning Based on Stabilizing Predictions and the Need
for User-Adjustable Stopping": successive models predict a fixed set of unlabelled samples, and labelling may stop once
they agree. The set is the context pixels, a uniform sample of the pixels of all training images. Agreement says that
the predictions settle, not that they are right.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pixelherd.storage.files import read_csv, write_csv

if TYPE_CHECKING:
    from pixelherd.heads.network import Head

COLUMNS = ("round", "labelled_pixels", "cannot_tell", "agreement", "kappa", "entropy")


@dataclass(frozen=True)
class Stability:
    """How a round's head predicts the pixels of the set.

    Attributes:
        agreement: share of the pixels to which the head of the round before gives the same class; NaN in round 0.
        kappa: the same beyond chance, Cohen's kappa; NaN also where both heads give one class to all pixels.
        entropy: mean entropy of the prediction, natural log.
    """

    agreement: float
    kappa: float
    entropy: float


def stability(head: "Head", before: "Head | None", vectors: Iterable[np.ndarray]) -> Stability:
    """Compare a head with the one of the round before.

    Args:
        head: of the round.
        before: of the round before; None in round 0.
        vectors: of the set's pixels, ``[n, D]`` at a time.
    """
    import torch

    from pixelherd.heads.network import log_probabilities

    both, entropy, pixels = np.zeros((head.classes, head.classes), dtype=np.int64), 0.0, 0
    for part in vectors:
        log_p = log_probabilities(head, np.asarray(part)).double()
        entropy += float(torch.special.entr(log_p.exp()).sum())
        pixels += len(part)
        if before is not None:
            earlier = log_probabilities(before, np.asarray(part)).argmax(1)
            np.add.at(both, (earlier.numpy(), log_p.argmax(1).numpy()), 1)
    agreement, kappa = agreement_of(both) if before is not None else (math.nan, math.nan)
    return Stability(agreement, kappa, entropy / pixels)


def agreement_of(both: np.ndarray) -> tuple[float, float]:
    """Observed agreement and Cohen's kappa of two classifiers from their counts ``[C, C]``."""
    share = both / both.sum()
    observed, expected = float(np.trace(share)), float(share.sum(0) @ share.sum(1))
    return observed, (observed - expected) / (1 - expected) if expected < 1 else math.nan


def write(path: Path | str, round_number: int, labelled: int, cannot_tell: int, found: Stability) -> None:
    """Write ``stopping.csv`` of a round; what round 0 has nothing to compare with is empty.

    Args:
        path: the file.
        round_number: the round.
        labelled: pixels with a class so far.
        cannot_tell: pixels so far whose class could not be told.
        found: how the round's head predicts.
    """
    values = (found.agreement, found.kappa, found.entropy)
    row = [round_number, labelled, cannot_tell, *("" if math.isnan(value) else f"{value:.6f}" for value in values)]
    write_csv(path, COLUMNS, [row])


def read(paths: Sequence[Path | str]) -> list[dict[str, float]]:
    """The rounds' rows, NaN for what is empty."""
    rows = []
    for path in paths:
        rows += [{name: float(value or "nan") for name, value in row.items()} for _, row in read_csv(path, COLUMNS)]
    return rows
