"""Lists and unions against loops over images, also where images have few candidates or none."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelherd.compute.randomness import torch_generator
from pixelherd.datasets.dataset import Split
from pixelherd.errors import UserError
from pixelherd.features.maps import StoredMaps, vectors_at
from pixelherd.selection.coverage.herding import max_herding, median_bandwidth
from pixelherd.selection.coverage.lists import candidate_pixels, local_list, write_lists
from pixelherd.selection.coverage.union import Union, read_union, write_union
from pixelherd.selection.settings import ListSettings
from pixelherd.storage.shards import Shards
from pixelherd.storage.stores import writing
from pixelherd.study import stages

SETTINGS = ListSettings(pixels=60, listed=4, reserve=3)
SIZE = (8, 10)


def changed(**update) -> ListSettings:
    return SETTINGS.model_copy(update=update)


def maps(seed=0):
    shapes = {0: (2, 3, 4, 5), 2: (2, 2, 8, 10)}
    generator = torch.Generator().manual_seed(seed)
    return {block: torch.randn(*shape, generator=generator).half() for block, shape in shapes.items()}


def labels_with(*free: int) -> np.ndarray:
    """Labels that ignore all but some flat pixels."""
    labels = np.full(SIZE, 255, np.uint8)
    labels.reshape(-1)[list(free)] = 1
    return labels


@given(st.integers(0, 2**32), st.integers(1, 100), st.booleans())
@settings(max_examples=30)
def test_candidates_are_a_sample_of_the_pixels_that_may_be_listed(seed, number, avoid):
    labels = np.random.default_rng(seed).choice(np.array([0, 3, 255], np.uint8), SIZE)
    allowed = np.flatnonzero(labels != 255) if avoid else np.arange(labels.size)
    options = ListSettings(pixels=number, avoid_ignored=avoid)
    pixels = candidate_pixels(labels, "0", "a", options)
    assert len(pixels) == min(number, len(allowed)) and set(pixels) <= set(allowed)
    assert (np.diff(pixels) > 0).all()
    assert np.array_equal(candidate_pixels(labels, "0", "a", options), pixels)
    assert np.array_equal(candidate_pixels(labels, "0", "a", options.model_copy(update={"pixels": "all"})), allowed)


def test_every_image_and_seed_has_candidates_of_its_own():
    labels = np.zeros((40, 40), np.uint8)
    samples = [candidate_pixels(labels, *key, SETTINGS) for key in (("0", "a"), ("0", "b"), ("1", "a"))]
    assert len({tuple(sample) for sample in samples}) == 3


def test_a_list_is_herded_over_the_candidates_and_every_prefix_is_a_list():
    labels = np.zeros(SIZE, np.uint8)
    pixels, vectors = local_list(maps(), labels, "0", "a", SETTINGS)
    assert len(pixels) == 7 and len(set(pixels.tolist())) == 7
    assert torch.equal(vectors, vectors_at(maps(), pixels, SIZE))
    candidates = candidate_pixels(labels, "0", "a", SETTINGS)
    assert set(pixels) <= set(candidates)
    for listed in range(1, 7):
        shorter, _ = local_list(maps(), labels, "0", "a", changed(listed=listed, reserve=0))
        assert np.array_equal(shorter, pixels[:listed])
    everything = local_list(maps(), labels, "0", "a", changed(pixels="all"))[0]
    herding = max_herding(vectors_at(maps(), np.arange(80), SIZE), 1)
    assert everything[0] == herding.indices[0]


def test_the_bandwidth_is_a_multiple_of_the_median_distance(tmp_path):
    labels = np.zeros(SIZE, np.uint8)
    candidates = candidate_pixels(labels, "0", "a", SETTINGS)
    x = vectors_at(maps(), candidates, SIZE)
    for scale in (0.5, 2, 8):
        bandwidth = median_bandwidth(x, generator=torch_generator("0", "bandwidth", "a"), scale=scale, least=100)
        assert bandwidth == pytest.approx(
            scale * median_bandwidth(x, generator=torch_generator("0", "bandwidth", "a"), least=100) / 2
        )
        pixels, _ = local_list(maps(), labels, "0", "a", changed(bandwidth=scale))
        expected = max_herding(x, 7, bandwidth=bandwidth).indices.numpy()
        assert np.array_equal(pixels, candidates[expected])


@pytest.fixture
def three(tmp_path):
    """Lists of an image with plenty of candidates, one with three, and one with none."""
    labels = np.stack([np.zeros(SIZE, np.uint8), labels_with(3, 30, 77), labels_with()])
    split = Split(["a", "b", "c"], {"labels": labels}.get)
    with writing(tmp_path / "00000-00002", {}) as folder:
        write_lists(folder, range(3), split, maps, "0", SETTINGS)
    return Shards.open(tmp_path / "00000-00002" / "manifest.json")


def test_lists_of_images_with_few_candidates_are_padded(three):
    pixels, vectors = three.all("pixels"), three.all("vectors")
    assert pixels.shape == (3, 7) and vectors.shape == (3, 7, 10)
    assert pixels.dtype == np.int32 and vectors.dtype == np.float16
    assert (pixels[0] >= 0).all()
    assert set(pixels[1, :3]) == {3, 30, 77} and (pixels[1, 3:] == -1).all() and (pixels[2] == -1).all()
    assert (vectors[pixels < 0] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(vectors[pixels >= 0].astype(float), axis=-1), 1, atol=2e-3)


def test_a_union_holds_the_listed_pixels_in_order(three, tmp_path):
    with writing(tmp_path / "union", facts := {"listed": 4, "kernel": "rbf"}, inside="") as folder:
        facts["bandwidth"] = write_union(folder, three, SETTINGS.listed, SETTINGS, "0")
    union = read_union(tmp_path / "union")
    assert union.bandwidth > 0
    expected = [(image, rank) for image, count in ((0, 7), (1, 3)) for rank in range(count)]
    assert list(zip(union.images.tolist(), union.ranks.tolist(), strict=True)) == expected
    for row, (image, rank) in enumerate(expected):
        assert union.pixels[row] == three.image("pixels", image)[rank]
        assert np.array_equal(union.vectors[row], three.image("vectors", image)[rank])
    rows = np.array([8, 0, 3])
    assert np.array_equal(union.rows_of(union.images[rows], union.pixels[rows]), rows)
    with pytest.raises(UserError, match="pixel 5 of training image 1 is in no list"):
        union.rows_of(np.array([1]), np.array([5]))
    # everything is labelled: nothing can be herded any more
    with pytest.raises(UserError, match="all listed pixels are labelled"):
        union.herd(np.arange(10), 4, "rbf", 1)


def test_rounds_share_what_gather_computed(cache):
    union = read_union(cache.union)
    plain = dataclasses.replace(union, open_shared=None)
    nothing = np.array([], dtype=np.int64)
    opening, herding = union.herd(nothing, 4, "rbf", 6)
    expected, plain_herding = plain.herd(nothing, 4, "rbf", 6)
    assert np.array_equal(opening, expected)
    torch.testing.assert_close(herding.coverage, plain_herding.coverage, rtol=0, atol=1e-6)
    for labelled in (opening[:3], opening, np.array([0, 1, 2, 3])):
        for budget in (0.5, 4):
            rows, herding = union.herd(labelled, 4, "rbf", budget)
            expected, plain_herding = plain.herd(labelled, 4, "rbf", budget)
            assert len(rows) == len(expected)
            torch.testing.assert_close(herding.coverage, plain_herding.coverage, rtol=0, atol=1e-6)
    # Of another kernel or K nothing is shared.
    for listed, kernel in ((4, "laplace"), (3, "rbf")):
        assert np.array_equal(union.herd(opening, listed, kernel, 4)[0], plain.herd(opening, listed, kernel, 4)[0])


def test_a_dataset_that_ignores_everything(tmp_path):
    split = Split(["a"], {"labels": labels_with()[None]}.get)
    with writing(tmp_path / "00000-00000", {}) as folder:
        write_lists(folder, range(1), split, maps, "0", SETTINGS)
    with pytest.raises(UserError, match="avoid_ignored"), writing(tmp_path / "union", {}, inside="") as union:
        write_union(union, Shards.open(tmp_path / "00000-00000" / "manifest.json"), 4, SETTINGS, "0")


def random_union(generator: np.random.Generator, lengths: list[int]) -> Union:
    images = np.repeat(np.arange(len(lengths)), lengths)
    ranks = np.concatenate([np.arange(length) for length in lengths])
    vectors = generator.normal(size=(len(images), 6)).astype(np.float16)
    return Union(vectors, images, ranks * 11, ranks, 2.0)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=6), st.integers(1, 5), st.integers(0, 2**32))
@settings(max_examples=80)
def test_an_image_offers_the_first_of_its_list_that_are_not_labelled(lengths, listed, seed):
    generator = np.random.default_rng(seed)
    union = random_union(generator, lengths)
    labelled = np.flatnonzero(generator.random(len(union.images)) < 0.4)
    expected = []
    for image in range(len(lengths)):
        free = [row for row in np.flatnonzero(union.images == image) if row not in labelled]
        expected += free[:listed]
    assert union.offered(labelled, listed).tolist() == expected


@pytest.mark.parametrize("budget", [4, 0.5, 0.01])
def test_global_herding_runs_over_the_offered_pixels(budget):
    union = random_union(np.random.default_rng(0), [6, 2, 5])
    labelled = np.array([1, 7])
    rows, herding = union.herd(labelled, 3, "laplace", budget)
    offered = union.offered(labelled, 3)
    count = budget if isinstance(budget, int) else max(1, round(budget * len(offered)))
    covered = torch.from_numpy(union.vectors[labelled])
    expected = max_herding(union.vectors[offered], count, bandwidth=2.0, kernel="laplace", covered=covered)
    assert np.array_equal(rows, offered[expected.indices.numpy()])
    assert torch.equal(herding.coverage, expected.coverage)
    none, _ = union.herd(np.array([], dtype=np.int64), 3, "laplace", budget)
    assert set(none) <= set(union.offered(np.array([], dtype=np.int64), 3))


def test_shards_and_seeds_of_a_real_list(cache):
    options = stages.lists(cache.study)
    pixels = np.concatenate([np.load(folder / "data" / "pixels.npy") for folder in cache.lists])
    maps_of = StoredMaps(cache.train)
    for image in (5, 2):  # by itself, in another order
        truth = cache.dataset.train.labels[image]
        listed, _ = local_list(maps_of(image), truth, "0", cache.dataset.train.ids[image], options)
        assert np.array_equal(listed, pixels[image])
        assert (truth.reshape(-1)[listed] != 255).all()
        other, _ = local_list(maps_of(image), truth, "1", cache.dataset.train.ids[image], options)
        assert not np.array_equal(other, listed)
