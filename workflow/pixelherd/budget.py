"""How many pixels a round labels."""

from .errors import UserError


def pixels_a_round(budget: str, images: int) -> int:
    """b = round(budget · images), or the absolute number where ``budget`` has no decimal point.

    Raises:
        UserError: that is no pixel.
    """
    pixels = int(budget) if budget.isdigit() else round(float(budget) * images)
    if pixels < 1:
        raise UserError(f"budgets: {budget} of {images} training images is no pixel; write a larger budget")
    return pixels
