"""Filters made by hand, without any weights."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pixelherd.features.backbones.description import Description, Level
from pixelherd.features.backbones.networks.shapes import RESPONSES, TRUNCATE
from pixelherd.features.backbones.sources.source import Autocast, BuiltIn
from pixelherd.storage.files import hash_of

if TYPE_CHECKING:
    import torch

    from pixelherd.features.backbones.backbone import Backbone


class Filters(BuiltIn):
    """Filters made by hand, without any weights."""

    filters: list[Annotated[float, Field(ge=0.3, le=100)]] = Field(
        min_length=1, max_length=20, description="Their scales σ in pixels, such as `[0.7, 1.6, 3.5, 8]`."
    )
    position: bool = Field(default=False, description="Whether a pixel's row and column count too.")

    def usual_blocks(self) -> list[int]:
        """Return all scales."""
        return list(range(len(self.filters)))

    def describe(self, where: str = "filters") -> Description:
        """Return a block for each scale, as fine as the image; the last one has the position too."""
        channels = [3 * RESPONSES] * len(self.filters)
        channels[-1] += 2 * self.position
        reaches = [2 * int(TRUNCATE * scale + 0.5) for scale in self.filters]  # of two Gaussians, one behind the other
        levels = {
            number: Level(each, 1, reach) for number, (each, reach) in enumerate(zip(channels, reaches, strict=True))
        }
        return Description(where, levels)

    def digests(self) -> dict[str, str]:
        """Return the digest of the settings, which are all that there is."""
        return {"filters": hash_of(self.identity())}

    def load(self, device: "torch.device | str", batch: int | None, autocast: Autocast) -> "Backbone":
        """Return the filters, which are computed on the CPU."""
        from pixelherd.features.backbones.networks.filters import FilterBank

        return FilterBank(self.describe(), self.filters, position=self.position, device=device)
