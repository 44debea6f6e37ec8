"""How many pixels a round labels, and how many neighbours of a pixel matter after it."""

from .errors import UserError

NEIGHBOURS = 512
"""Neighbours of each offered pixel that the rounds of a seed share.

After p picks about one pair in p still matters. A first round of one pixel per ten images, of which each offers 50,
leaves 500 neighbours a pixel, whatever the number of images; herded picks leave fewer.
"""


def pixels_a_round(budget: str, images: int) -> int:
    """b = round(budget · images), or the absolute number where ``budget`` has no decimal point.

    Raises:
        UserError: that is no pixel.
    """
    pixels = int(budget) if budget.isdigit() else round(float(budget) * images)
    if pixels < 1:
        raise UserError(f"budgets: {budget} of {images} training images is no pixel; write a larger budget")
    return pixels
