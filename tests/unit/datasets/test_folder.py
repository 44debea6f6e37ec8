"""A user's own images and masks as people have them: never silently wrong, never refused where plainly fine."""

import os
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from pixelherd.datasets import samples as raw
from pixelherd.datasets.dataset import Dataset
from pixelherd.datasets.prepare import prepare, samples_of
from pixelherd.datasets.readers.own import doubts
from pixelherd.datasets.readers.own.listing import listing
from pixelherd.datasets.settings import FolderSettings
from pixelherd.errors import UserError
from unit.datasets.numbers import counts

SIZE = (16, 24)  # height, width
CLASSES = [{"name": "ground"}, {"name": "thing"}]
ORIENTATION = 0x0112


def own(root: Path, masked: bool = True, **changes) -> FolderSettings:
    fields = {"kind": "folder", "root": str(root), "size": SIZE, "train_images": "images", "classes": CLASSES}
    return FolderSettings(**fields | ({"train_masks": "masks"} if masked else {}) | changes)


def write(path: Path, content, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = content if isinstance(content, Image.Image) else Image.fromarray(content)
    image.save(path, **options)
    return path


def labels(number: int = 0, values=(0, 1)) -> np.ndarray:
    """A mask with many pixels of each value."""
    return np.random.default_rng(number).choice(np.array(values, np.uint8), SIZE)


def picture(number: int = 0, size=SIZE) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)


@pytest.fixture
def root(tmp_path):
    """Two images with masks of 0 and 1."""
    for number, name in enumerate("ab"):
        write(tmp_path / f"raw/images/{name}.png", picture(number))
        write(tmp_path / f"raw/masks/{name}.png", labels(number))
    return tmp_path / "raw"


def prepared(settings: FolderSettings) -> np.ndarray:
    prepare(settings, Path(settings.root).parent / "out", progress=False)
    return np.asarray(Dataset.open(Path(settings.root).parent / "out").train.labels[:])


def refused(settings: FolderSettings) -> str:
    with pytest.raises(UserError) as caught:
        prepare(settings, Path(settings.root).parent / "refused", progress=False)
    with pytest.raises(UserError, match="incomplete"):
        Dataset.open(Path(settings.root).parent / "refused")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def masks_of(root: Path, *values: int) -> None:
    for number, name in enumerate("ab"):
        write(root / f"masks/{name}.png", labels(number, values))


# Values that no class has, beside classes that have no pixel


THREE = [*CLASSES, {"name": "other"}]


@pytest.mark.parametrize(
    ("values", "changes", "told"),
    [
        ((0, 255), {}, "is of class 'thing', but value 255 has .* write `values: 255` for 'thing', or `ignore: .255.`"),
        ((0, 128), {"unlisted": "ignore"}, "'thing', but value 128 .* write `values: 128` for 'thing'"),
        ((0, 255), {"classes": THREE}, "is of class 'thing', 'other', but value 255"),
        ((1, 2), {"unlisted": "ignore"}, "'ground' .value 0., but value 2 .*count from 1; write `values: 1` for"),
        ((1, 2, 255), {"unlisted": "ignore"}, "count from 1"),
        ((1, 2, 3), {"unlisted": "ignore", "classes": THREE}, "up to `values: 3` for 'other', or `ignore: .3.`"),
        ((1, 2), {}, "value [12] .*, which belongs to no class; add it .* count from 1 need `values: 1` for 'ground'"),
    ],
)
def test_a_value_that_takes_the_place_of_a_class_stops(root, values, changes, told):
    masks_of(root, *values)
    message = refused(own(root, **changes))

    assert re.search(told, message), message
    assert "unlisted: ignore" not in message, "that would drop a class"


@pytest.mark.parametrize(
    ("values", "changes", "told"),
    [
        ((0, 1), {}, None),
        ((0, 1, 255), {}, None),
        ((0, 255), {"classes": [{"name": "ground"}, {"name": "thing", "values": 255}]}, None),
        ((0, 255), {"ignore": [255]}, "no pixel in 2 training masks is of class 'thing'; look"),
        ((0, 1, 255), {"classes": THREE}, "is of class 'other', while value 255 has 3.* of the pixels and is of no"),
        ((1, 2), {"unlisted": "ignore", "ignore": [2]}, "is of class 'ground'; look"),
        (
            (1, 3),
            {"unlisted": "ignore", "classes": [{"name": "g", "values": 0}, {"name": "t", "values": 1}]},
            "value 3",
        ),
        ((0, 1, 9), {"unlisted": "ignore"}, None),
        ((0,), {}, "is of class 'thing'; look"),
    ],
)
@pytest.mark.hostile("own images, masks and lists")
def test_what_may_be_meant_is_prepared_and_a_class_without_pixels_is_told(root, capsys, values, changes, told):
    masks_of(root, *values)
    settings = own(root, **changes)
    prepared(settings)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("pixelherd: ")]
    assert len(lines) == (told is not None)
    if told:
        assert re.search(told, lines[0]), lines


