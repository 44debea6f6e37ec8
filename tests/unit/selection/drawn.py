"""A union of 10 images with 12 listed pixels each, drawn from six clouds, and a head that tells three classes apart."""

import numpy as np
import torch

from pixelherd.datasets.pixels import Pixels
from pixelherd.heads.network import LinearHead
from pixelherd.selection.coverage.union import Union
from pixelherd.selection.rules.offer import Offer
from pixelherd.selection.settings import Round, SelectionSettings


def union() -> Union:
    places = np.tile(np.arange(12), 10)
    return Union(_numbers()[0].astype(np.float16), np.repeat(np.arange(10), 12), places * 7, places, 1.5)


def head() -> LinearHead:
    made = LinearHead(5, 3)
    with torch.no_grad():
        made.first.weight.copy_(torch.from_numpy(_numbers()[1]))
        made.first.bias.zero_()
    return made


def labelled(drawn: Union, rows: np.ndarray, labels: np.ndarray) -> Pixels:
    """The pixels of some rows with their labels."""
    return Pixels(drawn.images[rows], drawn.pixels[rows], labels.astype(np.float64))


def offer(method: str, budget: int, number: int = 3) -> Offer:
    """What a rule is given: round 0 without labels and without a head, or round 3 with three labels."""
    drawn, rows, labels = union(), np.array([3, 50, 77])[:number], np.array([0, 2, 255])[:number]
    settings = SelectionSettings(score=method, budget=str(budget), seed=4, listed=8, kernel="rbf")
    return Offer(drawn, Round(number, budget, labelled(drawn, rows, labels), settings), 3, head() if number else None)


def _numbers() -> tuple[np.ndarray, np.ndarray]:
    """Vectors ``[120, 5]`` and weights ``[3, 5]``."""
    generator = np.random.default_rng(7)
    vectors = generator.normal(size=(6, 5))[generator.integers(6, size=120)] + 0.4 * generator.normal(size=(120, 5))
    return vectors, generator.normal(size=(3, 5))
