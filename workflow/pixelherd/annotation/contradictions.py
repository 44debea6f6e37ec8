"""Answers that contradict the model: labelled pixels that a fit without their image gives another class.

A head has learnt every answer and so agrees with most of them, mistakes too. A fit that has not seen an image knows no
answer in it; where it is sure of another class, the answer deserves a second look. Not every such answer is wrong: the
fit errs as well, most of all in classes that have few labels.
"""

from dataclasses import dataclass

import numpy as np
import torch

from pixelherd.datasets.classes import IGNORED
from pixelherd.heads import linear
from pixelherd.heads.settings import LinearSettings
from pixelherd.heads.sources import Labelled


@dataclass(frozen=True)
class Contradictions:
    """Answers that contradict the model, those first against which it is surest.

    Attributes:
        places: ``[n]`` their positions among the labelled pixels.
        predicted: ``[n]`` the classes that fits without their images give them.
        confidence: ``[n]`` the probabilities of these classes.
        told: how many answers there was such a fit for.
    """

    places: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    told: int


def contradictions(labelled: Labelled, classes: int, settings: LinearSettings) -> Contradictions:
    """Compare answers with what fits without their images predict, images that follow each other left out together.

    Args:
        labelled: the answered pixels.
        classes: number of classes.
        settings: of the fits.

    Raises:
        UserError: as :func:`pixelherd.heads.linear.fit`.
    """
    known = np.unique(labelled.labels[labelled.labels != IGNORED])
    parts = []
    if len(known) > 1:
        design = linear.design_of(labelled, linear.known_classes(labelled.labels, classes), settings)
        parts = list(linear.held_out(design, labelled.images, linear.minimise(design, design.weights)))
    if not parts:
        nothing = np.empty(0, dtype=np.int64)
        return Contradictions(nothing, nothing, np.empty(0), 0)
    places = torch.cat([told.nonzero()[:, 0] for told, _ in parts])
    logits, truth = torch.cat([logits for _, logits in parts]), design.targets[places]
    chances = (logits / linear.likeliest_temperature(logits, truth)).softmax(1)
    confidence, predicted = chances.max(1)
    other = (predicted != truth).nonzero()[:, 0]
    order = other[torch.argsort(confidence[other], descending=True, stable=True)]
    return Contradictions(
        places[order].numpy(), known[predicted[order].numpy()], confidence[order].numpy(), len(places)
    )
