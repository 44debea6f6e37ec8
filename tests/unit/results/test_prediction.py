"""Masks of new images: those of dense prediction at the images' own sizes, kept when they are there."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from pixelherd.datasets.settings import read_dataset
from pixelherd.errors import UserError
from pixelherd.features.backbones import manifest
from pixelherd.features.maps import compute
from pixelherd.heads import dense, network
from pixelherd.pipeline import seals
from pixelherd.results.prediction.coco import run_lengths, write_coco
from pixelherd.results.prediction.edges import keep_to_edges
from pixelherd.results.prediction.masks import OPACITY, new_images, predict_folder, stamp_of
from pixelherd.results.prediction.predictor import Predictor
from pixelherd.storage.files import write_json
from pixelherd.storage.records import SEAL_DIGEST
from pixelherd.study import stages
from pixelherd.study.run import Run


@pytest.fixture(scope="module")
def run(cache, settings, tmp_path_factory):
    """The folder of a finished run of two rounds, as far as predicting needs it."""
    folder, study = tmp_path_factory.mktemp("run"), cache.study
    run = Run("demo", "ddpm", "edald", "3", 0)
    for number in range(2):
        (folder / f"round-{number}").mkdir()
        network.save(cache.head(number), folder / f"round-{number}" / "head.safetensors", {})
    for name in ("metrics.csv", "expected.csv", "thumbnails.npz"):
        (folder / name).write_text("")
    classes = [{"name": each.name, "colour": list(each.colour)} for each in cache.classes]
    seals.seal(folder, run, stages.result(study, run), 2, {"classes": classes}, "f" * 64)
    return folder


@pytest.fixture
def photos(tmp_path):
    """Two images of other sizes than the study's, one in a subfolder."""
    found, generator = {}, np.random.default_rng(0)
    for name, size in (("a", (40, 56, 3)), ("sub/b", (32, 32, 3))):
        found[name] = tmp_path / "photos" / f"{name}.png"
        found[name].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, size, np.uint8)).save(found[name])
    return found


def read(path):
    with Image.open(path) as image:
        return np.array(image)


def test_a_mask_is_what_the_head_predicts_at_the_images_size(run, cache, settings, photos):
    predictor = Predictor.load(run, device="cpu")
    mask = predictor(photos["a"])
    network = manifest.load(settings["features"]["ddpm"]["backbone"])
    small = np.asarray(Image.open(photos["a"]).resize((32, 32), Image.Resampling.BILINEAR))
    maps = compute(network, small, cache.features)
    logits = dense.predict(maps, [cache.head(1)], (40, 56))[0]
    assert mask.dtype == np.uint8 and np.array_equal(mask, logits.argmax(0).numpy())
    assert torch.allclose(predictor.probabilities(photos["a"]).sum(0), torch.ones(40, 56))
    for same in (read(photos["a"]), Image.open(photos["a"])):
        assert np.array_equal(predictor(same), mask)
    first = Predictor.load(run, round_number=0, device="cpu")
    assert first.digest != predictor.digest and (first(photos["a"]) != mask).any()


def test_a_head_predicts_on_the_network_alone_that_it_was_trained_on(run, settings, tmp_path):
    copy, network = tmp_path / "run", settings["features"]["ddpm"]["backbone"]
    shutil.copytree(run, copy)
    seal = seals.read_seal(copy)
    del seal[SEAL_DIGEST]
    sealed = seal | {"backbone_sha256": manifest.identity(manifest.manifest(network))}
    write_json(copy / "run.json", sealed)
    assert Predictor.load(copy, device="cpu").digest == Predictor.load(run, device="cpu").digest
    write_json(copy / "run.json", seal | {"backbone_sha256": "f" * 64})
    with pytest.raises(UserError, match=r"is another network than the one that the run was made with; put back"):
        Predictor.load(copy, device="cpu")


