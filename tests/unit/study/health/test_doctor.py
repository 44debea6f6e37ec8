"""The doctor: what it finds in a study that is well, and in one for each thing that is not."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelherd.datasets.originals import Digests, look, remember
from pixelherd.datasets.prepare import prepare
from pixelherd.errors import UserError
from pixelherd.features.backbones.diffusion.architecture import Architecture
from pixelherd.study import plan
from pixelherd.study.health import doctor
from pixelherd.study.health.inspection import SAMPLED
from pixelherd.study.study import Study


@pytest.fixture
def content(settings, tmp_path):
    """The tiny study on images of a folder, six for training and three for testing, with a backbone of its own."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 3)):
        for part in ("images", "masks"):
            (tmp_path / "raw" / split / part).mkdir(parents=True)
        for number in range(count):
            size = (40, 50 + number)
            Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(
                tmp_path / "raw" / split / "images" / f"{number}.png"
            )
            Image.fromarray(rng.choice(np.array([0, 1, 255], np.uint8), size)).save(
                tmp_path / "raw" / split / "masks" / f"{number}.png"
            )
    content = copy.deepcopy(settings)
    parts = {f"{split}_{part}": f"{split}/{part}" for split in ("train", "test") for part in ("images", "masks")}
    content["datasets"] = {
        "mine": {"kind": "folder", "root": str(tmp_path / "raw"), "size": [32, 32], **parts}
        | {"classes": [{"name": "wall"}, {"name": "floor"}]}
    }
    shutil.copytree(content["features"]["ddpm"]["backbone"], tmp_path / "backbone")
    content["features"]["ddpm"]["backbone"] = str(tmp_path / "backbone")
    return content | {"cache": str(tmp_path / "cache"), "device": "cpu"}


def examine(content) -> dict[tuple[str, str], doctor.Check]:
    return {(each.subject, each.aspect): each for each in doctor.examine(Study.read(content))}


def wrong(content) -> dict[tuple[str, str], doctor.Check]:
    return {place: each for place, each in examine(content).items() if each.status == "wrong"}


def test_a_study_that_is_well(content):
    checks = examine(content)
    assert {place: each.status for place, each in checks.items()} == {
        ("datasets.mine", "files"): "ok",
        ("datasets.mine", "images"): "ok",
        ("datasets.mine", "labels"): "ok",
        ("features.ddpm", "backbone"): "ok",
        ("features.ddpm", "timesteps"): "ok",
        ("features.ddpm", "time on mine"): "note",
        ("features.ddpm", "blocks"): "ok",
        ("budgets", "3"): "ok",
        ("cache", "disk"): "ok",
        ("device", "cpu"): "note",
    }
    assert checks["datasets.mine", "files"].detail == "6 training, 3 test images"
    assert "6 sizes from 50x40 to 55x40 in a sample of 9, prepared at 32x32" in checks["datasets.mine", "images"].detail
    assert checks["datasets.mine", "labels"].detail.startswith("in range; 2 classes")
    assert checks["datasets.mine", "labels"].detail.endswith("33.4% of its pixels ignored (value 255: 33.4%)")
    assert "4 blocks" in checks["features.ddpm", "backbone"].detail
    study = Study.read(content)
    forwards = sum(item.forwards for item in plan.items(study, {"mine": {"train": 6, "test": 3}}))
    assert (
        f"s an evaluation of the network here, on cpu; {forwards} of them"
        in checks["features.ddpm", "time on mine"].detail
    )
    assert "D = 48" in checks["features.ddpm", "blocks"].detail
    assert checks["budgets", "3"].detail == "3 pixels a round for mine's 6 training images"
    doctor.verdict(list(checks.values()))
    table = doctor.table(checks.values()).splitlines()
    assert len(table) == 2 + len(checks) and "how to mend" in table[0]
    assert not Path(content["cache"]).exists(), "nothing is written"


