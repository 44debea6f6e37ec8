"""Queries go to other tools as their formats ask."""

from pathlib import PurePosixPath
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest

from pixelherd.annotation import tasks
from pixelherd.datasets.prepare import extent
from pixelherd.datasets.settings import CityscapesSettings, DemoSettings
from unit.annotation.tools import CLASSES, coco


def test_the_interface_has_every_label_once():
    root = ElementTree.fromstring(tasks.label_studio_interface(CLASSES))
    labels = [(each.get("value"), each.get("background")) for each in root.iter("Label")]
    assert [name for name, _ in labels] == ["road", '<a> & "b"', "unknown", "unknown?", "unanswered"]
    assert labels[0][1] == "#010203"


def test_coco_is_as_its_format_asks():
    content = coco()
    assert {each["id"] for each in content["images"]} == {each["image_id"] for each in content["annotations"]}
    for each in content["annotations"]:
        x, y, visible = each["keypoints"]
        left, top, width, height = each["bbox"]
        assert visible == 2 and each["num_keypoints"] == 1 and left < x < left + width and top < y < top + height
    assert content["annotations"][1]["keypoints"][0] == pytest.approx(4.5 + 5.5 * 24 / 128, abs=1e-3)


@pytest.mark.parametrize("file", ["data/x.jpg", "b #2+3 50%25&c=d?.png", "ü/ë — 1.png", "a\\b.png"])
def test_the_url_of_a_task_leads_to_its_file(file):
    image = tasks.ImageFile("x", file, 8, 8, (0, 0), (1, 1))
    (task,) = tasks.label_studio_tasks(coco([("x", 0, 0)], [image]))
    assert parse_qs(urlsplit(task["data"]["image"]).query)["d"] == [file]
    assert task["data"]["file_name"] == file


def test_a_name_in_no_encoding_has_a_url():
    image = tasks.ImageFile("x", str(PurePosixPath(b"\xff.png".decode(errors="surrogateescape"))), 8, 8, (0, 0), (1, 1))
    assert tasks.label_studio_tasks(coco([("x", 0, 0)], [image]))[0]["data"]["image"].endswith("d=%FF.png")


def test_the_extent_is_that_of_the_crop():
    assert extent(DemoSettings(kind="demo", size=(96, 64)), (64, 96)) == ((0, 0), (1, 1))
    city = CityscapesSettings(kind="cityscapes", root="x", size=(256, 256))
    assert extent(city, (2048, 1024)) == ((512, 0), (4, 4))