def test_cropped_datasets_predict_the_whole_image(run, cache):
    settings, classes = stages.maps(cache.study, "demo", "ddpm"), cache.classes
    size = {"root": "absent", "size": [32, 32], "resize": [32, 64]}
    cropped = read_dataset({"kind": "cityscapes", **size})
    backbone = cache.study.features["ddpm"].backbone.stored()
    wide = Predictor.of(run / "round-0" / "head.safetensors", [backbone], settings, classes, cropped, device="cpu")
    assert wide.settings.image_size == (32, 64)
    assert wide(np.zeros((50, 100, 3), np.uint8)).shape == (50, 100)


def test_a_folder_of_masks_is_resumed(run, photos, tmp_path):
    predictor, folder, steps = Predictor.load(run, device="cpu"), tmp_path / "out", []
    assert predict_folder(predictor, photos, folder, confidence=True, progress=lambda: steps.append(1)) == 2
    assert len(steps) == 2
    colours = np.array([each.colour for each in predictor.classes])
    for name, path in photos.items():
        mask = read(folder / "masks" / f"{name}.png")
        assert np.array_equal(mask, predictor(path))
        with Image.open(folder / "masks" / f"{name}.png") as image:
            assert np.array_equal(np.array(image.convert("RGB")), colours[mask])
        best = predictor.probabilities(path).max(0).values.numpy()
        assert np.abs(read(folder / "confidence" / f"{name}.png") / 255 - best).max() <= 0.5 / 255 + 1e-6
        overlay = read(folder / "overlays" / f"{name}.jpg").astype(float)
        expected = OPACITY * colours[mask] + (1 - OPACITY) * read(path)
        assert overlay.shape == expected.shape and np.abs(overlay.mean() - expected.mean()) < 3
    with open(folder / "classes.csv", newline="") as file:
        rows = [list(row.values()) for row in csv.DictReader(file)]
    assert rows == [[str(label), each.name, *map(str, each.colour)] for label, each in enumerate(predictor.classes)]

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    assert predict_folder(predictor, photos, folder, confidence=True) == 0
    (folder / "overlays" / "a.jpg").unlink()
    assert predict_folder(predictor, photos, folder) == 1
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(photos["sub/b"])
    (folder / "masks" / "a.png").write_bytes((folder / "masks" / "a.png").read_bytes()[:40])
    assert stamp_of(folder / "masks" / "a.png") is None
    assert predict_folder(predictor, photos, folder) == 2, "another image of the same name, and a damaged mask"
    assert all(path.stat().st_mtime_ns != before[path] for path in before if path.is_file())
    assert not list((folder / "confidence").rglob("*.png")), "nothing stays that is of another mask"
    assert predict_folder(Predictor.load(run, round_number=0, device="cpu"), photos, folder) == 2, "another head"


def test_confidence_maps_of_another_head_are_made_anew(run, photos, tmp_path):
    first, last = (Predictor.load(run, round_number=number, device="cpu") for number in range(2))
    predict_folder(first, photos, tmp_path / "out", confidence=True)
    predict_folder(last, photos, tmp_path / "out")
    assert predict_folder(last, photos, tmp_path / "out", confidence=True) == 2
    best = last.probabilities(photos["a"]).max(0).values.numpy()
    assert np.abs(read(tmp_path / "out" / "confidence" / "a.png") / 255 - best).max() <= 0.5 / 255 + 1e-6


def test_masks_are_not_written_among_the_images(photos, tmp_path):
    folder = photos["a"].parent
    assert new_images(folder, tmp_path / "photos-masks") == photos
    for written in (folder, folder / "masks", folder / "sub" / ".." / "masks"):
        with pytest.raises(
            UserError, match=r"predict\.folder: .* is in the folder of images .*; name a folder outside"
        ):
            new_images(folder, written)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"predict\.images: there are no images in .*empty"):
        new_images(tmp_path / "empty", tmp_path / "out")


def test_an_unreadable_image_stops_no_other(run, photos, tmp_path):
    photos["a"].write_bytes(photos["a"].read_bytes()[:100])
    with pytest.raises(UserError, match=r"1 of 2 images have no mask: image .*a\.png is unreadable"):
        predict_folder(Predictor.load(run, device="cpu"), photos, tmp_path / "out")
    assert (tmp_path / "out" / "masks" / "sub" / "b.png").is_file()
    assert not (tmp_path / "out" / "masks" / "a.png").exists()


