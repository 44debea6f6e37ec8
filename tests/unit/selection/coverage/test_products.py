"""Inner products from native maps against those of gathered vectors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelherd.features import interpolation
from pixelherd.selection.coverage.herding import max_herding
from pixelherd.selection.coverage.products import MapProducts, VectorProducts

SIZE = (24, 30)


def maps(seed: int = 0, scale: float = 1.0) -> dict[int, torch.Tensor]:
    shapes = {1: (2, 5, 4, 5), 3: (2, 3, 8, 10), 5: (2, 3, 24, 30), 7: (2, 2, 48, 60)}
    generator = torch.Generator().manual_seed(seed)
    return {block: (scale * torch.randn(*shape, generator=generator)).half() for block, shape in shapes.items()}


def gathered(native: dict[int, torch.Tensor], pixels: np.ndarray) -> torch.Tensor:
    flat = torch.as_tensor(pixels)
    return interpolation.vectors(native, flat // SIZE[1], flat % SIZE[1], SIZE)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 720), st.sampled_from([1e-3, 1.0, 300.0]))
def test_products_of_maps_are_those_of_vectors(seed, n, scale):
    """From one pixel, where every map is gathered, to all, where two of four are not."""
    native = maps(seed, scale)
    pixels = np.random.default_rng(seed).permutation(720)[:n]
    x = gathered(native, pixels)
    products = MapProducts(native, pixels, SIZE)
    assert products.n == n
    rows, columns = slice(n // 3, n), slice(0, n // 2 + 1)
    expected = x[rows].double() @ x[columns].double().T
    torch.testing.assert_close(products.times(products.left(rows), columns).double(), expected, rtol=0, atol=2e-6)
    torch.testing.assert_close(products.norms, torch.ones(n), rtol=0, atol=2e-6)
    some = torch.arange(0, n, 7)
    torch.testing.assert_close(products.vectors(some), x[some], rtol=0, atol=1e-6)


@pytest.mark.parametrize("memory", [10**9, 3 * 720**2, 0])
def test_herding_on_maps_is_herding_on_vectors(memory):
    native, pixels = maps(), np.arange(720)
    x = gathered(native, pixels)
    products = MapProducts(native, pixels, SIZE)
    a, b = max_herding(products, 60, memory=memory), max_herding(x, 60)
    assert torch.equal(a.indices, b.indices)
    torch.testing.assert_close(a.coverage, b.coverage, rtol=0, atol=1e-6)


def test_maps_of_zeros():
    products = MapProducts({0: torch.zeros(1, 2, 4, 4)}, np.arange(16), (4, 4))
    herding = max_herding(products, 3)
    assert herding.indices.tolist() == [0, 1, 2]
    assert herding.coverage.tolist() == [1, 1, 1]


def test_a_centre_changes_no_distance():
    x, centre = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([1.0, -2, 3, 0])
    a, b = VectorProducts(x), VectorProducts(x, centre.numpy())
    torch.testing.assert_close(b.vectors(torch.arange(50)), x - centre)
    assert torch.equal(max_herding(a, 20, bandwidth=2.0).indices, max_herding(b, 20, bandwidth=2.0).indices)


def test_covered_vectors_need_vectors():
    with pytest.raises(ValueError, match="covered vectors need"):
        max_herding(MapProducts(maps(), np.arange(20), SIZE), 2, covered=torch.zeros(1, 26))
