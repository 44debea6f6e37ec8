"""Vectors, norms and predictions at image resolution against the naive way in float64: up-sample, join, normalise."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from pixelherd.datasets.classes import IGNORED
from pixelherd.errors import UserError
from pixelherd.features import interpolation
from pixelherd.heads import dense
from pixelherd.heads.metrics import confusion, reliability
from pixelherd.heads.network import LinearHead, MlpHead, sampled

GEOMETRIES = [
    ([(16, 24)], (16, 24)),
    ([(4, 6), (8, 12), (16, 24), (7, 5)], (16, 24)),
    ([(5, 3), (1, 1), (13, 17)], (37, 29)),
    ([(32, 20), (9, 64), (16, 7)], (16, 24)),  # down-sampling, and one axis of each
    ([(3, 40), (6, 2)], (5, 1)),
]


def maps_of(shapes, *, timesteps=2, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        # Blocks out of order: the vector is ordered by block number, not by insertion.
        17 - 3 * place: torch.randn(timesteps, 3 + place, *shape, generator=generator).to(dtype)
        for place, shape in enumerate(shapes)
    }


def naive(maps, size):
    """Up-sampled, concatenated, not yet normalised: ``[D, H, W]`` float64."""
    return torch.cat(
        [
            F.interpolate(maps[block].double().flatten(0, 1)[None], size, mode="bilinear", align_corners=False)[0]
            for block in sorted(maps)
        ]
    )


def pixels_of(size):
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    return rows.flatten(), columns.flatten()


def linear_head(dim, classes, generator):
    head = LinearHead(dim, classes).eval()
    with torch.no_grad():
        head.first.weight.copy_(4 * torch.randn(classes, dim, generator=generator))
        head.first.bias.copy_(torch.randn(classes, generator=generator))
    return head


def trained_head(dim, classes=4, hidden=(10, 6), seed=0, dropout=0.0):
    """A head whose BatchNorm statistics are not the initial ones."""
    generator = torch.Generator().manual_seed(seed)
    head = MlpHead(dim, classes, hidden=hidden, dropout=dropout, generator=generator)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter += torch.randn(parameter.shape, generator=generator) / 4
        for _ in range(3):
            head(F.normalize(torch.randn(50, dim, generator=generator)))
    return head.eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shapes, size", GEOMETRIES)
def test_vectors_and_norms_equal_the_naive_way(shapes, size, dtype):
    maps = maps_of(shapes, dtype=dtype)
    expected = naive(maps, size)
    got = interpolation.vectors(maps, *pixels_of(size), size)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), F.normalize(expected.flatten(1).T), atol=1e-5, rtol=1e-5)
    lengths = interpolation.norms(maps, size)
    assert lengths.dtype == torch.float32
    torch.testing.assert_close(lengths.double(), expected.norm(dim=0), atol=1e-5, rtol=1e-5)


sides = st.integers(1, 12)
shapes = st.tuples(sides, sides)


@settings(max_examples=40)
@given(st.lists(shapes, min_size=1, max_size=3), shapes, st.integers(1, 3), st.integers(0, 2**31))
def test_any_geometry(shapes, size, timesteps, seed):
    maps = maps_of(shapes, timesteps=timesteps, seed=seed)
    expected = naive(maps, size)
    unit = expected / expected.norm(dim=0)
    weight = torch.randn(5, len(expected), generator=torch.Generator().manual_seed(seed))
    lengths = interpolation.norms(maps, size)
    torch.testing.assert_close(lengths.double(), expected.norm(dim=0), atol=1e-4, rtol=1e-4)
    rows, columns = pixels_of(size)
    got = interpolation.vectors(maps, rows, columns, size)
    torch.testing.assert_close(got.double(), unit.flatten(1).T, atol=1e-4, rtol=1e-4)
    product = torch.einsum("od,dhw->hwo", weight.double(), unit).flatten(0, 1)
    torch.testing.assert_close(
        interpolation.project(maps, weight, size, lengths).double(), product, atol=1e-3, rtol=1e-3
    )


def test_vectors_are_ordered_by_block_then_timestep_then_channel():
    maps = {8: torch.arange(6.0).reshape(2, 3, 1, 1) + 4, 5: torch.arange(4.0).reshape(2, 2, 1, 1)}
    vector = interpolation.vectors(maps, [1], [2], (3, 4))[0]
    assert (vector / vector[1]).tolist() == pytest.approx(list(range(10)), rel=1e-6)


@pytest.mark.parametrize("together", [1, 2, 3, 7])
@pytest.mark.parametrize("channels", [3, 96, 480])
def test_a_pixel_has_one_vector_however_many_are_asked(channels, together):
    """To the last bit: the head of a run whose pixels are read one by one is that of a run that read them in a list."""
    generator = torch.Generator().manual_seed(channels)
    maps = {0: torch.randn(3, channels, 5, 7, generator=generator).half()}
    rows, columns = (torch.randint(length, (60,), generator=generator) for length in (20, 28))
    parts = [
        interpolation.vectors(maps, rows[start : start + together], columns[start : start + together], (20, 28))
        for start in range(0, 60, together)
    ]
    assert torch.equal(torch.cat(parts), interpolation.vectors(maps, rows, columns, (20, 28)))


def test_no_pixels_and_pixels_outside():
    maps = maps_of([(4, 6)])
    assert interpolation.vectors(maps, torch.empty(0), torch.empty(0), (8, 12)).shape == (0, 6)
    with pytest.raises(ValueError, match="row"):
        interpolation.vectors(maps, torch.tensor([8]), torch.tensor([0]), (8, 12))
    with pytest.raises(ValueError, match="column"):
        interpolation.vectors(maps, torch.tensor([0]), torch.tensor([-1]), (8, 12))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shapes, size", GEOMETRIES)
def test_projection_and_its_gradient_equal_the_naive_way(shapes, size, dtype):
    maps = maps_of(shapes, dtype=dtype)
    unit = F.normalize(naive(maps, size), dim=0)
    weight = torch.randn(5, len(unit), generator=torch.Generator().manual_seed(1)).requires_grad_()
    reference = weight.detach().double().requires_grad_()
    got = interpolation.project(maps, weight, size, interpolation.norms(maps, size))
    expected = torch.einsum("od,dhw->hwo", reference, unit).flatten(0, 1)
    torch.testing.assert_close(got.double(), expected, atol=1e-4, rtol=1e-4)
    downstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2))
    (got * downstream).sum().backward()
    (expected * downstream).sum().backward()
    torch.testing.assert_close(weight.grad.double(), reference.grad, atol=1e-4, rtol=1e-4)


def test_projection_names_another_length():
    maps = maps_of([(4, 6)])
    with pytest.raises(ValueError, match="length 7, the maps have 6"):
        interpolation.project(maps, torch.zeros(2, 7), (8, 12), interpolation.norms(maps, (8, 12)))


@pytest.mark.parametrize("tile", [None, 1, 4 * 24 * 10 * 7])  # at once; row by row; in tiles of a few rows
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shapes, size", GEOMETRIES)
def test_predictions_equal_the_naive_way(shapes, size, dtype, tile, monkeypatch):
    if tile:
        monkeypatch.setattr(dense, "TILE", tile)
        monkeypatch.setattr(dense, "MEMORY", tile)
        monkeypatch.setattr(interpolation, "CHUNK", tile)
    maps = maps_of(shapes, dtype=dtype)
    vectors = F.normalize(naive(maps, size), dim=0).flatten(1).T
    heads = [trained_head(vectors.shape[1], classes=3 + seed, hidden=(10 + seed, 6), seed=seed) for seed in range(3)]
    got = dense.predict(maps, heads, size)
    assert len(got) == 3
    for head, logits in zip(heads, got, strict=True):
        naively = head.double()(vectors).T.unflatten(1, size)
        assert logits.dtype == torch.float32
        torch.testing.assert_close(logits.double(), naively, atol=1e-4, rtol=1e-4)


@given(
    axes=st.lists(st.tuples(st.integers(1, 40), st.floats(0.4, 1)), min_size=1, max_size=4),
    length=st.integers(1, 60),
    seed=st.integers(0, 9),
)
def test_maps_are_linear_between_knots(axes, length, seed):
    axes = [(count, max(count * share, 0.5)) for count, share in axes]
    places, cpu, generator = interpolation.knots(axes, length), torch.device("cpu"), torch.Generator().manual_seed(seed)
    assert len(places) <= length and places.diff().gt(0).all()
    between = interpolation.Taps.between(places, length)
    for count, covered in axes:
        values = torch.rand(1, count, 1, generator=generator)
        at_knots = interpolation.Taps.of(count, length, cpu, covered, places).blend(values)
        directly = interpolation.Taps.of(count, length, cpu, covered).blend(values)
        torch.testing.assert_close(between.blend(at_knots), directly, atol=2e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shapes, size", GEOMETRIES)
def test_counts_of_linear_heads_equal_the_naive_way(shapes, size, dtype, monkeypatch):
    maps, generator = maps_of(shapes, dtype=dtype), torch.Generator().manual_seed(3)
    monkeypatch.setattr(dense, "HEADS_AT_ONCE", 2)
    x = F.normalize(naive(maps, size).flatten(1).T)
    heads = [linear_head(x.shape[1], 4, generator) for _ in range(5)]
    heads[1].know([0, 2])
    heads[2].know([3])
    target = torch.randint(0, 5, size, generator=generator).to(torch.uint8).numpy()
    target[target == 4] = IGNORED
    counted = dense.tally(maps, heads, target, 4)
    for place, head in enumerate(heads):
        logits = x @ head.first.weight.detach().double().T + head.first.bias.detach().double()
        confidence, predicted = logits.softmax(1).max(1)
        matrix = confusion(target, predicted.numpy().reshape(size), 4)
        # pixels whose two best classes, or whose bins, differ by rounding may be counted beside
        assert abs(counted[place].matrix - matrix).sum() <= 2e-3 * matrix.sum() + 2
        assert counted[place].matrix.sum() == matrix.sum() == counted[place].bins[:, 0].sum()
        assert counted[place].bins[:, 1].sum() == counted[place].matrix.trace()
        bins = reliability(target, predicted.numpy().reshape(size), confidence.numpy().reshape(size))
        assert abs(counted[place].bins[:, :2] - bins[:, :2]).sum() <= 2e-3 * matrix.sum() + 4
        sums = counted[place].bins[:, 2].sum(), bins[:, 2].sum()
        assert sums[0] == pytest.approx(sums[1], rel=1e-6)


def test_counts_of_heads_of_both_kinds_are_those_of_their_predictions():
    maps, size, generator = maps_of([(4, 6), (8, 12)]), (16, 24), torch.Generator().manual_seed(4)
    heads = [trained_head(14), linear_head(14, 4, generator), trained_head(14, seed=1)]
    target = torch.randint(0, 4, size, generator=generator).to(torch.uint8).numpy()
    counted = dense.tally(maps, heads, target, 4)
    for place, logits in enumerate(dense.predict(maps, heads, size)):
        confidence, predicted = (each.numpy() for each in dense.surest(logits))
        np.testing.assert_array_equal(counted[place].matrix, confusion(target, predicted, 4))
        np.testing.assert_allclose(counted[place].bins, reliability(target, predicted, confidence), atol=400)


def test_counting_names_labels_outside_the_classes_and_maps_of_another_length():
    maps, generator = maps_of([(4, 6)]), torch.Generator().manual_seed(5)
    target = np.full((8, 12), 7, np.uint8)
    with pytest.raises(UserError, match="label value 7"):
        dense.tally(maps, [linear_head(6, 4, generator)], target, 4)
    with pytest.raises(ValueError, match="length 5"):
        dense.tally(maps, [linear_head(5, 4, generator)], target % 4, 4)


def test_known_norms_take_the_place_of_computed_ones():
    maps, size = maps_of([(4, 6), (8, 12)]), (8, 12)
    heads, norms = [trained_head(14, seed=1)], interpolation.norms(maps, size)
    assert torch.equal(dense.predict(maps, heads, size, lengths=norms)[0], dense.predict(maps, heads, size)[0])
    assert not torch.equal(dense.predict(maps, heads, size, lengths=2 * norms)[0], dense.predict(maps, heads, size)[0])
    with pytest.raises(ValueError, match=r"lengths of shape \(12, 8\) are not those of an image of size \(8, 12\)"):
        dense.predict(maps, heads, size, lengths=norms.T)
    target = (torch.arange(96).reshape(size) % 4).to(torch.uint8).numpy()
    for kind in (heads, [linear_head(14, 4, torch.Generator().manual_seed(6))]):
        counted, known = dense.tally(maps, kind, target, 4), dense.tally(maps, kind, target, 4, lengths=norms)
        assert np.array_equal(known.matrix, counted.matrix) and np.array_equal(known.bins, counted.bins)
        others = dense.tally(maps, kind, target, 4, lengths=2 * norms)
        assert not np.array_equal(others.bins, counted.bins)
        with pytest.raises(ValueError, match="lengths of shape"):
            dense.tally(maps, kind, target, 4, lengths=norms.T)


def test_predictions_with_dropout_on_are_samples_of_the_head():
    maps, size = maps_of([(4, 6), (8, 12)]), (8, 12)
    vectors = F.normalize(naive(maps, size), dim=0).flatten(1).T
    head = trained_head(vectors.shape[1], dropout=0.5)
    without = dense.predict(maps, [head], size)[0]
    with sampled(head, 1, torch.Generator().manual_seed(3)):
        sample, other = (dense.predict(maps, [head], size)[0] for _ in range(2))
    with sampled(head.double(), 1, torch.Generator().manual_seed(3)):
        expected = head.inference_layers()(head.first(vectors)).T.unflatten(1, size)
    torch.testing.assert_close(sample.double(), expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(sample, other, atol=1e-2)
    assert not torch.allclose(sample, without, atol=1e-2)


def test_tiles_do_not_change_samples(monkeypatch):
    maps, size = maps_of([(4, 6), (8, 12)]), (8, 12)
    head, found = trained_head(14, dropout=0.5), {}
    for tile in (4 * 10 * 12 * 3, 2**20):
        monkeypatch.setattr(dense, "TILE", tile)
        with sampled(head, 2, torch.Generator().manual_seed(3)):
            found[tile] = dense.predict(maps, [head, head], size)
    first, second = found.values()
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert not torch.allclose(*first, atol=1e-2)


def test_prediction_refuses_a_head_whose_batch_norm_would_learn_from_it():
    maps = maps_of([(4, 6)])
    head = trained_head(6)
    statistics = head.rest[1].running_mean.clone()
    with pytest.raises(ValueError, match="eval"):
        dense.predict(maps, [head.train()], (8, 12))
    assert torch.equal(head.rest[1].running_mean, statistics)
    assert dense.predict(maps, [], (8, 12)) == []


def test_maps_of_zeros_give_finite_results():
    maps = {block: torch.zeros_like(values) for block, values in maps_of([(4, 6), (8, 12)]).items()}
    size, dim = (8, 12), 14
    assert not interpolation.vectors(maps, *pixels_of(size), size).any()
    assert (interpolation.norms(maps, size) > 0).all()
    assert not interpolation.project(maps, torch.ones(2, dim), size, interpolation.norms(maps, size)).any()
    assert dense.predict(maps, [trained_head(dim)], size)[0].isfinite().all()


def test_large_float16_values_do_not_overflow():
    maps = {1: torch.full((1, 8, 4, 4), 6e4, dtype=torch.float16)}
    assert interpolation.norms(maps, (6, 6)).allclose(torch.tensor(6e4 * 8**0.5), rtol=1e-3)
    assert interpolation.vectors(maps, [3], [3], (6, 6)).allclose(torch.tensor(8**-0.5))