def test_classes_without_pixels_are_told_in_colours_too(root, capsys):
    for name in "ab":
        write(root / f"masks/{name}.png", np.array([[9, 9, 9], [200, 60, 51]], np.uint8)[labels()])
    classes = [{"name": "ground", "colour": [9, 9, 9]}, {"name": "thing", "colour": [200, 60, 50]}]
    prepared(own(root, masks="colours", classes=classes, unlisted="ignore"))
    assert "'thing', while colour [200, 60, 51] has 5" in capsys.readouterr().err


@pytest.mark.hostile("own images, masks and lists")
def test_a_class_that_is_lost_by_resizing_is_told(root, capsys):
    for number, name in enumerate("ab"):
        mask = np.zeros((160, 240), np.uint8)
        mask[0, number] = 1
        write(root / f"masks/{name}.png", mask)
        write(root / f"images/{name}.png", picture(size=(160, 240)))
    prepared(own(root))
    assert "'thing' once they have 24x16 pixels, though the files have some; set a larger" in capsys.readouterr().err


# Palettes


COLOURS = np.array([[0, 0, 0], [200, 60, 50], [60, 70, 210]], np.uint8)


def write_palette(path: Path, mask: np.ndarray, order, colours=COLOURS) -> None:
    """The mask, with the colour of label ``order[i]`` at position i."""
    image = Image.fromarray(np.argsort(order).astype(np.uint8)[mask])
    image.putpalette(np.asarray(colours)[list(order)].ravel().tolist())
    write(path, image)


@hypothesis_settings(max_examples=12)
@given(orders=st.lists(st.permutations([0, 1, 2]), min_size=2, max_size=3))
def test_palettes_that_contradict_each_other_stop_unless_colours_count(tmp_path_factory, orders):
    root = tmp_path_factory.mktemp("palettes") / "raw"
    masks = [labels(number, (0, 1, 2)) for number in range(len(orders))]
    for number, order in enumerate(orders):
        write(root / f"images/{number}.png", picture())
        write_palette(root / f"masks/{number}.png", masks[number], order)
    three = [{"name": name, "colour": colour} for name, colour in zip("abc", COLOURS.tolist(), strict=True)]
    by_colour = own(root, masks="colours", classes=three)
    assert np.array_equal(prepared(by_colour), masks)
    if len(set(map(tuple, orders))) > 1:
        assert "palettes that contradict each other" in refused(own(root, classes=three))
    else:
        assert np.array_equal(prepared(own(root, classes=three)), [np.argsort(orders[0])[mask] for mask in masks])


def test_palettes_that_differ_where_it_does_not_matter_are_fine(root):
    """Other colours, shorter palettes, entries that no pixel has, the same colour at several places."""
    for number, (name, colours) in enumerate(
        {"a": COLOURS, "b": COLOURS[:2], "c": [[0, 0, 0], [9, 9, 9], [200, 60, 50]], "d": [[5, 5, 5]] * 3}.items()
    ):
        write(root / f"images/{name}.png", picture())
        write_palette(root / f"masks/{name}.png", labels(number), range(len(colours)), colours)
    assert np.array_equal(prepared(own(root)), [labels(number) for number in range(4)])


# What masks are stored in


def alpha(mask: np.ndarray, opaque: bool = True) -> np.ndarray:
    return np.full_like(mask, 255) if opaque else np.where(mask, 255, 0).astype(np.uint8)


@pytest.mark.parametrize(
    "form",
    [
        lambda mask: Image.fromarray(np.dstack([mask, alpha(mask)]), "LA"),
        lambda mask: np.dstack([mask, mask, mask, alpha(mask)]),
        lambda mask: Image.fromarray(mask * 255).convert("1"),
        lambda mask: mask.astype(np.uint16),
    ],
    ids=["grey, alpha", "RGB, alpha", "1 bit", "16 bit"],
)
def test_whole_numbers_are_read_however_they_are_stored(root, form):
    write(root / "masks/a.png", form(labels()))
    assert np.array_equal(prepared(own(root))[0], labels())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: write(root / "masks/a.png", np.dstack([labels()] * 3 + [alpha(labels(), False)])), "transparent"),
        (lambda root: write(root / "masks/a.png", labels(), format="JPEG"), "is a JPEG inside"),
        (
            lambda root: (
                write((root / "masks/a.png").with_suffix(".jpg"), Image.open(root / "masks/a.png"))
                and (root / "masks/a.png").unlink()
            ),
            r"has no mask .*\(a\.jpg is of a kind that is not read\)",
        ),
    ],
    ids=["alpha", "JPEG by another name", "JPEG"],
)
@pytest.mark.hostile("own images, masks and lists")
def test_masks_that_lost_their_values_are_named(root, spoil, message):
    spoil(root)
    with pytest.raises(UserError, match=message):
        prepared(own(root))


