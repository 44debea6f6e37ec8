"""What is known of a backbone without loading it: padded sizes, and maps that reach as far as they are read."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from pixelherd.errors import UserError
from pixelherd.features.backbones.description import Description, Level
from pixelherd.features.interpolation import NativeMaps, norms, project, vectors
from pixelherd.selection.coverage.products import MapProducts

STRIDES = 1, 2, 4, 8
NETWORK = Description("a network", {block: Level(3, stride) for block, stride in enumerate(STRIDES)}, 16)
SIZES = st.tuples(st.integers(9, 40), st.integers(9, 40))


def maps_of(size, description=NETWORK):
    """All of each map of a padded image, and what is kept of it."""
    height, width = description.padded(size)
    generator = torch.Generator().manual_seed(height * width)
    whole = {
        block: torch.randn(1, level.channels, height // level.stride, width // level.stride, generator=generator)
        for block, level in description.levels.items()
    }
    shapes = description.shapes(size, list(whole))
    kept = {block: values[..., : shapes[block][1], : shapes[block][2]] for block, values in whole.items()}
    return whole, NativeMaps(kept, description.covered(size, list(whole)))


@given(SIZES)
def test_an_images_vectors_are_those_of_the_padded_one_there(size):
    whole, kept = maps_of(size)
    padded = NETWORK.padded(size)
    assert all(length % 16 == 0 and 0 <= length - image < 16 for length, image in zip(padded, size, strict=True))
    rows, columns = (each.flatten() for each in torch.meshgrid(*map(torch.arange, size), indexing="ij"))
    expected = vectors(whole, rows, columns, padded)
    torch.testing.assert_close(vectors(kept, rows, columns, size), expected, rtol=1e-5, atol=1e-6)
    # what dense predictions and lists are made of agrees
    lengths = norms(kept, size)
    torch.testing.assert_close(lengths, norms(whole, padded)[: size[0], : size[1]], rtol=1e-4, atol=1e-5)
    weight = torch.randn(2, expected.shape[1], generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(project(kept, weight, size, lengths), expected @ weight.T, rtol=1e-3, atol=1e-5)
    flat = (rows * size[1] + columns).numpy()[:: max(len(rows) // 20, 1)]
    products = MapProducts(kept, flat, size)
    found = products.times(products.left(slice(None)), slice(None))
    chosen = expected[torch.from_numpy(flat)]
    torch.testing.assert_close(found, chosen @ chosen.T, rtol=1e-3, atol=1e-5)


@given(SIZES)
def test_no_more_positions_are_kept_than_are_read(size):
    shapes = NETWORK.shapes(size, list(NETWORK.levels))
    for block, (_, *native) in shapes.items():
        for length, positions in zip(size, native, strict=True):
            assert math.ceil(length / STRIDES[block]) <= positions <= length / STRIDES[block] + 1.5


def test_images_that_fit_cover_all():
    assert NETWORK.covered((32, 48), [0, 1, 2, 3]) == {}
    assert NETWORK.shapes((32, 48), [3]) == {3: (3, 4, 6)}
    # the last row of pixels lies between the last row of the map that the image covers and one of the padding
    assert NETWORK.covered((36, 48), [0, 2, 3]) == {2: (9, 12), 3: (4.5, 6)}


@pytest.mark.hostile("checkpoints and backbones")
def test_what_the_network_does_not_have():
    with pytest.raises(UserError, match="a network has no block 7; choose from 0 to 3"):
        NETWORK.check_blocks([1, 7])
    with pytest.raises(UserError, match="has no noise schedule; leave out `timesteps`"):
        NETWORK.check_timesteps([50])
    with pytest.raises(ValueError, match="no noise schedule"):
        NETWORK.noise_shape((32, 32))
    latent = Description("b", {5: Level(1, 8), 9: Level(1, 8)}, 8, 100, (4, 8))
    assert latent.noise_shape((30, 33)) == (4, 4, 5)
    with pytest.raises(UserError, match="b has no block 1; choose from 5, 9"):
        latent.check_blocks([1])
    latent.check_timesteps([0, 99])
    with pytest.raises(UserError, match="b has no timestep 100; choose from 0 to 99"):
        latent.check_timesteps([100])


def test_taps_of_a_whole_map_are_those_of_torch():
    values = torch.randn(1, 2, 5, 7, generator=torch.Generator().manual_seed(1))
    rows, columns = (each.flatten() for each in torch.meshgrid(torch.arange(11), torch.arange(13), indexing="ij"))
    expected = F.normalize(F.interpolate(values, (11, 13), mode="bilinear")[0].flatten(1).T, dim=1)
    torch.testing.assert_close(vectors({0: values}, rows, columns, (11, 13)), expected)
