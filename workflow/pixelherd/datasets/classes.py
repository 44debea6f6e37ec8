"""What a class is called and how it is painted."""

import re
from dataclasses import dataclass

Colour = tuple[int, int, int]

IGNORED = 255
"""The label of a pixel of no class: neither learnt from nor evaluated."""


def slug_of(name: str) -> str:
    """``name`` in the characters [a-z0-9_], for column and file names: ``"Traffic sign"`` gives ``"traffic_sign"``."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


@dataclass(frozen=True)
class ClassInfo:
    """A class of a dataset; its label value is its position in the dataset's list of classes."""

    name: str
    colour: Colour

    @property
    def slug(self) -> str:
        """Return the name as columns and files have it, see :func:`slug_of`."""
        return slug_of(self.name)


def default_colour(index: int) -> Colour:
    """Colour of a class that was given none: entry ``index + 1`` of the colour map of PASCAL VOC (entry 0 is black)."""
    red = green = blue = 0
    entry, bit = index + 1, 7
    while entry:
        red |= (entry & 1) << bit
        green |= (entry >> 1 & 1) << bit
        blue |= (entry >> 2 & 1) << bit
        entry, bit = entry >> 3, bit - 1
    return red, green, blue
