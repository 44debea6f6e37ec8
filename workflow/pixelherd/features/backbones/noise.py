"""The draws of noise that images are diffused with."""

import torch

from pixelherd.compute.randomness import torch_generator


def draw(noise_seed: int, number: int, size: tuple[int, int]) -> torch.Tensor:
    """Draw ``number`` of standard normal noise, [3, H, W] float32, for images of ``size`` (H, W).

    One draw serves all timesteps and all images. Draw 0 is the base draw, draws 1 to M are for disagreement; they
    depend on ``noise_seed`` and ``number`` only, never on the seed of a run.
    """
    return torch.randn((3, *size), generator=torch_generator("noise", noise_seed, number))
