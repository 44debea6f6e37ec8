"""What feature maps depend on; light, so that a study is checked without importing torch."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from pixelherd.settings import Settings


class MapSettings(Settings):
    """What native maps and context vectors depend on besides images and backbone.

    Attributes:
        timesteps: diffusion timesteps t at which activations are read.
        blocks: decoder blocks that are read, from 0.
        noise_seed: key of the noise draws.
        context: P, pixels of each training image whose vectors are kept.
        maps: whether native maps are stored.
        image_size: (height, width) that the network sees.
        threads: numerical threads, since sums differ with them.
    """

    timesteps: list[NonNegativeInt]
    blocks: list[NonNegativeInt]
    noise_seed: int
    context: PositiveInt
    maps: Literal["keep", "recompute"]
    image_size: tuple[PositiveInt, PositiveInt]
    threads: PositiveInt
