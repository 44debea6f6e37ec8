"""The paper's benchmarks, each from a small tree in its official layout and encoding."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from scipy.io import savemat

from pixelherd.datasets.benchmarks.published import published
from pixelherd.datasets.dataset import Dataset, OriginalLabels
from pixelherd.datasets.prepare import classes_of, prepare, write_original_labels
from pixelherd.datasets.settings import DatasetSettings
from pixelherd.errors import UserError
from pixelherd.storage.stores import read_manifest
from unit.datasets.numbers import counts
from unit.datasets.test_prepare import write_camvid
from unit.places import SHARED

KINDS = ("camvid", "cityscapes", "ade_bed", "pascal_context")


def settings_of(kind: str, root: Path, **more):
    return TypeAdapter(DatasetSettings).validate_python({"kind": kind, "root": str(root), **more})


def prepared(settings, folder: Path) -> Dataset:
    prepare(settings, folder, progress=False)
    return Dataset.open(folder)


def image(rng: np.random.Generator, path: Path, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)


def nearest(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST))


def mapped(raw: np.ndarray, ids) -> np.ndarray:
    """Labels of raw numbers, one class at a time."""
    labels = np.full(raw.shape, 255, np.uint8)
    for label, number in enumerate(ids):
        labels[raw == number] = label
    return labels


@pytest.mark.skipif(not (SHARED / "facts").is_dir(), reason="the facts are not there; set PIXELHERD_SHARED")
@pytest.mark.parametrize(
    ("kind", "key"),
    [("camvid", "value"), ("cityscapes", "label_id"), ("ade_bed", "ade150"), ("pascal_context", "context_id")],
)
def test_the_data_files_hold_the_facts(kind, key):
    facts = yaml.safe_load((SHARED / "facts" / "datasets.yaml").read_text())[kind]
    found = published(kind)
    assert len(found.classes) == facts["classes"]
    for info, number, entry in zip(found.classes, found.ids, facts["labels"], strict=True):
        assert (info.name, list(info.colour), number) == (entry["name"], entry["colour"], entry[key])
    if "train" in facts:
        assert found.images == {"train": facts["train"], "test": facts["test"]}


@pytest.mark.parametrize("kind", KINDS)
def test_classes_can_be_told_apart(kind):
    found = published(kind)
    assert len({info.slug for info in found.classes}) == len({info.colour for info in found.classes})
    assert len(set(found.ids)) == len(found.ids) == len(found.classes)
    assert sorted(set(found.table.values())) == [*range(len(found.classes)), 255]


@pytest.fixture
def camvid(tmp_path):
    write_camvid(tmp_path / "raw")
    return tmp_path / "raw", None


# Cityscapes

CITIES = {"train": ("aachen", "ulm"), "val": ("munster",)}
SIZE = (64, 128)


def write_cityscapes(root: Path) -> dict[str, np.ndarray]:
    """Two training images in each of two cities and one validation image, label ids 0–33; gives the ids by name."""
    rng = np.random.default_rng(0)
    to_train = {number: label for label, number in enumerate(published("cityscapes").ids)}
    found = {}
    for split, cities in CITIES.items():
        for city in cities:
            for frame in range(2 if split == "train" else 1):
                name = f"{city}_{frame:06}_000019"
                image(rng, root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", SIZE)
                ids = found[name] = rng.integers(0, 34, SIZE).astype(np.uint8)
                ids[0, :3] = 255
                trains = np.vectorize(lambda number: to_train.get(number, 255))(ids).astype(np.uint8)
                folder = root / "gtFine" / split / city
                folder.mkdir(parents=True, exist_ok=True)
                for kind, values in (("labelIds", ids), ("labelTrainIds", trains), ("instanceIds", ids)):
                    Image.fromarray(values).save(folder / f"{name}_gtFine_{kind}.png")
                (folder / f"{name}_gtFine_polygons.json").write_text("{}")
    (root / "leftImg8bit" / "test" / "berlin").mkdir(parents=True)
    return found


@pytest.fixture
def cityscapes(tmp_path):
    root = tmp_path / "raw"
    return root, write_cityscapes(root)


@pytest.mark.parametrize("labels", ["labelIds", "labelTrainIds"])
def test_cityscapes_is_resized_and_cropped(cityscapes, tmp_path, labels):
    root, ids = cityscapes
    settings = settings_of("cityscapes", root, size=[24, 32], resize=[32, 64], labels=labels)
    assert counts(settings) == {"train": 4, "test": 1}
    dataset = prepared(settings, tmp_path / "out")
    assert dataset.train.ids == [f"{city}_{frame:06}_000019" for city in ("aachen", "ulm") for frame in range(2)]
    assert dataset.test.ids == ["munster_000000_000019"] and len(classes_of(settings)) == 19
    for number, name in enumerate(dataset.train.ids):
        path = root / "leftImg8bit" / "train" / name.split("_")[0] / f"{name}_leftImg8bit.png"
        with Image.open(path) as picture:
            expected = np.asarray(picture.resize((64, 32), Image.Resampling.BILINEAR))[4:28, 16:48]
        assert np.array_equal(dataset.train.images[number], expected)
        labels_of = mapped(nearest(ids[name], (32, 64)), published("cityscapes").ids)
        assert np.array_equal(dataset.train.labels[number], labels_of[4:28, 16:48])


@pytest.mark.parametrize(
    ("size", "resize"), [((256, 256), (256, 512)), ((128, 512), (256, 512)), ((100, 251), (126, 252))]
)
def test_cityscapes_keeps_its_shape_unless_told(size, resize):
    settings = settings_of("cityscapes", Path("absent"), size=size)
    assert tuple(settings.resize) == resize
    assert settings_of("cityscapes", Path("absent")).size == (256, 256)
    with pytest.raises(ValidationError, match="nothing to crop"):
        settings_of("cityscapes", Path("absent"), size=size, resize=[99, 999])


# ADE-Bed


def class_names(kind: str) -> dict[int, str]:
    """Names of the classes by their numbers in the raw masks."""
    found = published(kind)
    return dict(zip(found.ids, (info.name for info in found.classes), strict=True))


PUBLISHED_NAMES = {  # as they stand in the file, blanks included
    4: "floor, flooring",
    8: "bed ",
    9: "windowpane, window ",
    15: "door, double door",
    18: "plant, flora, plant life",
    19: "curtain, drape, drapery, mantle, pall",
    23: "painting, picture",
    29: "rug, carpet, carpeting",
    36: "wardrobe, closet, press",
    43: "column, pillar",
    45: "chest of drawers, chest, bureau, dresser",
    57: "pool table, billiard table, snooker table",
    83: "light, light source",
    90: "television, television receiver, television set, tv, tv set, idiot box, boob tube, telly, goggle box",
}


def write_object_info(path: Path, changes: dict[int, str] | None = None, stuff: bool = False) -> None:
    """The 150 rows of ``objectInfo150.txt``: tabs, several names in a column, and a blank behind some numbers."""
    lines = ["\t".join(["Idx", "Ratio", "Train", "Val", *(["Stuff"] if stuff else []), "Name"])]
    names = class_names("ade_bed") | PUBLISHED_NAMES | (changes or {})
    for number in range(1, 151):
        name = names.get(number, f"thing {number}")
        index = f"{number} " if number in (22, 24, 25, 26, 27) else str(number)
        lines.append("\t".join([index, f"{1 / number:.4f}", "100", "10", *(["1"] if stuff else []), name]))
    path.write_text("\n".join(lines) + "\n")


def write_challenge(root: Path) -> dict[str, np.ndarray]:
    """Two training bedrooms and one for validation among other scenes; gives the object numbers by name."""
    rng = np.random.default_rng(1)
    scenes = {
        "ADE_train_00000001": "airport_terminal",
        "ADE_train_00000203": "bedroom",
        "ADE_train_00000102": "bedroom",
        "ADE_train_00000300": "childs_room",
        "ADE_val_00000001": "bedroom",
        "ADE_val_00000002": "abbey",
    }
    root.mkdir(parents=True)
    (root / "sceneCategories.txt").write_text("".join(f"{name} {scene}\n" for name, scene in scenes.items()))
    write_object_info(root / "objectInfo150.txt")
    found = {}
    for position, name in enumerate(scenes):
        folder = "training" if "train" in name else "validation"
        size = (30 + position, 44)
        path = root / "images" / folder / f"{name}.jpg"
        image(rng, path, size)
        numbers = found[name] = rng.integers(0, 151, size).astype(np.uint8)
        mask = root / "annotations" / folder / f"{name}.png"
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(numbers).save(mask)
    return found


def write_archive(root: Path) -> dict[str, np.ndarray]:
    """Three training images and two test images of 32x32 beside arrays of 0..29 and 255; gives the arrays by name."""
    rng = np.random.default_rng(2)
    found = {}
    for split, names in (("train", ("b", "a", "c")), ("test", ("a", "d"))):
        for name in names:
            path = root / "real" / split / f"{name}.jpg"
            image(rng, path, (32, 32))
            labels = rng.choice(np.array([*range(30), 255], np.uint8), (32, 32))
            found[f"{split}/{name}"] = labels
            np.save(path.with_suffix(".npy"), labels)
    return found


@pytest.fixture
def challenge(tmp_path):
    root = tmp_path / "ADEChallengeData2016"
    return root, write_challenge(root)


@pytest.fixture
def archive(tmp_path):
    root = tmp_path / "raw"
    return root, write_archive(root)


@pytest.mark.parametrize("stuff", [False, True])
def test_bedrooms_are_built_from_ade20k(challenge, tmp_path, stuff):
    root, numbers = challenge
    write_object_info(root / "objectInfo150.txt", stuff=stuff)
    settings = settings_of("ade_bed", root, layout="challenge", size=[16, 24])
    dataset = prepared(settings, tmp_path / "out")
    assert dataset.train.ids == ["ADE_train_00000102", "ADE_train_00000203"]
    assert dataset.test.ids == ["ADE_val_00000001"] and len(classes_of(settings)) == 30
    for number, name in enumerate(dataset.train.ids):
        expected = nearest(mapped(numbers[name], published("ade_bed").ids), (16, 24))
        assert np.array_equal(dataset.train.labels[number], expected)


def test_bedrooms_come_in_the_archive_of_the_authors(archive, tmp_path):
    root, labels = archive
    dataset = prepared(settings_of("ade_bed", root, size=[32, 32]), tmp_path / "out")
    assert dataset.train.ids == ["a", "b", "c"] and dataset.test.ids == ["a", "d"]
    for split in ("train", "test"):
        for number, name in enumerate(getattr(dataset, split).ids):
            assert np.array_equal(getattr(dataset, split).labels[number], labels[f"{split}/{name}"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({9: "window"}, r"objectInfo150\.txt: windowpane is not listed, and should have 9; get it again"),
        ({9: "x", 60: "stairway, windowpane"}, r"windowpane has the number 60, and should have 9"),
    ],
)
def test_objects_are_found_by_name_and_their_numbers_checked(challenge, changes, message):
    root, _ = challenge
    write_object_info(root / "objectInfo150.txt", changes)
    with pytest.raises(UserError, match=message):
        counts(settings_of("ade_bed", root, layout="challenge"))


# Pascal-Context


def write_pascal_context(root: Path) -> dict[str, np.ndarray]:
    """Two training and two validation images with ids 0–459, and an image of VOC without a map; gives ids by name."""
    rng = np.random.default_rng(3)
    devkit = root / "VOCdevkit" / "VOC2010"
    lists = devkit / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (root / "trainval").mkdir()
    found = {}
    for split, names in (("train", ("2008_000015", "2008_000002")), ("val", ("2008_000003", "2009_000001"))):
        (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            image(rng, devkit / "JPEGImages" / f"{name}.jpg", (37, 50))
            ids = found[name] = rng.integers(0, 460, (37, 50)).astype(np.uint16)
            ids[5:9, 5:9] = 397
            savemat(root / "trainval" / f"{name}.mat", {"LabelMap": ids}, do_compression=True)
    image(rng, devkit / "JPEGImages" / "2010_000001.jpg", (37, 50))
    return found


@pytest.fixture
def pascal_context(tmp_path):
    root = tmp_path / "raw"
    return root, write_pascal_context(root)


def write_label_names(path: Path, changes: dict[int, str] | None = None) -> None:
    names = class_names("pascal_context") | (changes or {})
    path.write_text("".join(f"{number}: {names.get(number, f'thing{number}')}\n" for number in range(1, 460)))


PASCAL_IDS = published("pascal_context").ids


def test_pascal_context_reads_label_maps(pascal_context, tmp_path):
    root, ids = pascal_context
    write_label_names(root / "labels.txt")
    settings = settings_of("pascal_context", root, size=[32, 32])
    assert counts(settings) == {"train": 2, "test": 2}
    dataset = prepared(settings, tmp_path / "out")
    assert dataset.train.ids == ["2008_000015", "2008_000002"] and len(classes_of(settings)) == 33
    assert dataset.test.ids == ["2008_000003", "2009_000001"]
    for split in (dataset.train, dataset.test):
        for number, name in enumerate(split.ids):
            assert np.array_equal(split.labels[number], nearest(mapped(ids[name], PASCAL_IDS), (32, 32)))
    assert (dataset.train.labels[0] == 10).any(), "397 is table"


@pytest.mark.parametrize("place", ["labels.txt", "trainval/labels.txt"])
def test_ids_are_checked_against_labels_txt(pascal_context, place):
    root, _ = pascal_context
    write_label_names(root / place, {397: "tabel"})
    with pytest.raises(UserError, match=r"labels\.txt: id 397 is 'tabel' and should be 'table'"):
        counts(settings_of("pascal_context", root))


# Mistakes


def unlink(*paths):
    return lambda root: [(root / path).unlink() for path in paths]


def truncate(path):
    return lambda root: (root / path).write_bytes((root / path).read_bytes()[:200])


def move(path, to):
    return lambda root: (root / path).rename(root / to)


def write(path, content):
    def spoil(root):
        if isinstance(content, str):
            (root / path).write_text(content)
        elif path.endswith(".npy"):
            np.save(root / path, content)
        elif path.endswith(".mat"):
            savemat(root / path, content if isinstance(content, dict) else {"LabelMap": content})
        else:
            Image.fromarray(content).save(root / path)

    return spoil


def no_ids(root):
    for path in (root / "gtFine" / "val").glob("*/*_labelIds.png"):
        path.unlink()


def only_void(root):
    for path in (root / "gtFine" / "train").glob("*/*_labelIds.png"):
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(path)


CAMVID_MISTAKES = [
    (unlink("test/test0.png"), r"test/test0\.png, listed in .*test\.txt, line 1, is missing; get it again from github"),
    (unlink("trainannot/train1.png"), r"trainannot/train1\.png, listed in .*train\.txt, line 2, is missing"),
    (truncate("train/train1.png"), r"image .*train/train1\.png is unreadable or truncated"),
    (truncate("trainannot/train1.png"), r"mask .*trainannot/train1\.png is unreadable or truncated"),
    (write("testannot/test0.png", np.zeros((36, 47), np.uint8)), r"test0\.png is 48x36 but its mask .* is 47x36"),
    (write("testannot/test0.png", np.full((36, 48), 12, np.uint8)), r"test0\.png holds value 12 \(row 0, column 0\)"),
    (write("train.txt", "train/train0.png\n"), r"train\.txt, line 1: must hold an image and its annotation"),
    (write("test.txt", "\n"), r"the test split has no images"),
    (unlink("test.txt"), r"test\.txt is missing, so .* is not the CamVid of github"),
]
CITY_IMAGE = "leftImg8bit/train/ulm/ulm_000001_000019_leftImg8bit.png"
CITY_MASK = "gtFine/train/ulm/ulm_000001_000019_gtFine_labelIds.png"
ADE_MASK = "annotations/training/ADE_train_00000203.png"
ADE_IMAGE = "images/training/ADE_train_00000203.jpg"
VOC = "VOCdevkit/VOC2010"
CITY_MISTAKES = [
    (unlink(CITY_IMAGE), r"mask .*ulm_000001_000019_gtFine_labelIds\.png has no image .*ulm/ulm_000001_000019_leftImg"),
    (unlink(CITY_MASK), r"image .*ulm_000001_000019_leftImg8bit\.png has no mask .*ulm/ulm_000001_000019_gtFine_label"),
    (truncate(CITY_IMAGE), r"image .*ulm_000001_000019_leftImg8bit\.png is unreadable or truncated"),
    (truncate(CITY_MASK), r"mask .*ulm_000001_000019_gtFine_labelIds\.png is unreadable or truncated"),
    (write(CITY_MASK, np.zeros((32, 64), np.uint8)), r"leftImg8bit\.png is 128x64 but its mask .* is 64x32"),
    (
        write(CITY_MASK, np.full(SIZE, 34, np.uint8)),
        r"labelIds\.png holds value 34 \(row 0, column 0\).*cityscapes-data",
    ),
    (no_ids, r"val holds no \*/\*_gtFine_labelIds\.png; it holds labelTrainIds, so set `labels: labelTrainIds`"),
    (move("gtFine", "gtCoarse"), r"gtFine/train is missing, so .* is not the Cityscapes of www"),
    (move("leftImg8bit/val", "leftImg8bit/validation"), r"leftImg8bit/val is missing"),
    (only_void, r"the train split has no labelled pixel"),
]
CHALLENGE_MISTAKES = [
    (unlink(ADE_IMAGE), r"mask .*ADE_train_00000203\.png has no image .*ADE_train_00000203\.jpg"),
    (unlink(ADE_MASK), r"image .*ADE_train_00000203\.jpg has no mask .*annotations/training/ADE_train_00000203\.png"),
    (unlink(ADE_IMAGE, ADE_MASK), r"ADE_train_00000203\.jpg, listed in sceneCategories\.txt, is missing"),
    (truncate(ADE_IMAGE), r"image .*ADE_train_00000203\.jpg is unreadable or truncated"),
    (write(ADE_MASK, np.zeros((9, 9), np.uint8)), r"00203\.jpg is 44x31 but its mask .* is 9x9"),
    (
        write(ADE_MASK, np.full((31, 44), 151, np.uint8)),
        r"holds value 151 \(row 0, column 0\).*ADEChallengeData2016\.zip",
    ),
    (write("sceneCategories.txt", "ADE_train_00000203 bed room\n"), r"sceneCategories\.txt, line 1: must hold a name"),
    (write("sceneCategories.txt", "ADE_train_00000203 bedroom\n"), r"the test split has no images"),
    (write("objectInfo150.txt", "1 wall\n"), r"objectInfo150\.txt does not begin with a line of columns"),
    (write("objectInfo150.txt", ""), r"objectInfo150\.txt does not begin with a line of columns"),
    (
        write("objectInfo150.txt", "Idx\tName\none\twall\n"),
        r"objectInfo150\.txt, line 2: has not the columns Idx, Name",
    ),
    (unlink("objectInfo150.txt"), r"objectInfo150\.txt is missing, so .* is not the ADE-Bed of"),
    (unlink("sceneCategories.txt"), r"sceneCategories\.txt is missing"),
]
ARCHIVE_MISTAKES = [
    (unlink("real/train/b.jpg"), r"mask .*train/b\.npy has no image .*train/b\.jpg"),
    (unlink("real/train/b.npy"), r"image .*train/b\.jpg has no mask .*train/b\.npy"),
    (truncate("real/test/d.jpg"), r"image .*test/d\.jpg is unreadable or truncated"),
    (truncate("real/test/d.npy"), r"mask .*test/d\.npy is unreadable or truncated"),
    (write("real/test/d.npy", np.full((32, 32), 30)), r"test/d\.npy holds value 30 \(row 0, column 0\)"),
    (write("real/test/d.npy", np.zeros((32, 32), np.float32)), r"test/d\.npy .* must hold one whole number per pixel"),
    (write("real/test/d.npy", np.zeros((32, 31), int)), r"d\.jpg is 32x32 but its mask .* is 31x32"),
    (move("real/test", "real/val"), r"real/test is missing, so .* is not the ADE-Bed of"),
    (unlink(*(f"real/test/{name}" for name in ("a.jpg", "a.npy", "d.jpg", "d.npy"))), r"the test split has no images"),
]
PASCAL_MISTAKES = [
    (unlink(f"{VOC}/JPEGImages/2009_000001.jpg"), r"JPEGImages/2009_000001\.jpg, listed in val\.txt, is missing"),
    (unlink("trainval/2009_000001.mat"), r"image .*2009_000001\.jpg has no mask .*trainval/2009_000001\.mat"),
    (
        write("trainval/2012_000009.mat", np.ones((4, 4), np.uint16)),
        r"mask .*2012_000009\.mat has no image .*2012_00000",
    ),
    (truncate("trainval/2009_000001.mat"), r"mask .*2009_000001\.mat is unreadable or truncated"),
    (write("trainval/2009_000001.mat", "no"), r"mask .*2009_000001\.mat is unreadable or truncated"),
    (truncate(f"{VOC}/JPEGImages/2009_000001.jpg"), r"image .*2009_000001\.jpg is unreadable or truncated"),
    (write("trainval/2009_000001.mat", {"Labels": np.ones((4, 4))}), r"2009_000001\.mat has no LabelMap of one whole"),
    (write("trainval/2009_000001.mat", np.ones((37, 50))), r"2009_000001\.mat has no LabelMap of one whole number"),
    (write("trainval/2009_000001.mat", np.full((37, 50), 460, np.uint16)), r"holds value 460 \(row 0, column 0\)"),
    (write("trainval/2009_000001.mat", np.ones((50, 37), np.uint16)), r"is 50x37 but its mask .* is 37x50"),
    (unlink(f"{VOC}/ImageSets/Main/val.txt"), r"ImageSets/Main/val\.txt is missing, so .* is not the Pascal-Context"),
    (write(f"{VOC}/ImageSets/Main/val.txt", "\n"), r"the test split has no images"),
    (
        write(f"{VOC}/ImageSets/Main/val.txt", "2009_000001\n2009_000001\n"),
        r"two test images have the id '2009_000001'",
    ),
    (move("VOCdevkit", "voc"), r"VOCdevkit/VOC2010 is missing"),
    (move("trainval", "maps"), r"trainval is missing"),
]
MISTAKES = {
    "camvid": ("camvid", {}, CAMVID_MISTAKES),
    "cityscapes": ("cityscapes", {}, CITY_MISTAKES),
    "challenge": ("ade_bed", {"layout": "challenge"}, CHALLENGE_MISTAKES),
    "archive": ("ade_bed", {}, ARCHIVE_MISTAKES),
    "pascal_context": ("pascal_context", {}, PASCAL_MISTAKES),
}


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [(name, *mistake) for name, (_, _, mistakes) in MISTAKES.items() for mistake in mistakes],
)
@pytest.mark.hostile("published data sets")
def test_mistakes_are_one_line(request, tmp_path, name, spoil, message):
    root, _ = request.getfixturevalue(name)
    kind, more, _ = MISTAKES[name]
    spoil(root)
    with pytest.raises(UserError, match=message) as caught:
        prepare(settings_of(kind, root, size=[32, 32], **more), tmp_path / "out", progress=False)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="incomplete"):
        Dataset.open(tmp_path / "out")


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_raw_folder_says_where_to_get_it(tmp_path, kind):
    with pytest.raises(
        UserError, match=r"raw folder .*absent does not exist; get it from .*, and set `root`"
    ) as caught:
        prepare(settings_of(kind, tmp_path / "absent"), tmp_path / "out")
    assert published(kind).source in str(caught.value)


@pytest.mark.parametrize(("name", "layout"), [("challenge", "archive"), ("archive", "challenge")])
def test_the_other_layout_of_bedrooms_is_recognised(request, name, layout):
    root, _ = request.getfixturevalue(name)
    with pytest.raises(UserError, match=f"set `layout: {name}`"):
        counts(settings_of("ade_bed", root, layout=layout))


# Everything that has files


@pytest.mark.parametrize("name", [name for name in MISTAKES])
def test_preparing_twice_gives_the_same_bytes(request, tmp_path, name):
    root, _ = request.getfixturevalue(name)
    kind, more, _ = MISTAKES[name]
    settings = settings_of(kind, root, size=[32, 32], evaluate_at="original", **more)
    for number in range(2):
        prepare(settings, tmp_path / str(number) / "prepared", progress=False)
        write_original_labels(settings, tmp_path / str(number) / "original")
    contents = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "0", tmp_path / "1")
    ]
    assert contents[0] == contents[1] and len(contents[0]) > 5


def test_original_labels_keep_their_size(pascal_context, tmp_path):
    root, ids = pascal_context
    write_original_labels(settings_of("pascal_context", root), tmp_path / "original")
    labels = OriginalLabels.open(tmp_path / "original")
    for number, name in enumerate(("2008_000003", "2009_000001")):
        assert np.array_equal(labels[number], mapped(ids[name], PASCAL_IDS))
    (tmp_path / "original" / "data" / "000001.png").unlink()
    with pytest.raises(UserError, match="missing or truncated"):
        OriginalLabels.open(tmp_path / "original")


def test_original_labels_are_of_the_part_that_a_crop_leaves(cityscapes, tmp_path):
    root, ids = cityscapes
    settings = settings_of("cityscapes", root, size=[24, 32], resize=[32, 64])
    write_original_labels(settings, tmp_path / "original")
    found = OriginalLabels.open(tmp_path / "original")[0]
    expected = mapped(ids["munster_000000_000019"], published("cityscapes").ids)[8:56, 32:96]
    assert np.array_equal(found, expected)
    prepared_labels = prepared(settings, tmp_path / "out").test.labels[0]
    assert np.array_equal(nearest(found, (24, 32)), prepared_labels)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "camvid").is_dir(), reason="CamVid is not there; set PIXELHERD_SHARED")
def test_the_real_camvid_keeps_its_class_frequencies(tmp_path):
    settings = settings_of("camvid", SHARED / "camvid")
    datasets = [prepared(settings, tmp_path / str(number)) for number in range(2)]
    for split, images in {"train": 367, "test": 233}.items():
        annotations = sorted((SHARED / "camvid" / f"{split}annot").glob("*.png"))
        assert len(annotations) == images
        raw = np.zeros(12)
        for path in annotations:
            with Image.open(path) as mask:
                raw += np.bincount(np.asarray(mask).ravel(), minlength=12)
        found = np.bincount(getattr(datasets[0], split).labels[:].ravel(), minlength=256)[[*range(11), 255]]
        assert np.abs(found / found.sum() - raw / raw.sum()).max() < 0.001
    first, second = (read_manifest(tmp_path / str(number)) for number in range(2))
    assert first == second, "the manifest holds the checksum of every file"


def test_where_predictions_are_compared_does_not_change_what_is_prepared(cityscapes):
    root, _ = cityscapes
    here, there = (settings_of("cityscapes", root, evaluate_at=place) for place in ("prepared", "original"))
    assert here.preparation() == there.preparation() != settings_of("cityscapes", root, size=[64, 64]).preparation()
