"""What a run's pictures show: images spread over a split, predictions, and eDALD of every pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from pixelherd.datasets.pixels import LABEL_COLUMNS, Pixels, write_pixels
from pixelherd.features import extract, maps
from pixelherd.features.backbones import manifest
from pixelherd.features.maps import StoredMaps
from pixelherd.heads import dense
from pixelherd.results.figures.thumbnails import (
    CONTRADICTED,
    contradicted,
    edald_map,
    most_queried,
    pictured,
    write_thumbnails,
)
from pixelherd.storage.shards import Shards
from pixelherd.storage.stores import writing

SIZE = (32, 32)


@given(st.integers(1, 400), st.integers(0, 400))
@settings(max_examples=200)
def test_pictured_images_are_spread_evenly(images, count):
    positions = pictured(images, count)
    assert len(positions) == len(set(positions)) == min(count, images)
    assert positions == sorted(positions) and all(0 <= position < images for position in positions)
    steps = np.diff(positions)
    assert len(steps) == 0 or steps.max() - steps.min() <= 2
    if positions:
        assert abs(positions[0] - (images - 1 - positions[-1])) <= 1  # as far from the end as from the start


def log_probabilities(head, maps):
    upsampled = [
        F.interpolate(maps[block].double().flatten(0, 1)[None], SIZE, mode="bilinear", align_corners=False)[0]
        for block in sorted(maps)
    ]
    vectors = F.normalize(torch.cat(upsampled), dim=0).flatten(1).T
    with torch.no_grad():
        return head.double()(vectors).log_softmax(1)


@pytest.fixture(scope="module")
def perturbed(cache, backbone_folder, tmp_path_factory):
    """Folder of the draws of training images 1 and 4, as the rule ``picture`` stores them."""
    backbone, images = manifest.load(backbone_folder), cache.dataset.train.images
    store = tmp_path_factory.mktemp("pictures") / "store"
    with writing(store, {}) as folder:
        extract.store(
            folder,
            4,
            lambda entry: maps.compute(backbone, images[[1, 4][entry // 2]], cache.features, 1 + entry % 2),
            cache.dataset.size,
        )
    return store


def test_edald_of_every_pixel(cache, perturbed):
    base = StoredMaps(cache.train)(1)
    draws = [maps.read_stored(perturbed, number) for number in range(2)]
    found = edald_map(cache.head(), base, draws, SIZE, 0.5)
    assert found.shape == SIZE and found.dtype == np.float16

    def entropy(p):
        return -(p * p.clamp(min=1e-300).log()).sum(-1)

    p = torch.stack([log_probabilities(cache.head(), maps).exp() for maps in draws])
    expected = entropy(p.mean(0)) - entropy(p).mean(0) + 0.5 * entropy(log_probabilities(cache.head(), base).exp())
    np.testing.assert_allclose(found, expected.reshape(SIZE), rtol=2e-3, atol=1e-4)


def test_most_queried_images():
    images = np.array([4, 1, 4, 2, 2, 0, 4])
    assert most_queried(images, 6, 2) == [4, 2]
    assert most_queried(images, 6, 3, without=[2]) == [4, 0, 1]
    assert most_queried(images, 6, 9, without=[0]) == [4, 2, 1, 3, 5]


@pytest.mark.parametrize("count", [2, 0, 9])
def test_thumbnails(cache, perturbed, tmp_path, count):
    splits = {name: (getattr(cache.dataset, name), StoredMaps(getattr(cache, name))) for name in ("train", "test")}
    groups = {name: (*of_split, pictured(len(of_split[0]), count)) for name, of_split in splits.items()}
    groups["queried"] = (*splits["train"], [5, 0][:count])
    draws = (perturbed, 2, 2) if count == 2 else None
    paths = [tmp_path / name / "thumbnails.npz" for name in "ab"]
    for path in paths:
        path.parent.mkdir()
        write_thumbnails(path, cache.head(), groups, SIZE, draws, 1.0)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    arrays = np.load(paths[0])
    for name, (split, maps_of, positions) in groups.items():
        shown = {part: arrays[f"{name}_{part}"] for part in ("ids", "images", "truth", "prediction")}
        assert shown["ids"].tolist() == [split.ids[position] for position in positions]
        assert shown["images"].shape == (len(positions), *SIZE, 3) and shown["images"].dtype == np.uint8
        assert shown["truth"].shape == shown["prediction"].shape == (len(positions), *SIZE)
        for place, position in enumerate(positions):
            assert np.array_equal(shown["images"][place], split.images[position])
            assert np.array_equal(shown["truth"][place], split.labels[position])
            prediction = dense.classes(maps_of(position), cache.head(), SIZE)
            assert prediction.dtype == np.uint8 and np.array_equal(shown["prediction"][place], prediction)
            expected = log_probabilities(cache.head(), maps_of(position)).argmax(1).reshape(SIZE)
            assert (prediction != expected.numpy()).mean() < 0.01
    assert ("train_edald" in arrays.files) == (draws is not None)
    assert ("train_entropy" in arrays.files) == (draws is None)
    if draws is None:
        for found, position in zip(arrays["train_entropy"], groups["train"][2], strict=True):
            p = log_probabilities(cache.head(), splits["train"][1](position)).exp()
            np.testing.assert_allclose(found, torch.special.entr(p).sum(1).reshape(SIZE), rtol=2e-3, atol=1e-4)
    else:
        second = [maps.read_stored(perturbed, 2 + number) for number in range(2)]
        expected = edald_map(cache.head(), splits["train"][1](4), second, SIZE, 1.0)
        assert pictured(6, 2) == [1, 4] and np.array_equal(arrays["train_edald"][1], expected)


def test_contradicted_answers_are_those_of_the_file(cache, tmp_path):
    pixels = Shards.open(cache.train).all("context_pixels")[:, :4]
    images, flat = np.repeat(np.arange(len(pixels)), 4), pixels.ravel()
    answers = Pixels(images, flat, np.random.default_rng(0).integers(0, 3, len(flat)))
    write_pixels(tmp_path / "labels.csv", LABEL_COLUMNS, 0, answers, cache.dataset.train.ids, SIZE[1])
    files, person = {"labels": [tmp_path / "labels.csv"], "context": cache.train}, {"oracle": "csv"}
    found = contradicted(cache.dataset, files, 3, person | {"training": {"l2": 0.05}})
    told = int(found["contradicted_told"])
    assert 0 < len(found["contradicted_ids"]) < told == len(flat), "labels by chance contradict each other"
    assert len(found["contradicted_images"]) == min(len(found["contradicted_ids"]), CONTRADICTED)
    ids = cache.dataset.train.ids
    places = [(ids[image], *divmod(int(pixel), SIZE[1])) for image, pixel in zip(images, flat, strict=True)]
    given = dict(zip(places, answers.values, strict=True))
    pixels = found["contradicted_pixels"].tolist()
    for name, (row, column, label, predicted) in zip(found["contradicted_ids"], pixels, strict=True):
        assert given[name, row, column] == label != predicted
    first = ids.index(found["contradicted_ids"][0])
    assert np.array_equal(found["contradicted_images"][0], cache.dataset.train.images[first])
    assert contradicted(cache.dataset, files, 3, {"training": {"l2": 0.05}}) == {}, "masks answered"
    assert contradicted(cache.dataset, {"labels": []}, 3, person) == {}, "no vectors were kept"