def test_what_is_stored_is_not_needed_again(content):
    needed = examine(content)["cache", "disk"].detail
    assert "(0 B stored already)" in needed
    study = Study.read(content)
    folder = Path(study.paths.dataset.format(dataset="mine", address="0123456789ab")).parent
    prepare(study.datasets["mine"], folder, progress=False)
    stored = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert f"({doctor.readable(stored)} stored already)" in examine(content)["cache", "disk"].detail
    for kind in ("features", "draw_maps", "lists", "draws"):
        file = Path(content["cache"]) / kind / "mine" / "ddpm" / "shard" / "array.npy"
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes(10**7))
    assert f"({doctor.readable(stored + 4 * 10**7)} stored already)" in examine(content)["cache", "disk"].detail
    mine, record = study.datasets["mine"], Path(study.paths.originals.format(dataset="mine"))
    remember(mine, record, look(mine, record, Digests(Path(study.paths.digests)))[0])
    shutil.rmtree(content["datasets"]["mine"]["root"])
    checks = examine(content)
    assert checks["datasets.mine", "files"].status == "note" and not wrong(content)


def remove_root(content, root):
    shutil.rmtree(root)


def remove_mask(content, root):
    (root / "train" / "masks" / "2.png").unlink()


def empty(content, root):
    for path in root.glob("train/*/*"):
        path.unlink()


def unlabel(content, root):
    content["datasets"]["mine"].pop("train_masks")


def truncate(content, root):
    path = root / "test" / "images" / "1.png"
    path.write_bytes(path.read_bytes()[:100])


def resize(content, root):
    Image.new("L", (9, 9)).save(root / "test" / "masks" / "1.png")


def add_value(content, root):
    Image.new("L", (51, 40), 7).save(root / "test" / "masks" / "1.png")


def void(content, root):
    for path in root.glob("*/masks/*.png"):
        Image.new("L", (50 + int(path.stem), 40), 255).save(path)


def double(content, root):
    for path in root.glob("*/masks/*.png"):
        with Image.open(path) as image:
            values = np.asarray(image)
        Image.fromarray(np.where(values == 1, 255, 0).astype(np.uint8)).save(path)


def count_from_one(content, root):
    content["datasets"]["mine"]["unlisted"] = "ignore"
    for path in root.glob("*/masks/*.png"):
        with Image.open(path) as image:
            values = np.asarray(image)
        Image.fromarray(np.where(values == 255, 255, values + 1).astype(np.uint8)).save(path)


def shuffle_palettes(content, root):
    for number, path in enumerate(sorted(root.glob("*/masks/*.png"))):
        with Image.open(path) as image:
            image = image.point(lambda value: min(value, 1))
        image.putpalette([0, 0, 0, 9, 9, 9] if number % 2 else [9, 9, 9, 0, 0, 0])
        image.save(path)


def remove_backbone(content, root):
    shutil.rmtree(root.parent / "backbone")


def damage_weights(content, root):
    path = root.parent / "backbone" / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def change_architecture(content, root):
    path = root.parent / "backbone" / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"layers_per_block": 2}))


def ask_timestep(content, root):
    content["features"]["ddpm"]["timesteps"] = [50, 1000]


def ask_block(content, root):
    content["features"]["ddpm"]["blocks"] = [0, 4]


def ask_nothing(content, root):
    content["budgets"] = [0.01]


def ask_much(content, root):
    content["budgets"] = [999]


def ask_device(content, root):
    content["device"] = "gpu"


