"""Large images by overlapping windows, whose maps are blended without seams.

Planning counts windows, so torch is imported where maps are blended.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from pixelherd.errors import UserError
from pixelherd.settings import Settings, Side

if TYPE_CHECKING:
    from torch import Tensor

    from pixelherd.features.backbones.description import Level

Size = tuple[int, int]

SHARE = 4
"""Overlap of windows where it is not given: their smaller side divided by this."""


class WindowSettings(Settings):
    """Windows that a network sees of an image that is larger."""

    size: tuple[Side, Side] = Field(description="[height, width] of windows in pixels.")
    overlap: Side | None = Field(
        default=None, description="Pixels that neighbouring windows share at least; by default a quarter of a side."
    )

    @property
    def shared(self) -> int:
        """Pixels that neighbouring windows share at least."""
        return self.overlap or min(self.size) // SHARE


class Windows(NamedTuple):
    """Where windows lie in an image.

    Attributes:
        size: (height, width) of each in pixels.
        rows: the first row of each row of windows.
        columns: the first column of each column of windows.
    """

    size: Size
    rows: list[int]
    columns: list[int]

    def __len__(self) -> int:
        """Return their number."""
        return len(self.rows) * len(self.columns)


def windows_of(size: Size, settings: WindowSettings | None, multiple: int) -> Windows:
    """Return the windows of an image.

    Args:
        size: (height, width) that the network sees, multiples of ``multiple``.
        settings: how large they are; without, one window is the image.
        multiple: of which sides of what the network sees are.

    Raises:
        UserError: windows are of other sizes, or share so much that they do not move on.
    """
    if settings is None:
        return Windows(size, [0], [0])
    if any(side % multiple for side in settings.size):
        raise UserError(f"window.size {list(settings.size)}: this backbone needs multiples of {multiple}")
    height, width = (min(side, whole) for side, whole in zip(settings.size, size, strict=True))
    starts = [
        _starts(whole, side, settings.shared, multiple) for whole, side in zip(size, (height, width), strict=True)
    ]
    return Windows((height, width), *starts)


def _starts(whole: int, side: int, shared: int, multiple: int) -> list[int]:
    """Where windows along a side begin: at multiples, so that their maps lie on the positions of the image's."""
    if whole == side:
        return [0]
    step = (side - shared) // multiple * multiple
    if step < multiple:
        most = side - multiple
        if most < 1:
            raise UserError(
                f"window.size: windows of {side} pixels cannot overlap here", remedy=f"make them {2 * multiple}"
            )
        raise UserError(f"window.overlap {shared}: windows of {side} pixels may share {most} here at most")
    return [*range(0, whole - side, step), whole - side]


def blended(
    windows: Windows,
    size: Size,
    levels: Mapping[int, "Level"],
    compute: Callable[[slice, slice], Mapping[int, "Tensor"]],
) -> dict[int, "Tensor"]:
    """Return the maps of an image from those of its windows.

    Where two windows overlap, the share of each falls off smoothly towards its own border. Positions that a network
    sees less than its reach away from a border, and so not as in the whole image, have no share, as far as the overlap
    is wide enough.

    Args:
        windows: of the image.
        size: (height, width) of the image.
        levels: of the blocks that are wanted.
        compute: gives maps ``[…, h, w]`` by block of the window of these rows and columns.

    Returns:
        Maps ``[…, H/stride, W/stride]`` by block.
    """
    import torch

    if len(windows) == 1:
        return dict(compute(slice(0, size[0]), slice(0, size[1])))
    found: dict[int, Tensor] = {}
    shares = {
        block: [
            _shares(starts, side, whole, level)
            for starts, side, whole in zip((windows.rows, windows.columns), windows.size, size, strict=True)
        ]
        for block, level in levels.items()
    }
    for (row, top), (column, left) in product(enumerate(windows.rows), enumerate(windows.columns)):
        maps = compute(slice(top, top + windows.size[0]), slice(left, left + windows.size[1]))
        for block, values in maps.items():
            stride, (down, along) = levels[block].stride, shares[block]
            if block not in found:
                found[block] = values.new_zeros(*values.shape[:-2], size[0] // stride, size[1] // stride)
            share = torch.outer(torch.tensor(down[row]), torch.tensor(along[column])).to(values)
            rows, columns = (
                slice(first // stride, first // stride + n)
                for first, n in zip((top, left), values.shape[-2:], strict=True)
            )
            found[block][..., rows, columns] += share * values
    return found


def _shares(starts: Sequence[int], side: int, whole: int, level: "Level") -> list[list[float]]:
    """The share of each window at each of its positions along a side; all that lie on a position add up to 1."""
    stride, positions = level.stride, whole // level.stride
    weights = [
        [_weight((first // stride + n + 0.5) * stride, number, starts, side, level) for n in range(side // stride)]
        for number, first in enumerate(starts)
    ]
    total = [0.0] * positions
    for first, each in zip(starts, weights, strict=True):
        for n, weight in enumerate(each):
            total[first // stride + n] += weight
    return [
        [weight / total[first // stride + n] for n, weight in enumerate(each)]
        for first, each in zip(starts, weights, strict=True)
    ]


def _weight(place: float, number: int, starts: Sequence[int], side: int, level: "Level") -> float:
    """How much a window counts at a place along a side, before shares are taken."""
    left = _ramp(place, starts[number], starts[number - 1] + side, level) if number else 1.0
    behind = starts[number + 1] if number + 1 < len(starts) else None
    right = 1.0 if behind is None else 1 - _ramp(place, behind, starts[number] + side, level)
    return left * right


def _ramp(place: float, first: int, last: int, level: "Level") -> float:
    """From 0 to 1 over an overlap, inside of what borders change, if the overlap is wider than that."""
    margin = min(level.reach or 0, max((last - first - level.stride) / 2, 0))
    width = last - first - 2 * margin
    part = min(max((place - first - margin) / width, 0.0), 1.0) if width > 0 else float(place >= first)
    return part * part * (3 - 2 * part)  # hardly anything close to a border, where a network sees least as it should
