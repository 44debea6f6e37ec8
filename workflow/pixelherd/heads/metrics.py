"""Segmentation metrics from a confusion matrix; all in [0, 1], NumPy only.

A class that occurs in neither the targets nor the predictions says nothing about a model: it is left out of means.
"""

import numpy as np
from numpy.typing import ArrayLike

from pixelherd.datasets.classes import IGNORED
from pixelherd.errors import UserError


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
    if (outside := true[(true < 0) | (true >= classes)]).size:
        raise UserError(
            f"label value {outside[0]} in the masks is outside the classes 0 to {classes - 1}",
            remedy=(f"correct the masks or the list of classes, or use {IGNORED} for pixels to ignore"),
        )
    if (outside := predicted[(predicted < 0) | (predicted >= classes)]).size:
        raise ValueError(f"predicted class {outside[0]} is outside 0 to {classes - 1}")
    return np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)


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