@pytest.mark.parametrize(
    ("spoil", "place", "detail", "mend"),
    [
        (remove_root, ("datasets.mine", "files"), "raw does not exist", "set `root`"),
        (remove_mask, ("datasets.mine", "files"), "has no mask", "add it or remove the image"),
        (empty, ("datasets.mine", "files"), "the train split has no images", "add some"),
        (unlabel, ("datasets.mine", "files"), "the training images have no masks", "give `train_masks`"),
        (truncate, ("datasets.mine", "images"), "1.png is unreadable or truncated", "replace it"),
        (resize, ("datasets.mine", "images"), "is 51x40 but its mask", "replace the one"),
        (add_value, ("datasets.mine", "images"), "holds value 7", "add it to a class"),
        (void, ("datasets.mine", "labels"), "no labelled pixel", "right masks"),
        (double, ("datasets.mine", "labels"), "is of class 'floor', but value 255", "`values: 255` for 'floor'"),
        (count_from_one, ("datasets.mine", "labels"), "seem to count from 1", "`values: 1` for 'wall'"),
        (shuffle_palettes, ("datasets.mine", "labels"), "palettes that contradict", "`masks: colours`"),
        (remove_backbone, ("features.ddpm", "backbone"), "no backbone folder", "diffusers folder"),
        (damage_weights, ("features.ddpm", "backbone"), "cannot load the weights", "fetch or convert"),
        (change_architecture, ("features.ddpm", "backbone"), "cannot load the weights", "of another architecture"),
        (ask_timestep, ("features.ddpm", "timesteps"), "no timestep 1000", "choose from 0 to 999"),
        (ask_block, ("features.ddpm", "blocks"), "no block 4", "choose from 0 to 3"),
        (ask_nothing, ("budgets", "0.01"), "is no pixel", "larger budget"),
        (ask_much, ("budgets", "999"), "offer it", "lower `budgets`"),
        (ask_device, ("device", "gpu"), "'gpu' is not available here", "`device: auto`"),
    ],
)
@pytest.mark.hostile("own images, masks and lists")
def test_what_is_wrong_is_named_with_its_mend(content, spoil, place, detail, mend):
    spoil(content, Path(content["datasets"]["mine"]["root"]))
    checks = wrong(content)
    assert detail in checks[place].detail and mend in checks[place].mend
    with pytest.raises(UserError, match="checks failed: ") as caught:
        doctor.verdict(list(checks.values()))
    assert f"{place[0]} ({place[1]})" in str(caught.value) and "\n" not in str(caught.value)


def test_what_was_left_out_and_what_no_mask_holds_is_noted(content):
    root = Path(content["datasets"]["mine"]["root"])
    images = root / "train" / "images"
    (images / "IMG_1.HEIC").write_bytes(b"?")
    (images / "@eaDir").mkdir()
    Image.new("RGB", (9, 9)).save(images / "@eaDir" / "thumbnail.png")
    (images / "far.png").symlink_to(root / "nothing.png")
    content["datasets"]["mine"]["classes"].append({"name": "lamp"})
    with Image.open(images / "0.png") as image:
        exif = image.getexif()
        exif[0x0112] = 3
        image.save(images / "0.png", exif=exif)
    notes = {
        (each.aspect, each.detail): each.mend
        for each in doctor.examine(Study.read(content))
        if each.subject == "datasets.mine" and each.status == "note"
    }
    assert not wrong(content)
    for aspect, detail, mend in (
        ("files", "1 .heic", "convert them"),
        ("files", "@eaDir", ""),
        ("files", "links to nothing", "mend or remove"),
        ("orientation", "1 image is turned", "look whether"),
        ("classes", "is of class 'lamp', while value 255", "look whether `classes`"),
    ):
        [found] = [mended for (kind, told), mended in notes.items() if kind == aspect and detail in told]
        assert mend in found
    assert examine(content)["datasets.mine", "labels"].detail.startswith("in range; 2 classes in the sample (not lamp)")


def test_a_sample_that_looks_wrong_is_no_more_than_noted(content):
    """Other images may have the class that the sample lacks."""
    root = Path(content["datasets"]["mine"]["root"])
    double(content, root)
    for number in range(SAMPLED):
        for part in ("images", "masks"):
            shutil.copy(root / "train" / part / "0.png", root / "train" / part / f"more-{number}.png")
    check = examine(content)["datasets.mine", "labels"]
    assert check.status == "note" and "but value 255" in check.detail


