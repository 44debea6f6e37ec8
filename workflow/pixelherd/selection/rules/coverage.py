"""Coverage: global MaxHerding straight down to the budget."""

from collections.abc import Callable

import numpy as np

from pixelherd.selection.rules.offer import Offer
from pixelherd.selection.settings import used


def choose(offer: Offer) -> tuple[np.ndarray, np.ndarray]:
    """Choose the rows that cover what the images offer best; the score is the gain in coverage."""
    return herded(offer)


def herded(offer: Offer, weigh: Callable[[np.ndarray], np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Herd what the images offer down to the budget.

    Args:
        offer: what there is.
        weigh: weights ``[n]`` of the terms of the mean, for the offered rows ``[n]``; all alike without it.

    Returns:
        rows ``[b]`` in greedy order, and the gain in coverage ``[b]`` float64 of each.
    """
    current = offer.current
    rows, herding = offer.union.herd(
        offer.labelled, used(current.settings.listed), used(current.settings.kernel), current.budget, weigh
    )
    coverage = np.asarray(herding.coverage, dtype=np.float64)
    return rows, np.diff(coverage, prepend=herding.credited)
