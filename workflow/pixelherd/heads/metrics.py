"""Segmentation metrics from counts of pixels; all in [0, 1], NumPy only.

A class that occurs in neither the targets nor the predictions says nothing about a model: it is left out of means.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pixelherd.datasets.classes import IGNORED
from pixelherd.errors import UserError

BINS = 15
"""Of confidence, equally wide."""

STEPS = 2**20
"""Confidence is added up in integers of this many steps, so that sums do not depend on their order."""


@dataclass(frozen=True)
class Tally:
    """Counted pixels of one head, or of several along a first axis.

    Attributes:
        matrix: int64 ``[…, C, C]`` of :func:`confusion`.
        bins: int64 ``[…, BINS, 3]`` of :func:`reliability`.
    """

    matrix: np.ndarray
    bins: np.ndarray

    @classmethod
    def nothing(cls, heads: int, classes: int) -> "Tally":
        """Return counts of 0."""
        return cls(np.zeros((heads, classes, classes), np.int64), np.zeros((heads, BINS, 3), np.int64))

    @classmethod
    def stack(cls, tallies: "Sequence[Tally]") -> "Tally":
        """Return the counts of several heads, each of which has its own."""
        return cls(np.stack([each.matrix for each in tallies]), np.stack([each.bins for each in tallies]))

    @classmethod
    def join(cls, tallies: "Sequence[Tally]") -> "Tally":
        """Return the counts of all heads of several, one after the other."""
        return cls(np.concatenate([each.matrix for each in tallies]), np.concatenate([each.bins for each in tallies]))

    def __add__(self, other: "Tally") -> "Tally":
        """Return the counts of both."""
        return Tally(self.matrix + other.matrix, self.bins + other.bins)

    def __getitem__(self, head: int) -> "Tally":
        """Return the counts of one head."""
        return Tally(self.matrix[head], self.bins[head])

    def __len__(self) -> int:
        """Return how many heads there are."""
        return len(self.matrix)


def confusion(target: ArrayLike, prediction: ArrayLike, classes: int) -> np.ndarray:
    """Count pixels by true and predicted class; matrices of several images add up.

    Args:
        target: integer labels of any shape, in [0, classes) or 255 = ignored.
        prediction: integer labels of the same shape, in [0, classes) wherever the target is not ignored.
        classes: number of classes C, from 1 to 255.

    Returns:
        int64 [C, C]; row = target, column = prediction.

    Raises:
        UserError: a target outside the classes, which is a fault of the data set.
        ValueError: a prediction outside the classes, shapes that differ, or values that are not integers.
    """
    if not 1 <= classes <= IGNORED:
        raise ValueError(f"classes must be between 1 and {IGNORED}, not {classes}")
    true, predicted = np.asarray(target), np.asarray(prediction)
    if true.shape != predicted.shape:
        raise ValueError(f"target has shape {true.shape}, prediction has shape {predicted.shape}")
    for what, values in (("target", true), ("prediction", predicted)):
        if not np.issubdtype(values.dtype, np.integer):
            raise ValueError(f"{what} must hold integers, not {values.dtype}")
    counted = true != IGNORED
    true, predicted = true[counted].astype(np.int64), predicted[counted].astype(np.int64)
    check_targets(true, classes)
    if (outside := predicted[(predicted < 0) | (predicted >= classes)]).size:
        raise ValueError(f"predicted class {outside[0]} is outside 0 to {classes - 1}")
    return np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)


def check_targets(target: np.ndarray, classes: int) -> None:
    """Check that labels are classes, or ignored.

    Raises:
        UserError: one is neither, which is a fault of the data set.
    """
    if (outside := target[(target != IGNORED) & ((target < 0) | (target >= classes))]).size:
        raise UserError(
            f"label value {outside[0]} in the masks is outside the classes 0 to {classes - 1}",
            remedy=f"correct the masks or the list of classes, or use {IGNORED} for pixels to ignore",
        )


def reliability(target: ArrayLike, prediction: ArrayLike, confidence: ArrayLike) -> np.ndarray:
    """Count pixels by how sure the prediction is; counts of several images add up.

    Args:
        target: labels of any shape, 255 = ignored.
        prediction: labels of the same shape.
        confidence: probability of the predicted class, in [0, 1], of the same shape.

    Returns:
        int64 [BINS, 3], a row for each bin of confidence: pixels, those predicted correctly, and the sum of their
        confidences in units of 1 / STEPS.
    """
    counted = np.asarray(target) != IGNORED
    right = np.asarray(target)[counted] == np.asarray(prediction)[counted]
    steps = np.rint(np.asarray(confidence, np.float64)[counted] * STEPS).astype(np.int64)
    place = np.minimum(steps * BINS // STEPS, BINS - 1)
    sums = np.zeros(BINS, np.int64)
    np.add.at(sums, place, steps)
    return np.stack([np.bincount(place, minlength=BINS), np.bincount(place[right], minlength=BINS), sums], axis=1)


def calibration_error(bins: np.ndarray) -> float:
    """Expected calibration error (Guo et al., ICML 2017): mean distance of confidence from accuracy; NaN if no pixel.

    Args:
        bins: of :func:`reliability`.
    """
    distance = np.abs(bins[:, 1] - bins[:, 2] / STEPS)
    return float(_ratio(distance.sum(), bins[:, 0].sum()))


def ious(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union per class, float64 [C]; NaN for a class absent from targets and predictions."""
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - confusion.diagonal()
    return _ratio(confusion.diagonal(), union)


def miou(confusion: np.ndarray) -> float:
    """Mean of :func:`ious` over the classes present; NaN if no pixel was counted."""
    return _mean(ious(confusion))


def pixel_accuracy(confusion: np.ndarray) -> float:
    """Share of the counted pixels that are predicted correctly; NaN if no pixel was counted."""
    return float(_ratio(confusion.trace(), confusion.sum()))


def mean_class_accuracy(confusion: np.ndarray) -> float:
    """Mean recall over the classes that occur in the targets; NaN if no pixel was counted."""
    return _mean(_ratio(confusion.diagonal(), confusion.sum(axis=1)))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


def _mean(values: np.ndarray) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")
