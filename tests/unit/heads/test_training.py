"""What heads are trained on, against vectors taken directly from the maps."""

import numpy as np
import pytest
import torch

from pixelherd.datasets.pixels import LABEL_COLUMNS, Pixels, answer, read_pixels, write_pixels
from pixelherd.errors import UserError
from pixelherd.features import interpolation
from pixelherd.features.maps import StoredMaps
from pixelherd.heads import sources
from pixelherd.selection import choose, labelled
from pixelherd.selection.coverage.union import read_union
from pixelherd.selection.settings import Round
from pixelherd.storage.shards import Shards
from pixelherd.study import stages

CPU = torch.device("cpu")


def write_labels(cache, path, pixels):
    write_pixels(path, LABEL_COLUMNS, 0, pixels, cache.dataset.train.ids, 32)
    return path


def direct(cache, image, flat):
    maps = StoredMaps(cache.train)(image)
    return interpolation.vectors(maps, torch.tensor([flat // 32]), torch.tensor([flat % 32]), (32, 32))[0]


@pytest.fixture
def rounds(cache, tmp_path):
    """Labels of listed pixels in two rounds, one answer being "cannot tell"."""
    union = read_union(cache.union)
    rows = np.array([17, 3, 20, 18, 5])
    values = np.array([1, 0, 255, 2, 3])
    return [
        write_labels(cache, tmp_path / f"{number}.csv", Pixels(union.images[part], union.pixels[part], values[at]))
        for number, at in enumerate((slice(0, 3), slice(3, 5)))
        for part in [rows[at]]
    ]


def check_batch(cache, source, answered):
    """Every batch holds the context of its images, unlabelled, and their labelled pixels."""
    context = Shards.open(cache.train)
    first = torch.nn.Linear(cache.dim, cache.dim, bias=False)
    torch.nn.init.eye_(first.weight)  # the projection is the vector itself
    for image in range(6):
        batch = source.batch([image])
        mine = np.flatnonzero(answered.images == image)
        assert source.labelled(image) == (answered.values[mine] != 255).any()
        assert batch.labels.tolist() == [255] * 20 + answered.values[mine].astype(int).tolist()
        vectors = batch.project(first).detach()
        assert np.array_equal(vectors[:20].half().numpy(), context.image("context", image))
        for place, row in enumerate(mine):
            expected = direct(cache, image, int(answered.flat[row]))
            torch.testing.assert_close(vectors[20 + place], expected, rtol=1e-3, atol=1e-4)


def test_listed_pixels(cache, rounds):
    manifest = cache.union / "manifest.json"
    pixels = labelled.labelled_pixels(cache.dataset, rounds, cache.train, manifest)
    source, dim = labelled.vector_source(pixels, cache.train, CPU), pixels.dim
    answered = read_pixels(rounds, LABEL_COLUMNS, cache.dataset.train.ids, 32)
    assert dim == cache.dim and source.images == 6 and len(answered) == 5
    check_batch(cache, source, answered)


def test_random_pixels(cache, tmp_path):
    nothing = np.array([], dtype=np.int64)
    run = next(run for run in cache.study.runs() if run.method == "random")
    truth, options = cache.dataset.train.labels, stages.selection(cache.study, run)
    current = Round(0, 9, Pixels(nothing, nothing, nothing), options)
    asked = choose.at_random(Shards.open(cache.train), truth, current)
    path = write_labels(cache, tmp_path / "labels.csv", answer(asked, truth))
    pixels = labelled.labelled_pixels(cache.dataset, [path], cache.train, None)
    source, dim = labelled.vector_source(pixels, cache.train, CPU), pixels.dim
    assert dim == cache.dim
    check_batch(cache, source, read_pixels([path], LABEL_COLUMNS, cache.dataset.train.ids, 32))


@pytest.mark.parametrize("listed", [True, False])
def test_pixels_without_a_vector_are_one_line(cache, tmp_path, listed):
    known = Shards(cache.lists).image("pixels", 2) if listed else Shards.open(cache.train).image("context_pixels", 2)
    other = next(flat for flat in range(1024) if flat not in known)
    path = write_labels(cache, tmp_path / "labels.csv", Pixels(np.array([2]), np.array([other]), np.array([1.0])))
    union = cache.union / "manifest.json" if listed else None
    with pytest.raises(UserError, match=f"pixel {other} of training image 2"):
        labelled.labelled_pixels(cache.dataset, [path], cache.train, union)


def test_without_answers_every_context_pixel_is_labelled(cache):
    pixels = labelled.labelled_pixels(cache.dataset, [], cache.train, None)
    shards = Shards.open(cache.train)
    assert len(pixels.labels) == 6 * 20 and pixels.dim == cache.dim and pixels.count <= 120
    for rows in (1, 45, 1000):
        blocks = list(pixels.blocks(rows))
        assert np.array_equal(np.concatenate([block for _, block in blocks]), shards.all("context").reshape(120, -1))
        places = np.concatenate([np.arange(120)[part] for part, _ in blocks])
        assert places.tolist() == list(range(120))
    truth = cache.dataset.train.labels[4].reshape(-1)[shards.image("context_pixels", 4)]
    assert np.array_equal(pixels.labels[pixels.images == 4], truth)


def test_dense_maps_with_labels(cache, rounds):
    source, dim = sources.dense_source(cache.dataset, rounds, StoredMaps(cache.train), CPU)
    answered = read_pixels(rounds, LABEL_COLUMNS, cache.dataset.train.ids, 32)
    expected = np.full((6, 1024), 255)
    for image, flat, value in zip(answered.images, answered.flat, answered.values, strict=True):
        expected[image, flat] = value
    assert dim == cache.dim
    assert source.batch(range(6)).labels.tolist() == expected.reshape(-1).tolist()
    first = torch.nn.Linear(cache.dim, cache.dim, bias=True)
    torch.nn.init.eye_(first.weight)
    projected = source.batch([4]).project(first).detach() - first.bias.detach()
    torch.testing.assert_close(projected[77], direct(cache, 4, 77), rtol=1e-4, atol=1e-5)


def test_dense_maps_with_the_ground_truth(cache):
    source, _ = sources.dense_source(cache.dataset, [], StoredMaps(cache.train), CPU)
    truth = cache.dataset.train.labels[:]
    assert source.batch([1, 5]).labels.tolist() == truth[[1, 5]].reshape(-1).tolist()