@pytest.mark.hostile("own images, masks and lists")
def test_large_masks_are_read_in_bands(root, monkeypatch):
    monkeypatch.setattr(raw, "BAND", 50)
    assert np.array_equal(prepared(own(root)), [labels(0), labels(1)])
    mask = labels()
    mask[13, 7] = 9
    write(root / "masks/a.png", mask)
    assert "value 9 (row 13, column 7)" in refused(own(root))


def test_images_larger_than_pillow_allows_are_read_up_to_a_limit(root, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert np.array_equal(prepared(own(root)), [labels(0), labels(1)])
    monkeypatch.setattr(raw, "LARGEST", 383)
    assert "has 0 megapixels, more than the" in refused(own(root))
    assert Image.MAX_IMAGE_PIXELS == 100


# Orientation


def turned(how: int) -> dict:
    exif = Image.Exif()
    exif[ORIENTATION] = how
    return {"exif": exif}


def stored(upright: np.ndarray, how: int) -> np.ndarray:
    """What a file holds that is shown as ``upright`` under an orientation."""
    flips = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud}
    swapped = {5: 1, 6: 4, 7: 3, 8: 2}
    return flips[how](upright) if how in flips else flips[swapped[how]](upright.swapaxes(0, 1))


@pytest.mark.parametrize("options", [{}, {"format": "TIFF"}, {"format": "TIFF", "compression": "tiff_lzw"}])
@pytest.mark.parametrize("how", range(1, 9))
@pytest.mark.hostile("own images, masks and lists")
def test_masks_are_turned_as_images_are(root, how, options):
    write(root / "masks/a.png", stored(labels(), how), **turned(how), **options)
    write(root / "images/a.png", stored(picture(), how), **turned(how))
    prepare(own(root), root / "out", progress=False)
    train = Dataset.open(root / "out").train
    assert np.array_equal(train.labels[0], labels()) and np.array_equal(train.images[0], picture())


@pytest.mark.parametrize("how", range(2, 9))
@pytest.mark.parametrize("square", [False, True])
@pytest.mark.hostile("own images, masks and lists")
def test_a_mask_that_is_not_turned_as_its_image_fails_or_is_told(root, capsys, how, square):
    size = (16, 16) if square else (16, 24)
    write(root / "images/a.jpg", picture(size=size), **turned(how))
    (root / "images/a.png").unlink()
    write(root / "masks/a.png", labels()[: size[0], : size[1]])
    if how >= 5 and not square:
        assert "is 16x24 as its EXIF orientation turns it but its mask" in refused(own(root))
    else:
        prepared(own(root))
        assert "1 image is turned by its EXIF orientation, its mask is not" in capsys.readouterr().err


def test_a_mask_that_was_drawn_on_the_upright_image_is_fine(root, capsys):
    (root / "images/a.png").unlink()
    write(root / "images/a.jpg", stored(picture(), 6), **turned(6))
    assert np.array_equal(prepared(own(root))[0], labels())
    assert capsys.readouterr().err == ""


# Folders


def names(folder: Path) -> list[str]:
    return list(listing(folder, (".png",), "image").files)


@pytest.mark.parametrize(
    "folder",
    [".ipynb_checkpoints", "@eaDir/a.png", "__MACOSX", "Thumbs", "sub/.thumbnails", "#recycle", "thumbnails/x"],
)
def test_folders_that_programs_fill_do_not_count(root, folder):
    write(root / "images" / folder / "a-checkpoint.png", picture())
    assert names(root / "images") == ["a", "b"]
    [doubt] = doubts.left_out(own(root))
    assert folder.removeprefix("sub/").split("/")[0] in doubt.detail and not doubt.mend


def test_a_folder_counts_even_in_a_hidden_one(root):
    (root / "images").rename(root / ".cache")
    assert names(root / ".cache") == ["a", "b"]


def test_linked_folders_count_once(root, tmp_path):
    write(tmp_path / "disk/far/c.png", picture())
    images = root / "images"
    (images / "sub").mkdir()
    write(images / "sub/d.png", picture())
    (images / "a-link").symlink_to(images / "sub")
    (images / "sub/loop").symlink_to(images)
    (images / "up").symlink_to(root)
    (images / "disk").symlink_to(tmp_path / "disk")
    (images / "again").symlink_to(tmp_path / "disk/far")
    found = names(images)
    assert [name for name in found if not name.startswith("up/")] == ["a", "again/c", "b", "sub/d"]
    assert "up/images/a" not in found and "up/masks/a" in found, "what is linked counts, but never twice"
    assert "linked folders that count by another path" in str(doubts.left_out(own(root, masked=False)))


