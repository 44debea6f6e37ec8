"""TCM (Doucet et al., *Bridging Diversity and Uncertainty*, PML4LRS at ICLR 2024): TypiClust first, then margin."""

import numpy as np

from pixelherd.selection import acquisition
from pixelherd.selection.rules import typiclust
from pixelherd.selection.rules.offer import Offer

TYPICAL = 10
"""Labels a class, on average over all classes, up to which TypiClust chooses."""


def choose(offer: Offer) -> tuple[np.ndarray, np.ndarray]:
    """Choose by TypiClust while labels are few, afterwards the smallest margins of what the images offer.

    The score is that of whichever chooses: typicality, or the negative margin; ties go to the first row.
    """
    if len(offer.labels) < TYPICAL * offer.classes:
        return typiclust.choose(offer)
    scores = acquisition.score("margin", None, base=offer.log_probs).numpy()
    best = np.argsort(-scores, kind="stable")[: offer.current.budget]
    return offer.rows[best], scores[best]