def test_a_disk_that_is_too_small(content, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    check = wrong(content)["cache", "disk"]
    assert "1 kB free" in check.detail and "`maps` or `draw_maps` to `recompute`" in check.mend


def test_a_benchmark_that_is_not_whole(content, tmp_path):
    for split in ("train", "test"):
        for folder in (split, f"{split}annot"):
            (tmp_path / "camvid" / folder).mkdir(parents=True)
            Image.new("L", (48, 36), 3).save(tmp_path / "camvid" / folder / "a.png")
        (tmp_path / "camvid" / f"{split}.txt").write_text(f"/x/{split}/a.png /x/{split}annot/a.png\n")
    content["datasets"]["camvid"] = {"kind": "camvid", "root": str(tmp_path / "camvid"), "size": [32, 32]}
    check = examine(content)["datasets.camvid", "files"]
    assert check.status == "note"
    assert check.detail == "1 training, 1 test images; 367 training, 233 test images expected"


def test_a_backbone_that_the_study_trains(content):
    content["pretraining"] = {
        "small": {"dataset": "mine", "size": [32, 32], "steps": 1, "channels": [8, 16], "groups": 4, "head_dim": 8}
        | {"attention": []}
    }
    content["features"]["ddpm"]["backbone"] = {"pretrain": "small"}
    check = examine(content)["features.ddpm", "backbone"]
    assert (check.status, check.detail) == ("note", "this study trains small first")
    assert not wrong(content)
    content["features"]["ddpm"]["timesteps"] = [1000]
    assert ("features.ddpm", "timesteps") in wrong(content)


@pytest.fixture
def adm(content, tmp_path):
    """The study with a checkpoint of guided-diffusion."""
    options = {"image_size": 32, "num_channels": 32, "channel_mult": [1, 2], "num_res_blocks": 1, "num_heads": 1}
    options["attention_resolutions"] = []
    state_dict = {}
    for layer in Architecture.read(options).layers():
        state_dict[f"{layer.source}.weight"] = torch.zeros(layer.shape)
        state_dict[f"{layer.source}.bias"] = torch.zeros(layer.shape[:1])
    torch.save(state_dict, tmp_path / "adm.pt")
    backbone = {"checkpoint": str(tmp_path / "adm.pt"), "architecture": options}
    content["features"]["ddpm"]["backbone"] = backbone
    return content


def test_a_checkpoint_of_guided_diffusion(adm):
    checks = examine(adm)
    assert not wrong(adm)
    assert checks["features.ddpm", "backbone"].status == "ok"
    assert "adm.pt" in checks["features.ddpm", "backbone"].detail
    adm["features"]["ddpm"]["timesteps"] = [1000]
    assert ("features.ddpm", "timesteps") in wrong(adm)


def test_a_checkpoint_that_is_not_there(adm, tmp_path):
    (tmp_path / "adm.pt").unlink()
    check = wrong(adm)["features.ddpm", "backbone"]
    assert "there is no checkpoint" in check.detail and "put the file there" in check.mend
    adm["features"]["ddpm"]["backbone"]["url"] = "https://example.org/adm.pt"
    check = examine(adm)["features.ddpm", "backbone"]
    assert check.status == "note" and "will be downloaded from https://example.org/adm.pt" in check.detail
    assert not wrong(adm) and not (tmp_path / "adm.pt").exists()


def test_a_checkpoint_of_another_architecture(adm, tmp_path):
    adm["features"]["ddpm"]["backbone"]["architecture"]["num_channels"] = 64
    check = wrong(adm)["features.ddpm", "backbone"]
    assert "does not fit the architecture" in check.detail
    (tmp_path / "adm.pt").write_bytes(b"PK nothing")
    assert "truncated or damaged" in wrong(adm)["features.ddpm", "backbone"].detail
