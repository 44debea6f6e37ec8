"""Contact sheets: which images and masks they show, their counts, and that anything a user has can be drawn."""

import warnings

import numpy as np
import pytest
from PIL import Image

from pixelherd.datasets.settings import DemoSettings, FolderSettings
from pixelherd.errors import UserError
from pixelherd.results.figures import contact
from pixelherd.results.figures.contact import Sheet


@pytest.fixture
def own(tmp_path):
    """Ten large training images, whose left half is of class 1 and whose lowest quarter is ignored."""
    mask = np.zeros((600, 800), np.uint8)
    mask[:, :400] = 1
    mask[450:] = 255
    for number in range(10):
        for part, content in (
            ("images", Image.new("RGB", (800, 600), (200, 30, 30))),
            ("masks", Image.fromarray(mask)),
        ):
            (tmp_path / part).mkdir(exist_ok=True)
            content.save(tmp_path / part / f"{number}.png")
    classes = [{"name": "ground"}, {"name": "thing", "colour": (0, 255, 0)}, {"name": "rare"}]
    return FolderSettings(
        kind="folder", root=str(tmp_path), train_images="images", train_masks="masks", classes=classes
    )


def test_eight_images_are_spread_over_the_split(own):
    sheet = Sheet.read("mine", own)
    assert [each.name for each in sheet.shown["train"]] == ["0", "1", "3", "4", "5", "6", "8", "9"]
    assert sheet.images == {"train": 10} and sheet.labelled == {"train": True}
    assert all(each.image.shape == (255, 340, 3) and each.size == (800, 600) for each in sheet.shown["train"])


def test_counts_are_of_whole_masks(own):
    sheet = Sheet.read("mine", own)
    assert sheet.legend == [0, 1, 2, 255]
    assert [sheet.share("train", label) for label in sheet.legend] == [
        "37.5% in 8 of 8",
        "37.5% in 8 of 8",
        "",
        "25.0% in 8 of 8",
    ]


def test_masks_lie_over_their_images(own):
    [image, *_] = Sheet.read("mine", own).shown["train"]
    overlay = image.overlay(np.array([[0, 0, 255], [0, 255, 0]] + [[0, 0, 0]] * 254, np.uint8))
    assert overlay.shape == image.image.shape
    assert overlay[10, 10].argmax() == 1 and overlay[10, -10].argmax() == 2


@pytest.mark.hostile("own images, masks and lists")
def test_an_image_that_cannot_be_read_is_shown_by_its_mistake(own, tmp_path):
    (tmp_path / "images/0.png").write_bytes(b"?")
    first, second, *_ = Sheet.read("mine", own).shown["train"]
    assert first.image is None and "0.png is unreadable" in first.mistake and second.image is not None
    contact.draw(Sheet.read("mine", own), tmp_path / "sheet.png")


def test_raw_files_that_are_missing_are_a_mistake(own, tmp_path):
    (tmp_path / "masks/0.png").unlink()
    with pytest.raises(UserError, match="has no mask"):
        Sheet.read("mine", own)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_any_number_of_images_is_drawn_alike_each_time(tmp_path, count):
    settings = DemoSettings(kind="demo", train=count, test=1, size=(32, 48))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in "ab":
            contact.draw(Sheet.read("demo", settings), tmp_path / "new" / f"{name}.png")
    with Image.open(tmp_path / "new/a.png") as image:
        sheet = Sheet.read("demo", settings)
        assert image.size == (sheet.width, sheet.height)
    assert (tmp_path / "new/a.png").read_bytes() == (tmp_path / "new/b.png").read_bytes()


def test_names_are_no_formulas_and_images_need_no_masks(own, tmp_path):
    (tmp_path / "images/0.png").rename(tmp_path / r"images/$\frac$ and a very long name indeed.png")
    own = FolderSettings(kind="folder", root=str(tmp_path), train_images="images", classes=own.classes)
    sheet = Sheet.read("$x$", own)
    assert sheet.labelled == {"train": False} and sheet.legend == [0, 1, 2]
    contact.draw(sheet, tmp_path / "sheet.png")
