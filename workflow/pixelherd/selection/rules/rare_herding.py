"""Uncertainty Herding for classes of unequal frequency, a rule of pixelherd's own."""

import numpy as np

from pixelherd.datasets.classes import IGNORED
from pixelherd.selection.rules.coverage import herded
from pixelherd.selection.rules.offer import Offer
from pixelherd.selection.rules.uherding import unsureness

EXPONENT = 0.5
"""How much the rarity of a class counts: 0 is Uncertainty Herding."""


def choose(offer: Offer) -> tuple[np.ndarray, np.ndarray]:
    """Choose as Uncertainty Herding does, where a pixel weighs the more the fewer labels its class has.

    Its weight is (1 - (p₁ - p₂)) · Σ_c p_c ((n̄ + 1) / (n_c + 1))^0.5 with the head's prediction p, the labels n_c
    of class c, and their mean n̄ over classes. The score is the gain in coverage.
    """
    labels = np.bincount(offer.labels[offer.labels != IGNORED], minlength=offer.classes)
    rarity = ((labels.mean() + 1) / (labels + 1)) ** EXPONENT
    weights = unsureness(offer) * (offer.log_probs.exp().numpy() @ rarity)
    return herded(offer, lambda rows: weights)
