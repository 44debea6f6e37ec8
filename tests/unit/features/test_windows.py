"""Images by overlapping windows: equal to the whole where no border is seen, smooth where one is, and never short."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelherd.errors import UserError
from pixelherd.features.backbones import manifest
from pixelherd.features.backbones.description import Description, Level
from pixelherd.features.backbones.sources.kinds import Embedded, Filters
from pixelherd.features.perturbations import Perturbation, PerturbationSettings, draw
from pixelherd.features.windows import WindowSettings, blended, windows_of
from unit.networks import NETWORKS, build, save, save_text_model

PHOTOGRAPHS = Embedded(embedded="efficientnet_lite2")


def pictures(size, count: int = 1) -> torch.Tensor:
    """Smooth images, as photographs are."""
    noise = torch.rand((count, 3, *(side // 4 + 2 for side in size)), generator=torch.Generator().manual_seed(5))
    wide = torch.nn.functional.interpolate(noise * 2 - 1, scale_factor=4, mode="bicubic")
    return wide[..., : size[0], : size[1]].clamp(-1, 1)


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(2, 12), st.integers(2, 12)),
    st.integers(1, 8),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([None, 0, 3, 100]),
)
def test_windows_cover_an_image_and_their_shares_add_up(whole, side, overlap, multiple, reach):
    size = tuple(each * multiple for each in whole)
    settings = WindowSettings(
        size=tuple(each * multiple for each in side), overlap=min(overlap, min(side) - 1) * multiple
    )
    windows = windows_of(size, settings, multiple)
    for starts, length, total in zip((windows.rows, windows.columns), windows.size, size, strict=True):
        assert starts[0] == 0 and starts[-1] + length == total and all(first % multiple == 0 for first in starts)
        assert all(first < second and first + length - second >= settings.shared for first, second in pairwise(starts))
    image = torch.randn((1, 1, *size), generator=torch.Generator().manual_seed(1))
    levels = {0: Level(1, 1, reach), 1: Level(1, multiple, reach)}

    def compute(rows, columns):
        part = image[..., rows, columns]
        return {0: part, 1: part[..., ::multiple, ::multiple]}

    found = blended(windows, size, levels, compute)
    torch.testing.assert_close(found[0], image)
    torch.testing.assert_close(found[1], image[..., ::multiple, ::multiple])


def test_filters_by_windows_are_those_of_the_whole_image():
    bank = manifest.load(Filters(filters=[0.7, 1.6], position=True))
    images = pictures((61, 83))
    overlap = 2 * max(level.reach for level in bank.description.levels.values()) + 2
    found = bank.maps(images, None, blocks=[0, 1], window=WindowSettings(size=(40, 44), overlap=overlap))
    expected = bank.maps(images, None, blocks=[0, 1])
    for block, values in expected.items():
        torch.testing.assert_close(found[block], values, rtol=1e-5, atol=1e-5)


def test_the_reach_of_the_embedded_encoder_is_no_less_than_it_sees():
    network, size = manifest.load(PHOTOGRAPHS), (320, 448)
    blocks, images = [0, 3, 6, 9], pictures(size)
    changed = images.clone()
    changed[..., :, :8] *= -1
    maps = [network.maps(each, None, blocks=blocks) for each in (images, changed)]
    for block in blocks:
        level = network.description.levels[block]
        differs = (maps[0][block] - maps[1][block]).abs().amax(dim=(0, 1, 2, 3)) > 1e-5
        furthest = (int(differs.nonzero().max()) + 0.5) * level.stride
        assert 8 <= furthest <= 8 + level.reach


def test_windows_of_the_embedded_encoder():
    network, size = manifest.load(PHOTOGRAPHS), (300, 420)
    blocks, images = PHOTOGRAPHS.usual_blocks(), pictures(size)
    window = WindowSettings(size=(224, 224), overlap=96)
    found, expected = (network.maps(images, None, blocks=blocks, window=each) for each in (window, None))
    assert network.forwards == len(network.description.windows(size, window)) + 1 == 7
    for block, values in expected.items():
        assert found[block].shape == values.shape
    finest = blocks[0]
    assert 2 * network.description.levels[finest].reach < 96
    torch.testing.assert_close(found[finest], expected[finest], rtol=1e-4, atol=1e-5)


def jumps(values: torch.Tensor, borders: set[int], period: int) -> float:
    """How much larger the mean step across borders of windows is than elsewhere at the same place of a period.

    Networks that double their maps make steps of a period of their own, and borders lie between periods.
    """
    steps = values.diff(dim=-1).abs().mean(dim=tuple(range(values.ndim - 1)))
    others = sorted(set(range(period, values.shape[-1], period)) - borders)
    assert len(others) > 1 and all(each % period == 0 for each in borders)
    return float(steps[[each - 1 for each in sorted(borders)]].mean() / steps[[each - 1 for each in others]].mean())


@pytest.mark.parametrize("kind", ["embedded", "diffusion", "latents"])
def test_no_seam_is_seen_across_borders(tmp_path, kind):
    """Of networks that see further than windows overlap, or normalise over all that they see."""
    if kind == "embedded":
        network, blocks = manifest.load(PHOTOGRAPHS), [6, 14]
    elif kind == "diffusion":
        network, blocks = manifest.load(save(tmp_path, build(**NETWORKS["attention"]))), [2, 5, 8]
    else:
        save_text_model(tmp_path / "sd")
        network, blocks = manifest.load(tmp_path / "sd"), [1, 3]
    side = 128 if kind == "embedded" else 64
    size, settings = (side, 5 * side + side // 2), WindowSettings(size=(side, side))
    images = pictures(size, 2)
    noise = None if kind == "embedded" else 0.1 * draw(0, 0, network.description.noise_shape(size))
    asked = {} if kind == "embedded" else {"timesteps": [10]}
    found = network.maps(images, noise, blocks=blocks, window=settings, **asked)
    windows = network.description.windows(size, settings)
    for block, values in found.items():
        stride = network.description.levels[block].stride
        edges = {first // stride for first in windows.columns[1:]}
        edges |= {(first + side) // stride for first in windows.columns[:-1]}
        assert jumps(values, edges, network.description.multiple // stride) <= 1.1


@pytest.mark.parametrize("kind", ["noise", "shift", "flip", "photometric"])
def test_an_image_is_perturbed_before_it_is_cut(kind):
    network, size = manifest.load(PHOTOGRAPHS), (224, 300)
    drawn = Perturbation(PerturbationSettings(kind=kind), 0, 1, network.description.padded(size))
    images = pictures(size)
    found, expected = (
        network.maps(images, drawn, blocks=[3], window=each)[3]
        for each in (WindowSettings(size=(224, 224), overlap=64), None)
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_noise_of_a_diffusion_model_is_cut_with_the_image(tmp_path):
    """A network that sees single pixels shows that each keeps its noise."""
    network = manifest.load(save(tmp_path, build(**NETWORKS["plain"])))
    images, noise = pictures((16, 40)), draw(0, 0, (3, 16, 40))
    seen = []
    network.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    network.maps(images, noise, timesteps=[500], blocks=[0], window=WindowSettings(size=(16, 16), overlap=4))
    network.maps(images, noise, timesteps=[500], blocks=[0])
    *parts, whole = seen
    starts = network.description.windows((16, 40), WindowSettings(size=(16, 16), overlap=4)).columns
    assert starts == [0, 12, 24] and network.forwards == 4
    for start, part in zip(starts, parts, strict=True):
        assert torch.equal(part, whole[..., start : start + 16])


def test_small_images_are_seen_at_once():
    description = Description("a network", {0: Level(3, 4)}, 8)
    assert len(description.windows((20, 30), WindowSettings(size=(32, 32)))) == 1
    fixed = Description("a network", {0: Level(3, 4)}, 8, fixed=(32, 32))
    assert fixed.padded((20, 50)) == (32, 56) and fixed.windows((20, 50)).columns == [0, 24]


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ({"size": [30, 32]}, r"window.size \[30, 32\]: this backbone needs multiples of 8"),
        ({"size": [8, 32]}, "window.size: windows of 8 pixels cannot overlap here; make them 16"),
        ({"size": [32, 32], "overlap": 32}, "window.overlap 32: windows of 32 pixels may share 24 here at most"),
    ],
)
@pytest.mark.hostile("settings and paths")
def test_windows_that_are_refused(window, message):
    description = Description("a network", {0: Level(3, 4)}, 8)
    with pytest.raises(UserError, match=message):
        description.windows((100, 100), WindowSettings(**window))
    with pytest.raises(UserError, match=r"backbone a network sees \[64, 64\] alone; name that size"):
        Description("a network", {0: Level(3, 4)}, 8, fixed=(64, 64)).windows((100, 100), WindowSettings(size=(32, 32)))
