"""What feature maps depend on; light, so that a study is checked without importing torch."""

from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt

from pixelherd.features.perturbations import PerturbationSettings
from pixelherd.features.windows import WindowSettings
from pixelherd.settings import Settings


class MapSettings(Settings):
    """What native maps and context vectors depend on besides images and backbone.

    Attributes:
        timesteps: diffusion timesteps t at which activations are read; none without a noise schedule.
        blocks: blocks that are read, from 0.
        perturbation: what happens to images in draws where there is no noise schedule.
        window: by what windows large images are seen.
        noise_seed: key of the noise draws.
        context: P, pixels of each training image whose vectors are kept.
        maps: whether native maps are stored.
        image_size: (height, width) that the network sees.
        threads: numerical threads, since sums differ with them.
        parts: of features that join others, what the maps of each depend on; they have no timesteps and blocks then.
    """

    timesteps: list[NonNegativeInt]
    blocks: list[NonNegativeInt]
    noise_seed: int
    context: PositiveInt
    maps: Literal["keep", "recompute"]
    image_size: tuple[PositiveInt, PositiveInt]
    threads: PositiveInt
    perturbation: PerturbationSettings | None = None
    window: WindowSettings | None = None
    parts: "list[MapSettings] | None" = None

    @property
    def each(self) -> "list[MapSettings]":
        """Return what the maps of each part depend on, of features that join none of themselves."""
        return self.parts or [self]

    def resized(self, full: tuple[int, int], size: tuple[int, int]) -> "MapSettings":
        """Return settings for images of ``full`` (H, W), of which those that these were for, of ``size``, are parts."""
        height, width = (
            round(side * whole / part) for side, whole, part in zip(self.image_size, full, size, strict=True)
        )
        parts = [part.resized(full, size) for part in self.parts] if self.parts else None
        return self.model_copy(update={"image_size": (height, width), "parts": parts})

    def identity(self) -> dict[str, Any]:
        """Return what maps depend on, as JSON; what a network does not use is absent."""
        return self.model_dump(mode="json", exclude_none=True)
