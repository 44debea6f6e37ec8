"""One pass over the test images against the naive way: up-sample the maps, normalise, apply each head."""

import csv

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pixelherd.datasets.pixels import Pixels
from pixelherd.datasets.prepare import ClassInfo
from pixelherd.errors import UserError
from pixelherd.features.backbones import manifest
from pixelherd.features.maps import ComputedMaps, StoredMaps
from pixelherd.heads import dense, evaluation, network
from pixelherd.heads.evaluation import Tallies
from pixelherd.heads.metrics import Tally


def naive_prediction(one, maps, size):
    """Classes ``[H, W]``, and where the two best logits are too close to tell."""
    upsampled = [
        F.interpolate(maps[block].double().flatten(0, 1)[None], size, mode="bilinear", align_corners=False)[0]
        for block in sorted(maps)
    ]
    vectors = F.normalize(torch.cat(upsampled), dim=0).flatten(1).T
    with torch.no_grad():
        logits = one(vectors.float())
    best = logits.topk(2, dim=1).values
    return logits.argmax(1).reshape(size).numpy(), (best[:, 0] - best[:, 1] < 1e-4).reshape(size).numpy()


def test_confusions_of_several_heads(cache):
    heads = [cache.head(seed) for seed in range(3)]
    maps_of, truth, classes = StoredMaps(cache.test), cache.dataset.test.labels, len(cache.classes)
    found = evaluation.tally(heads, range(3), maps_of, truth, classes).matrix
    assert found.shape == (3, classes, classes) and found.dtype == np.int64
    for one, matrix in zip(heads, found, strict=True):
        expected, unsure = np.zeros((classes, classes), dtype=int), 0
        for image in range(3):
            prediction, close = naive_prediction(one, maps_of(image), (32, 32))
            for target, answer in zip(truth[image].reshape(-1), prediction.reshape(-1), strict=True):
                if target != 255:
                    expected[target, answer] += 1
            unsure += close.sum()
        assert np.abs(matrix - expected).sum() <= 2 * unsure <= 20
        assert len(np.flatnonzero(matrix.sum(0))) > 1  # the heads do not say the same everywhere
    sizes = [(32, 32), (40, 56), (24, 32)]  # labels in the resolution of their files are predicted at their own size
    rng = np.random.default_rng(0)
    originals = [rng.integers(0, classes, size).astype(np.uint8) for size in sizes]
    matrix = evaluation.tally(heads[:1], range(3), maps_of, originals, classes)[0].matrix
    expected, unsure = np.zeros((classes, classes), dtype=int), 0
    for image, size in enumerate(sizes):
        prediction, close = naive_prediction(heads[0], maps_of(image), size)
        np.add.at(expected, (originals[image], prediction), 1)
        unsure += close.sum()
    assert matrix.sum() == expected.sum() and np.abs(matrix - expected).sum() <= 2 * unsure <= 40
    alone = evaluation.tally(heads[1:2], range(3), maps_of, truth, classes).matrix
    assert np.array_equal(alone[0], found[1])


def test_images_evaluated_side_by_side_count_the_same(cache, backbone_folder):
    heads, truth = [cache.head(seed) for seed in range(2)], cache.dataset.test.labels
    classes = len(cache.classes)
    computed = ComputedMaps([manifest.load(backbone_folder)], cache.dataset.test.images, cache.features)
    progress = []
    found = [
        evaluation.tally(heads, range(3), maps_of, truth, classes, workers=workers, progress=lambda: progress.append(1))
        for maps_of in (StoredMaps(cache.test), computed)
        for workers in (1, 3)
    ]
    for each in found:
        assert np.array_equal(each.matrix, found[0].matrix) and np.array_equal(each.bins, found[0].bins)
    assert found[0].bins[:, :, 0].sum(1).tolist() == found[0].matrix.sum((1, 2)).tolist()
    assert found[0].bins[:, :, 1].sum(1).tolist() == found[0].matrix.trace(axis1=1, axis2=2).tolist()
    assert len(progress) == 12


def test_more_heads_than_are_held_at_once(cache, monkeypatch):
    heads, maps_of = [cache.head(seed) for seed in range(3)], StoredMaps(cache.test)
    arguments = (range(3), maps_of, cache.dataset.test.labels, len(cache.classes))
    together = evaluation.tally(heads, *arguments)
    monkeypatch.setattr(dense, "HEADS_AT_ONCE", 2)
    assert np.array_equal(evaluation.tally(heads, *arguments).matrix, together.matrix)


