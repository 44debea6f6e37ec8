"""Uncertainty Herding (Bae et al., ICLR 2025), without its temperature and bandwidth schedules."""

import numpy as np
import torch

from pixelherd.selection import acquisition
from pixelherd.selection.rules.coverage import herded
from pixelherd.selection.rules.offer import Offer


def choose(offer: Offer) -> tuple[np.ndarray, np.ndarray]:
    """Choose by MaxHerding where each pixel's term of the mean weighs 1 - (p₁ - p₂) of the head's prediction there.

    The score is the gain in coverage.
    """
    return herded(offer, lambda rows: unsureness(offer))


def unsureness(offer: Offer) -> np.ndarray:
    """Return 1 - (p₁ - p₂) of the offered rows, ``[n]`` float32 in (0, 1]."""
    # a head that is sure of everything leaves weights that are equal, not zero
    margins = acquisition.score("margin", None, base=offer.log_probs)
    return (1 + margins).clamp(min=torch.finfo(torch.float32).tiny).numpy()
