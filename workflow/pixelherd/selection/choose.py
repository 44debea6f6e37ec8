"""What a round asks for: the b pixels of a method, given what is labelled already."""

from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import nn

from pixelherd.compute.randomness import numpy_generator, torch_generator
from pixelherd.datasets.classes import IGNORED
from pixelherd.datasets.pixels import Pixels
from pixelherd.errors import UserError
from pixelherd.heads.network import Head, log_probabilities, sampled_log_probabilities
from pixelherd.selection import acquisition
from pixelherd.selection.coverage.union import Union
from pixelherd.selection.methods import SELECTIONS, comparable
from pixelherd.selection.rankings import Ranking
from pixelherd.selection.rules.offer import Offer
from pixelherd.selection.settings import Round, used
from pixelherd.storage.shards import Shards

LISTS = "`candidates.listed`, `candidates.reserve` or `candidates.pixels`"
"""What to raise where the images' lists are too short."""

TOGETHER = 64
"""Images whose labels are read at a time."""


def together(offer: Offer) -> Pixels:
    """The pixels of a round that no score ranks: by the method's rule.

    Where what the rule needs is not there, its opening stands in: without a label for a rule that needs labels, without
    a head for one that needs a head. Coverage opens for scores.

    Args:
        offer: what the images offer, and what is known of it.

    Raises:
        UserError: the images offer fewer pixels than the budget.
    """
    budget, rule = offer.current.budget, SELECTIONS.get(offer.current.settings.score, SELECTIONS["coverage"])
    if (rule.needs_head and offer.head is None) or (rule.needs_labels and not len(offer.labelled)):
        rule = SELECTIONS[rule.opening]
    _require(len(offer.rows), budget, "the images' lists offer", LISTS)
    rows, scores = import_module(used(rule.module)).choose(offer)
    return Pixels(offer.union.images[rows], offer.union.pixels[rows], scores)


def pool(union: Union, current: Round) -> np.ndarray:
    """Stage 1 of a round: the union rows that the score will rank, in greedy order."""
    settings, labelled = current.settings, union.rows_of(current.labelled.images, current.labelled.flat)
    return union.herd(labelled, used(settings.listed), used(settings.kernel), float(used(settings.pool_fraction)))[0]


def by_score(
    union: Union,
    rows: np.ndarray,
    current: Round,
    head: Head,
    sampled_head: nn.Module | None = None,
    *,
    draws: Shards | None = None,
) -> tuple[Pixels, Ranking]:
    """Stage 2 of a round: the best of the pool by the method's score, ties to the first herded.

    Besides them, how the pool was ranked: by this score, and by all others that the same predictions allow.

    Args:
        union: the listed pixels and their base vectors.
        rows: the pool.
        current: the round.
        head: the head of the round before.
        sampled_head: what :func:`pixelherd.heads.network.sampled` takes, where the score compares samples of a head.
        draws: vectors of draws 1…M at the listed pixels, ``draws [images, listed, M, D]``, where the score needs them.

    Raises:
        UserError: the pool holds fewer pixels than the budget.
    """
    settings, budget = current.settings, current.budget
    _require(len(rows), budget, "the pool holds", f"{LISTS}, or the method's `pool_fraction`")
    base = log_probabilities(head, np.asarray(union.vectors[rows]))
    disagreement = None
    if draws is not None:
        vectors = np.stack(
            [
                draws.image("draws", image)[rank][: settings.draws]
                for image, rank in zip(union.images[rows], union.ranks[rows], strict=True)
            ]
        )
        samples = log_probabilities(head, vectors.reshape(-1, vectors.shape[-1]))
        disagreement = samples.reshape(*vectors.shape[:2], -1)
    elif sampled_head is not None:
        generator = torch_generator(settings.seed, "dropout", current.number)
        vectors = np.asarray(union.vectors[rows])
        disagreement = sampled_log_probabilities(sampled_head, vectors, used(settings.samples), generator=generator)
    scores = {
        name: acquisition.score(
            name,
            disagreement,
            base=base,
            weight=used(settings.weight),
            generator=torch_generator(settings.seed, "score", current.number),
        )
        for name in dict.fromkeys([settings.score, *comparable(settings.score)])
    }
    own = scores[settings.score]
    best = torch.sort(own, descending=True, stable=True).indices[:budget].numpy()
    ranking = Ranking({name: values.numpy() for name, values in scores.items()}, best)
    return Pixels(union.images[rows][best], union.pixels[rows][best], own.numpy()[best]), ranking


def at_random(context: Shards, truth: Any, current: Round) -> Pixels:
    """A uniform sample, without replacement, of the context pixels that are not labelled yet.

    Args:
        context: the training shards; ``context_pixels [images, P]``.
        truth: label array of the training split, read only to leave out ignored pixels (``avoid_ignored``); None where
            there are no masks.
        current: the round.

    Raises:
        UserError: there are fewer such pixels than the budget.
    """
    settings, labelled, budget = current.settings, current.labelled, current.budget
    pixels = context.all("context_pixels")
    free = np.ones(pixels.shape, dtype=bool)
    for image in np.unique(labelled.images):
        free[image] &= ~np.isin(pixels[image], labelled.flat[labelled.images == image])
    if settings.avoid_ignored and truth is not None:
        for first in range(0, len(pixels), TOGETHER):
            block = slice(first, first + TOGETHER)
            labels = np.asarray(truth[block]).reshape(len(pixels[block]), -1)
            free[block] &= np.take_along_axis(labels, pixels[block], axis=1) != IGNORED
    images, columns = np.nonzero(free)
    _require(len(images), budget, "the images' context pixels offer", "`features.*.context`")
    chosen = numpy_generator(settings.seed, "random", current.number).choice(len(images), budget, replace=False)
    return Pixels(images[chosen], pixels[images[chosen], columns[chosen]], np.zeros(budget))


def _require(available: int, budget: int, what: str, mend: str) -> None:
    if available < budget:
        raise UserError(
            f"budget: {what} {available} unlabelled pixels, fewer than the {budget} of a round",
            remedy=(f"lower `budgets` or `rounds`, or raise {mend}"),
        )