def test_confusions_are_kept_by_the_content_of_the_head(tmp_path):
    path = tmp_path / "kept" / "00000-00003.npz"
    for name, content in (("a", b"one"), ("b", b"two"), ("same", b"one")):
        (tmp_path / name).write_bytes(content)
    one = Tally(np.arange(9).reshape(3, 3), np.arange(45).reshape(15, 3))
    Tallies(path, "key").add({tmp_path / "a": one})
    assert tmp_path / "a" in Tallies(path, "key")
    Tallies(path, "key").add({tmp_path / "b": one + one})
    kept = Tallies(path, "key")
    for name, times in (("same", 1), ("b", 2)):
        assert np.array_equal(kept[tmp_path / name].matrix, times * one.matrix)
        assert np.array_equal(kept[tmp_path / name].bins, times * one.bins)
    (tmp_path / "b").write_bytes(b"trained anew")
    assert tmp_path / "b" not in kept
    with pytest.raises(UserError, match=r"00000-00003.npz lacks .*b; delete the cache's folder `passes`"):
        kept[tmp_path / "b"]
    assert tmp_path / "a" not in Tallies(path, "another source")
    path.write_bytes(path.read_bytes()[:-40])
    assert tmp_path / "a" not in Tallies(path, "key"), "a damaged file is computed again"


def test_metrics_have_the_documented_columns(tmp_path):
    classes = [ClassInfo("Road", (1, 2, 3)), ClassInfo("traffic sign", (4, 5, 6)), ClassInfo("sky", (7, 8, 9))]
    matrices = np.array([[[3, 1, 0], [1, 3, 0], [0, 0, 0]], [[0, 0, 0], [0, 4, 0], [0, 0, 4]]])
    bins = np.zeros((2, 15, 3), np.int64)
    bins[0, 14] = 8, 6, 8 * 2**20  # sure of everything, and right in three of four
    bins[1, 7] = 8, 4, 8 * 2**19
    evaluation.write_metrics(tmp_path / "metrics.csv", Tally(matrices, bins), [5, 9], classes)
    with open(tmp_path / "metrics.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert first == {
        "round": "0",
        "labelled_pixels": "5",
        "miou": "0.600000",
        "pixel_accuracy": "0.750000",
        "mean_class_accuracy": "0.750000",
        "calibration_error": "0.250000",
        "iou_road": "0.600000",
        "iou_traffic_sign": "0.600000",
        "iou_sky": "",  # in neither targets nor predictions: left out of the mean
    }
    assert second["round"] == "1" and second["iou_road"] == "" and second["miou"] == "1.000000"


def test_labelled_pixels_are_those_with_a_class_so_far():
    nowhere = np.zeros(3, dtype=np.int64)
    answers = [Pixels(nowhere, nowhere, np.array(values)) for values in ([0, 255, 1], [255, 255, 255], [2, 2, 2])]
    assert evaluation.labelled_pixels(answers, []) == [2, 2, 5]


def test_the_reference_says_how_many_pixels_it_learnt(cache, tmp_path):
    network.save(cache.head(), tmp_path / "run" / "round-0" / "head.safetensors", {"labelled_pixels": 4})
    assert evaluation.labelled_pixels([], [tmp_path / "run" / "round-0" / "head.safetensors"]) == [4]
    network.save(cache.head(), tmp_path / "run" / "round-0" / "head.safetensors", {})
    with pytest.raises(UserError, match=r"does not say how many pixels it learnt.*delete .*run and run again"):
        evaluation.labelled_pixels([], [tmp_path / "run" / "round-0" / "head.safetensors"])


def test_heads_of_other_settings_are_not_evaluated(cache, tmp_path):
    paths = [tmp_path / f"round-{number}" / "head.safetensors" for number in range(2)]
    for path in paths:
        network.save(cache.head(), path, {"run": "mine"})
    loaded = evaluation.load_heads(paths, "mine")
    assert len(loaded) == 2 and not any(one.training for one in loaded)
    assert all(torch.equal(a, b) for a, b in zip(loaded[0].parameters(), cache.head().parameters(), strict=True))
    with pytest.raises(UserError, match=f"other settings, or in another round; delete {tmp_path} and run again"):
        evaluation.load_heads(paths, "yours")
    paths[1].write_bytes(paths[1].read_bytes()[:50])
    with pytest.raises(UserError, match="truncated"):
        evaluation.load_heads(paths, "mine")