def test_mistakes_are_one_line(run, tmp_path):
    with pytest.raises(UserError, match=r"the run is not finished"):
        Predictor.load(tmp_path)
    with pytest.raises(UserError, match=r"has no round 2; choose from 0 to 1"):
        Predictor.load(run, round_number=2)
    seal = json.loads((run / "run.json").read_text())
    seal["settings"]["backbone"] = {"pretrain": {}}
    seal.pop(SEAL_DIGEST, None)
    (tmp_path / "run.json").write_text(json.dumps(seal))
    with pytest.raises(UserError, match=r"give its folder in the cache as `backbone`"):
        Predictor.load(tmp_path)


def decoded(counts: str, height: int, width: int) -> np.ndarray:
    """The mask of a compressed run-length encoding, as the C code of COCO's API reads it."""
    runs, place = [], 0
    while place < len(counts):
        value, shift, more = 0, 0, True
        while more:
            character = ord(counts[place]) - 48
            value |= (character & 31) << shift
            more, place, shift = bool(character & 32), place + 1, shift + 5
            if not more and character & 16:
                value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    flat = np.repeat(np.arange(len(runs)) % 2, runs)
    return flat.reshape(width, height).T.astype(bool)


@given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_run_lengths_say_what_a_mask_is(mask):
    assert np.array_equal(decoded(run_lengths(mask), *mask.shape), mask)


def test_run_lengths_are_those_of_cocos_own_code():
    # runs 2 3 3 2 2: written whole for the first three, then as differences to the last but one, -1 and -1
    mask = np.array([[0, 1, 0, 1], [0, 1, 0, 0], [1, 0, 1, 0]], bool)
    assert run_lengths(mask) == "233OO"
    assert run_lengths(np.zeros((1000, 1000), bool)) == "Pb`n0"


def test_coco_tells_each_class_of_each_mask(run, photos, tmp_path):
    predictor = Predictor.load(run, device="cpu")
    predict_folder(predictor, photos, tmp_path / "out")
    write_coco(tmp_path / "out", [*photos, "without a mask"], predictor.classes)
    found = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert [each["file_name"] for each in found["images"]] == ["a.png", "sub/b.png"]
    assert [each["name"] for each in found["categories"]] == [each.name for each in predictor.classes]
    assert [each["id"] for each in found["annotations"]] == list(range(1, len(found["annotations"]) + 1))
    for image in found["images"]:
        mask = read(tmp_path / "out" / "masks" / image["file_name"])
        assert mask.shape == (image["height"], image["width"])
        mine = [each for each in found["annotations"] if each["image_id"] == image["id"]]
        assert [each["category_id"] - 1 for each in mine] == np.unique(mask).tolist()
        for each in mine:
            of_class = mask == each["category_id"] - 1
            assert np.array_equal(decoded(each["segmentation"]["counts"], *each["segmentation"]["size"]), of_class)
            left, top, width, height = each["bbox"]
            assert each["area"] == of_class.sum() == of_class[top : top + height, left : left + width].sum()


def guided(probabilities, image, radius, epsilon):
    """The guided filter of He, Sun & Tang, equations 14 to 16, window by window in float64."""
    classes, height, width = probabilities.shape
    colours, chances = image.reshape(-1, 3) / 255, probabilities.reshape(classes, -1)
    places = np.indices((height, width)).reshape(2, -1)
    fits = np.empty((height * width, classes, 4))
    inside = np.abs(places[:, :, None] - places[:, None]).max(0) <= radius
    for window, own in zip(inside, fits, strict=True):
        mine, mean = colours[window], colours[window].mean(0)
        spread = np.cov(mine.T, bias=True) + epsilon * np.eye(3)
        for chance, fit in zip(chances, own, strict=True):
            shared = (mine * chance[window, None]).mean(0) - mean * chance[window].mean()
            fit[:3] = np.linalg.solve(spread, shared)
            fit[3] = chance[window].mean() - fit[:3] @ mean
    means = np.stack([fits[window].mean(0) for window in inside])
    found = (means[..., :3] * colours[:, None]).sum(2) + means[..., 3]
    found = np.maximum(found, 0)
    return (found / found.sum(1, keepdims=True)).T.reshape(probabilities.shape)


