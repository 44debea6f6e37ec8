"""Perturbations of networks without a noise schedule: keyed, mapped back, as strong as they are said to be."""

import pytest
import torch

from pixelherd.features.perturbations import Perturbation, PerturbationSettings

SIZE = 32, 48


def images() -> torch.Tensor:
    return torch.rand((2, 3, *SIZE), generator=torch.Generator().manual_seed(3)) * 2 - 1


def draw(kind: str, number: int = 1, seed: int = 0, **settings) -> Perturbation:
    return Perturbation(PerturbationSettings(kind=kind, **settings), seed, number, SIZE)


@pytest.mark.parametrize("kind", ["noise", "shift", "flip", "photometric"])
def test_a_draw_depends_on_seed_and_number_alone(kind):
    seen = draw(kind).images(images())
    assert seen.shape == images().shape and not torch.equal(seen, images())
    assert torch.equal(seen, draw(kind).images(images()))
    assert not torch.equal(seen, draw(kind, 2).images(images()))
    assert not torch.equal(seen, draw(kind, seed=1).images(images()))
    assert torch.equal(seen[1:], draw(kind).images(images()[1:])), "one draw serves all images"


def test_noise_is_that_of_a_diffusion_model_at_this_timestep():
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    for step in (50, 250):
        abar = float((1 - betas[: step + 1]).prod())
        large = Perturbation(PerturbationSettings(kind="noise", strength=step), 0, 1, (300, 300))
        seen = large.images(torch.ones(1, 3, 300, 300))
        assert float(seen.mean()) == pytest.approx(abar**0.5, abs=5e-3)
        assert float(seen.std()) == pytest.approx((1 - abar) ** 0.5, rel=0.02)


@pytest.mark.parametrize("kind", ["shift", "flip"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_what_is_moved_or_mirrored_is_moved_back(kind, number):
    """A network that does nothing gives the image back, but for what has left it."""
    perturbed = draw(kind, number, strength=5)
    back = perturbed.back(perturbed.images(images()), stride=1)
    assert torch.equal(back[..., 5:-5, 5:-5], images()[..., 5:-5, 5:-5])
    # positions of a coarser map move by parts of a position
    ramp = torch.arange(48.0).expand(1, 3, 32, 48)
    coarse = perturbed.back(torch.nn.functional.avg_pool2d(perturbed.images(ramp), 4), stride=4)
    expected = torch.nn.functional.avg_pool2d(ramp, 4)
    torch.testing.assert_close(coarse[..., 2:-2], expected[..., 2:-2])


def test_photometric_changes_keep_the_range_and_each_place():
    seen = draw("photometric", strength=0.5).images(images())
    assert seen.min() >= -1 and seen.max() <= 1
    flat = draw("photometric").images(torch.zeros(1, 3, *SIZE))
    assert torch.equal(flat, flat[..., :1, :1].expand_as(flat)) and flat.unique().numel() == 3
    maps = images()
    assert torch.equal(draw("photometric").back(maps, 4), maps) and torch.equal(draw("noise").back(maps, 4), maps)
