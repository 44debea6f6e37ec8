"""What images are perturbed by, so that a score can tell where that changes what is seen.

Diffusion models see noise in every draw: draw 0 is the base draw, draws 1 to M are for disagreement. Where a network
has no noise schedule the base draw is the image as it is, and the image itself is perturbed in the others. One draw
serves all images, and depends on the noise seed and its number alone, never on the seed of a run.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pixelherd.settings import Settings

if TYPE_CHECKING:
    import torch

Kind = Literal["noise", "shift", "flip", "photometric"]

STRENGTHS: dict[str, float] = {"noise": 50, "shift": 4, "flip": 4, "photometric": 0.2}
"""Strengths by default."""

SCHEDULE = 1000, 1e-4, 0.02
"""Steps, first and last β of the linear schedule of Ho et al. 2020, by which noise is measured."""


def draw(noise_seed: int, number: int, shape: tuple[int, int, int]) -> "torch.Tensor":
    """Draw ``number`` of standard normal noise, float32 of a ``shape`` (C, h, w); one serves all timesteps."""
    import torch

    from pixelherd.compute.randomness import torch_generator

    return torch.randn(shape, generator=torch_generator("noise", noise_seed, number))


class PerturbationSettings(Settings):
    """What happens to images in draws 1…M of a network without a noise schedule."""

    kind: Kind = Field(
        default="noise",
        description="`noise`: Gaussian noise, as much as a diffusion model's at the timestep `strength`; `shift`: moved"
        " by up to `strength` pixels, maps are moved back; `flip`: that, and every other draw is mirrored; "
        "`photometric`: contrast, brightness and colours change by up to the share `strength`.",
    )
    strength: float | None = Field(
        default=None, gt=0, le=999, description="How much; by default 50 for noise, 4 for shifts, 0.2 for photometric."
    )


class Perturbation:
    """A draw of what happens to images ``[b, 3, H, W]`` in [-1, 1].

    Args:
        settings: of which kind it is.
        seed: the noise seed.
        number: of the draw, from 1.
        size: (H, W) of the images that the network sees.
    """

    def __init__(self, settings: PerturbationSettings, seed: int, number: int, size: tuple[int, int]):
        import torch

        from pixelherd.compute.randomness import torch_generator

        self.kind = settings.kind
        strength = STRENGTHS[self.kind] if settings.strength is None else settings.strength
        generator = torch_generator("perturbation", self.kind, seed, number)
        self._down = self._along = 0
        self._mirrored = self.kind == "flip" and number % 2 == 1
        if self.kind == "noise":
            steps, first, last = SCHEDULE
            betas = torch.linspace(first, last, steps, dtype=torch.float64)
            self._signal = float((1 - betas[: int(strength) + 1]).prod())
            self._noise = torch.randn((3, *size), generator=generator)
        elif self.kind == "photometric":
            self._gain, self._offset = (strength * (2 * torch.rand((2, 3, 1, 1), generator=generator) - 1)).unbind()
        else:
            most = int(strength)
            self._down, self._along = torch.randint(-most, most + 1, (2,), generator=generator).tolist()

    def images(self, images: "torch.Tensor") -> "torch.Tensor":
        """Return the perturbed images."""
        if self.kind == "noise":
            noise = self._noise.to(images)
            return self._signal**0.5 * images + (1 - self._signal) ** 0.5 * noise
        if self.kind == "photometric":
            return (images * (1 + self._gain.to(images)) + self._offset.to(images)).clamp(-1, 1)
        moved = _moved(images, self._down, self._along)
        return moved.flip(-1) if self._mirrored else moved

    def back(self, maps: "torch.Tensor", stride: int) -> "torch.Tensor":
        """Return maps ``[b, C, h, w]`` of the perturbed images where they are in the images."""
        if self._mirrored:
            maps = maps.flip(-1)
        return _moved(maps, -self._down / stride, -self._along / stride)


def _moved(values: "torch.Tensor", down: float, along: float) -> "torch.Tensor":
    """Values ``[…, h, w]`` moved by rows and columns, whole or not; the border repeats where nothing comes from."""
    import torch

    for axis, by in ((-2, down), (-1, along)):
        if by:
            length = values.shape[axis]
            source = (torch.arange(length, device=values.device, dtype=torch.float64) - by).clamp(0, length - 1)
            near = source.floor().long()
            far = (near + 1).clamp(max=length - 1)
            fraction = (source - near).to(values.dtype)
            fraction = fraction[:, None] if axis == -2 else fraction
            values = torch.lerp(values.index_select(axis, near), values.index_select(axis, far), fraction)
    return values