@pytest.mark.parametrize("radius", [1, 3, 20])
def test_probabilities_are_filtered_as_the_paper_says(radius):
    generator = np.random.default_rng(radius)
    image = generator.integers(0, 256, (9, 7, 3), np.uint8)
    probabilities = generator.dirichlet(np.ones(4), (9, 7)).transpose(2, 0, 1)
    found = keep_to_edges(torch.from_numpy(probabilities).float(), image, radius, 1e-3)
    assert np.abs(found.numpy() - guided(probabilities, image, radius, 1e-3)).max() < 1e-4
    assert found.min() >= 0 and torch.allclose(found.sum(0), torch.ones(9, 7))


def test_a_mask_moves_to_the_edge_of_the_image():
    image = np.zeros((32, 48, 3), np.uint8)
    image[:, 21:] = 200
    blurred = torch.sigmoid((torch.arange(48) - 22.5) / 2).repeat(32, 1)  # crosses a half two columns further on
    probabilities, truth = torch.stack([1 - blurred, blurred]), torch.from_numpy(image[..., 0] > 0).long()
    assert not torch.equal(probabilities.argmax(0), truth)
    assert torch.equal(keep_to_edges(probabilities, image).argmax(0), truth)


def test_the_noise_of_a_large_photograph_makes_no_specks(run):
    rows, columns = np.mgrid[:512, :512]
    scene = np.where((rows + columns > 500)[..., None], [180, 60, 40], [40, 80, 160])
    noisy = (scene + np.random.default_rng(0).normal(0, 12, scene.shape)).clip(0, 255).astype(np.uint8)
    plain = Predictor.load(run, device="cpu")  # of a network that sees 32x32
    edges = plain.improved(edges=True, mirror=True)

    def changes(mask):
        return (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()

    assert changes(edges(noisy)) <= 1.5 * changes(plain(noisy)) + 100


def test_masks_are_improved_as_asked(run, photos, tmp_path):
    plain, image = Predictor.load(run, device="cpu"), read(photos["sub/b"])
    assert plain.improved() == plain
    both = plain.improved(mirror=True)
    found, mirrored = both.probabilities(image), both.probabilities(image[:, ::-1].copy())
    assert torch.allclose(found, mirrored.flip(2), atol=1e-6), "the mirror image has the mirror mask"
    assert torch.allclose(found, (plain.probabilities(image) + _flipped(plain, image)) / 2, atol=1e-6)
    edges = plain.improved(edges=True)
    assert torch.equal(edges.probabilities(image), keep_to_edges(plain.probabilities(image), image))
    assert edges.probabilities(photos["a"]).shape == plain.probabilities(photos["a"]).shape
    assert len({each.digest for each in (plain, both, edges, plain.improved(edges=True, mirror=True))}) == 4
    assert both.improved().digest == plain.digest and both.improved(edges=True) == edges, "what was asked last counts"
    assert [predict_folder(each, photos, tmp_path / "out") for each in (plain, edges, edges, both)] == [2, 2, 0, 2]


def test_a_kill_between_overlay_and_mask_leaves_no_pair_of_two_heads(run, photos, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    first, last = (Predictor.load(run, round_number=number, device="cpu") for number in range(2))
    predict_folder(first, photos, folder)
    overlay = (folder / "overlays" / "a.jpg").read_bytes()

    def killed(path, content):
        if path.suffix == ".png":
            raise KeyboardInterrupt
        path.write_bytes(content)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("pixelherd.results.prediction.masks.write_bytes", killed)
        predict_folder(last, photos, folder)
    assert (folder / "overlays" / "a.jpg").read_bytes() != overlay
    assert predict_folder(first, photos, folder) == 1
    assert (folder / "overlays" / "a.jpg").read_bytes() == overlay


def _flipped(predictor, image):
    return predictor.probabilities(np.ascontiguousarray(image[:, ::-1])).flip(2)
