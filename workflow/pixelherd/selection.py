"""What a round asks for: the b pixels of a method, given what is labelled already."""

from typing import Any

import numpy as np
import torch

from . import acquisition
from .candidates import IGNORED, Union
from .errors import UserError
from .head import Head, log_probabilities
from .queries import Pixels
from .randomness import numpy_generator, torch_generator
from .rankings import Ranking
from .scores import comparable
from .shards import Shards


def by_coverage(union: Union, labelled: np.ndarray, budget: int, settings: dict[str, Any]) -> Pixels:
    """Global MaxHerding straight down to ``budget`` pixels; the score is the gain in coverage.

    Raises:
        UserError: the images offer fewer pixels than the budget.
    """
    rows, herding = union.herd(labelled, settings["listed"], settings["kernel"], budget)
    _require(len(rows), budget, "the images' lists offer")
    coverage = np.asarray(herding.coverage, dtype=np.float64)
    gains = np.diff(coverage, prepend=herding.credited)
    return Pixels(union.images[rows], union.pixels[rows], gains)


def pool(union: Union, labelled: np.ndarray, settings: dict[str, Any]) -> np.ndarray:
    """Stage 1 of a round: the union rows that the score will rank, in greedy order."""
    return union.herd(labelled, settings["listed"], settings["kernel"], float(settings["pool_fraction"]))[0]


def by_score(
    union: Union,
    rows: np.ndarray,
    draws: Shards | None,
    head: Head,
    budget: int,
    round_number: int,
    settings: dict[str, Any],
) -> tuple[Pixels, Ranking]:
    """Stage 2 of a round: the ``budget`` best of the pool by the method's score, ties to the first herded.

    Besides them, how the pool was ranked: by this score, and by all others that the same predictions allow.

    Args:
        union: the listed pixels and their base vectors.
        rows: the pool.
        draws: vectors of draws 1…M at the listed pixels, ``draws [images, listed, M, D]``; None if not needed.
        head: the head of the round before.
        budget: b.
        round_number: keys the noise of stochastic scores.
        settings: the run's selection settings.
    """
    _require(len(rows), budget, "the pool holds")
    base = log_probabilities(head, np.asarray(union.vectors[rows]))
    disagreement = None
    if draws is not None:
        vectors = np.stack(
            [
                draws.image("draws", image)[rank]
                for image, rank in zip(union.images[rows], union.ranks[rows], strict=True)
            ]
        )
        samples = log_probabilities(head, vectors.reshape(-1, vectors.shape[-1]))
        disagreement = samples.reshape(*vectors.shape[:2], -1)
    scores = {
        name: acquisition.score(
            name,
            disagreement,
            base=base,
            weight=settings["weight"],
            generator=torch_generator(settings["seed"], "score", round_number),
        )
        for name in dict.fromkeys([settings["score"], *comparable(settings["score"])])
    }
    own = scores[settings["score"]]
    best = torch.sort(own, descending=True, stable=True).indices[:budget].numpy()
    ranking = Ranking({name: values.numpy() for name, values in scores.items()}, best)
    return Pixels(union.images[rows][best], union.pixels[rows][best], own.numpy()[best]), ranking


def at_random(
    context: Shards, truth: Any, labelled: Pixels, budget: int, round_number: int, settings: dict[str, Any]
) -> Pixels:
    """A uniform sample, without replacement, of the context pixels that are not labelled yet.

    Args:
        context: the training shards; ``context_pixels [images, P]``.
        truth: label array of the training split, read only to leave out ignored pixels (``avoid_ignored``).
        labelled: the pixels labelled already.
        budget: b.
        round_number: keys the sample.
        settings: the run's selection settings.
    """
    pixels = context.all("context_pixels")
    free = np.ones(pixels.shape, dtype=bool)
    for image in range(len(pixels)):
        taken = labelled.flat[labelled.images == image]
        free[image] &= ~np.isin(pixels[image], taken)
        if settings["avoid_ignored"]:
            free[image] &= truth[image].reshape(-1)[pixels[image]] != IGNORED
    images, columns = np.nonzero(free)
    _require(len(images), budget, "the images' context pixels offer")
    chosen = numpy_generator(settings["seed"], "random", round_number).choice(len(images), budget, replace=False)
    return Pixels(images[chosen], pixels[images[chosen], columns[chosen]], np.zeros(budget))


def _require(available: int, budget: int, what: str) -> None:
    if available < budget:
        raise UserError(
            f"budget: {what} {available} unlabelled pixels, fewer than the {budget} of a round; "
            "lower `budgets` or `rounds`, or raise `candidates.listed`, `candidates.reserve` or `features.*.context`"
        )
