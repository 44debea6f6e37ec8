"""What is known of a backbone without loading it: its maps, the sizes and timesteps that it takes.

Planning reads this for every study, so nothing here imports torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from pixelherd.errors import UserError
from pixelherd.features.windows import Windows, WindowSettings, windows_of

Size = tuple[int, int]


@dataclass(frozen=True)
class Level:
    """A map that a network gives of an image.

    Attributes:
        channels: C.
        stride: pixels from one of its positions to the next, in both directions.
        reach: pixels from the middle of a position to the furthest one that it sees; None where that is not known, or
            where it sees the whole image.
    """

    channels: int
    stride: int
    reach: int | None = None


@dataclass(frozen=True)
class Description:
    """What a backbone takes and gives.

    A network that halves images, or cuts them into patches, needs sizes of some multiple. Other images are padded below
    and to the right, where they repeat their border, and maps keep the positions that interpolation over the image
    reads: vectors are then, to the last bit, those that the padded image has there.

    Attributes:
        where: the backbone's name in messages.
        levels: its maps by block, a number.
        multiple: of which height and width of what the network sees are.
        fixed: (height, width) that the network sees if it knows no others: it sees images by windows.
        timesteps: length of its noise schedule; None where that is not known, or where it has none.
        noise: channels and stride of the noise that a schedule mixes in; None where there is no schedule, and maps are
            those of the image as it is.
        licence: of the weights, where it is known.
    """

    where: str | Path
    levels: Mapping[int, Level]
    multiple: int = 1
    timesteps: int | None = None
    noise: tuple[int, int] | None = None
    licence: str | None = None
    fixed: Size | None = None

    def padded(self, size: Size) -> Size:
        """Return the height and width that the network sees of an image of ``size`` (H, W), at once or by windows."""
        least = self.fixed or (0, 0)
        height, width = (
            ceil(max(length, short) / self.multiple) * self.multiple for length, short in zip(size, least, strict=True)
        )
        return height, width

    def windows(self, size: Size, settings: WindowSettings | None = None) -> Windows:
        """Return the windows in which the network sees an image of ``size`` (H, W); one is all of it.

        Raises:
            UserError: it sees no windows of this size.
        """
        if self.fixed:
            if settings is not None and settings.size != self.fixed:
                raise UserError(
                    f"window.size {list(settings.size)}: backbone {self.where} sees {list(self.fixed)} alone",
                    remedy="name that size, or leave out `window`",
                )
            settings = settings or WindowSettings(size=self.fixed)
        return windows_of(self.padded(size), settings, self.multiple)

    def noise_shape(self, size: Size) -> tuple[int, int, int]:
        """Return the shape of the noise for images of ``size``.

        Raises:
            ValueError: there is no noise schedule.
        """
        if self.noise is None:
            raise ValueError(f"backbone {self.where} has no noise schedule")
        channels, stride = self.noise
        height, width = self.padded(size)
        return channels, height // stride, width // stride

    def shapes(self, size: Size, blocks: Sequence[int]) -> dict[int, tuple[int, int, int]]:
        """Return the shape (C, h, w) of the maps of ``blocks`` for images of ``size`` (H, W).

        Raises:
            UserError: no block, or one that the network does not have.
        """
        self.check_blocks(blocks)
        seen, found = self.padded(size), {}
        for block in blocks:
            level = self.levels[block]
            rows, columns = (
                min(whole // level.stride, _positions(length, level.stride))
                for whole, length in zip(seen, size, strict=True)
            )
            found[block] = level.channels, rows, columns
        return found

    def covered(self, size: Size, blocks: Sequence[int]) -> dict[int, tuple[float, float]]:
        """Return the rows and columns of native positions that images of ``size`` cover, where those are not all."""
        shapes = self.shapes(size, blocks)
        found = {block: (size[0] / self.levels[block].stride, size[1] / self.levels[block].stride) for block in blocks}
        return {block: part for block, part in found.items() if part != shapes[block][1:]}

    def check_blocks(self, blocks: Sequence[int]) -> None:
        """Check that there are maps of these blocks.

        Raises:
            UserError: no block, or one that the network does not have.
        """
        unknown = [block for block in blocks if block not in self.levels]
        if unknown or not blocks:
            known = list(self.levels)
            between = f"0 to {known[-1]}" if known == list(range(len(known))) else ", ".join(map(str, known))
            raise UserError(
                f"backbone {self.where} has no block {', '.join(map(str, unknown)) or '(none was asked for)'}",
                remedy=f"choose from {between}",
            )

    def check_timesteps(self, timesteps: Sequence[int]) -> None:
        """Check that these are some steps of the noise schedule, 0 being the least noisy; none without a schedule.

        Raises:
            UserError: they are not.
        """
        if self.noise is None:
            if timesteps:
                raise UserError(f"backbone {self.where} has no noise schedule", remedy="leave out `timesteps`")
            return
        last = float("inf") if self.timesteps is None else self.timesteps - 1
        unknown = [step for step in timesteps if not 0 <= step <= last]
        if unknown or not timesteps:
            raise UserError(
                f"backbone {self.where} has no timestep {', '.join(map(str, unknown)) or '(none was asked for)'}",
                remedy=f"choose from 0 to {last}",
            )


def _positions(length: int, stride: int) -> int:
    """How many positions interpolation reads over so many pixels: the last pixel's middle lies before the last one."""
    return ceil((length - 0.5) / stride - 0.5) + 1