@pytest.mark.hostile("own images, masks and lists")
def test_links_to_nothing_are_told(root, capsys):
    (root / "images/c.png").symlink_to(root / "gone.png")
    prepared(own(root))
    assert "links to nothing" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".HEIC", ".avif", ".cr2", ".pdf", ".gif", ".jfif"])
@pytest.mark.hostile("own images, masks and lists")
def test_pictures_of_other_kinds_are_told(root, capsys, suffix):
    (root / f"images/c{suffix}").write_bytes(b"?")
    (root / f"images/a{suffix}").write_bytes(b"the same photo as a.png")
    (root / "images/notes.txt").write_text("?")
    prepare(own(root, masked=False), root / "out", progress=False)
    assert f"not read (1 {suffix.lower()}); convert them" in capsys.readouterr().err
    for path in (root / "images").glob("*.png"):
        path.unlink()
    with pytest.raises(UserError, match=rf"no images of a kind that is read .*, but 2 {suffix.lower()}; convert"):
        samples_of(own(root, masked=False))


# Names and lists


FORMS = ["NFC", "NFD"]


@pytest.mark.parametrize("image_form", FORMS)
@pytest.mark.parametrize("mask_form", FORMS)
@pytest.mark.parametrize("listed_form", [None, *FORMS])
def test_names_of_either_unicode_form_belong_together(root, image_form, mask_form, listed_form):
    folder, name = "été", "café"
    for part, form in (("images", image_form), ("masks", mask_form)):
        for old in (root / part).glob("*"):
            old.unlink()
        content = picture() if part == "images" else labels()
        write(root / part / unicodedata.normalize(form, f"{folder}/{name}.png"), content)
    settings = own(root)
    if listed_form:
        line = unicodedata.normalize(listed_form, f"images/{folder}/{name}.png masks/{folder}/{name}.png\n")
        (root / "train.txt").write_text(line)
        settings = own(root, train_list="train.txt", train_images=None, train_masks=None)
    [sample] = samples_of(settings)["train"]
    assert sample.id == unicodedata.normalize(listed_form or image_form, sample.id), "ids stay as they are spelt"
    assert np.array_equal(sample.load()[1], labels())


def test_names_that_differ_in_more_than_form_do_not(root):
    os.rename(root / "masks/a.png", root / "masks/á.png")
    with pytest.raises(UserError, match="has no mask"):
        samples_of(own(root))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lists_come_as_windows_writes_them(root, encoding, newline):
    os.rename(root / "images/b.png", root / "images/bé.png")
    text = f"images/a.png masks/a.png{newline}images/bé.png masks/b.png{newline}"
    content = b"\xfe\xff" + text.encode("utf-16-be") if encoding.endswith("be-sig") else text.encode(encoding)
    (root / "train.txt").write_bytes(content)
    settings = own(root, train_list="train.txt", train_images=None, train_masks=None)
    assert counts(settings) == {"train": 2, "test": 0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("images/a.png masks/a.png\nimages/é.png x\n".encode("latin-1"), "line 2: is not in UTF-8; save it as UTF-8"),
        (b"images\\a.png masks\\a.png\n", "does not exist; write / instead of"),
    ],
)
@pytest.mark.hostile("own images, masks and lists")
def test_lists_that_cannot_be_read_say_why(root, content, message):
    (root / "train.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        samples_of(own(root, train_list="train.txt", train_images=None, train_masks=None))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (None, "list of images .*list.txt does not exist; correct the path"),
        ("images/a.png images/a.jpg", "mask .*a.jpg must be one of .png.*; convert it from the lossless original"),
        ("images/a.png", "list.txt: test images need masks; write `image mask` in every line"),
    ],
)
@pytest.mark.hostile("own images, masks and lists")
def test_a_list_of_test_images_holds_both_files_of_each(root, line, told):
    write(root / "images/a.jpg", picture())
    if line:
        (root / "list.txt").write_text(line + "\n")
    train = {"train_images": None, "train_masks": None, "train_list": "train.txt"}
    (root / "train.txt").write_text("images/b.png masks/b.png\n")
    with pytest.raises(UserError, match=told):
        prepare(own(root, **train, test_list="list.txt"), root.parent / "out", progress=False)


def test_a_class_may_not_be_called_as_the_key_of_another(root):
    with pytest.raises(ValueError, match="'ground' is a name or `key` of both 'thing' and 'ground'"):
        own(root, classes=[{"name": "thing", "key": "ground"}, {"name": "ground"}])
