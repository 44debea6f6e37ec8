"""Queries go to other tools and come back as they were answered, whatever the tools renumber."""

import copy
import json
import random
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from pixelherd.annotation import exchange, oracle
from pixelherd.datasets.classes import ClassInfo
from pixelherd.datasets.prepare import extent
from pixelherd.datasets.settings import CityscapesSettings, DemoSettings
from pixelherd.errors import UserError

CLASSES = [ClassInfo("road", (1, 2, 3)), ClassInfo('<a> & "b"', (4, 5, 6)), ClassInfo("unknown", (7, 8, 255))]
IMAGES = [
    exchange.ImageFile("x", "data/x.jpg", 480, 360, (0, 0), (480 / 128, 360 / 128)),
    exchange.ImageFile("sub/y, z", "data/sub/y, z.png", 33, 21, (4.5, 0), (24 / 128, 21 / 128)),
]
PIXELS = st.tuples(st.sampled_from(["x", "sub/y, z"]), st.integers(0, 127), st.integers(0, 127))
ASKED = [("x", 0, 0), ("sub/y, z", 127, 5), ("x", 64, 100)]


def coco(asked=ASKED):
    return exchange.coco_keypoints(3, asked, IMAGES, CLASSES)


def by_coco(content, labels):
    """What a tool makes of it: classes given, annotations in another order with other ids, attributes lost."""
    names, content = exchange.label_names(CLASSES), copy.deepcopy(content)
    ids = {each["name"]: each["id"] for each in content["categories"]}
    for each, label in zip(content["annotations"], labels, strict=True):
        each["category_id"] = ids[names[-1] if label is None else names[-2] if label == 255 else names[label]]
        del each["attributes"]
    random.Random(0).shuffle(content["annotations"])
    return content | {"annotations": [{**each, "id": 90 + n} for n, each in enumerate(content["annotations"])]}


def by_label_studio(content, labels):
    tasks = copy.deepcopy(exchange.label_studio_tasks(by_coco(content, labels)))
    return [{"id": n, "data": task["data"], "annotations": task["predictions"]} for n, task in enumerate(tasks)]


def rows(asked, labels):
    return [(3, *pixel, label) for pixel, label in zip(asked, labels, strict=True) if label is not None]


@pytest.mark.parametrize("tool", [by_coco, by_label_studio])
@settings_of_hypothesis(deadline=None, max_examples=50)
@given(data=st.data())
def test_answers_come_back(tool, data):
    asked = data.draw(st.lists(PIXELS, min_size=1, max_size=6, unique=True))
    labels = data.draw(st.lists(st.sampled_from([0, 1, 2, 255, None]), min_size=len(asked), max_size=len(asked)))
    content = json.loads(json.dumps(coco(asked)))
    exported = json.loads(json.dumps(tool(content, labels)))
    assert exchange.answers(exported, content) == rows(asked, labels)


def test_the_interface_has_every_label_once():
    root = ElementTree.fromstring(exchange.label_studio_interface(CLASSES))
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


def test_the_extent_is_that_of_the_crop():
    assert extent(DemoSettings(kind="demo", size=(96, 64)), (64, 96)) == ((0, 0), (1, 1))
    city = CityscapesSettings(kind="cityscapes", root="x", size=(256, 256))
    assert extent(city, (2048, 1024)) == ((512, 0), (4, 4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda export: export["annotations"][0].update(keypoints=[300, 300, 2]), "is on no queried pixel"),
        (lambda export: export["annotations"].append(export["annotations"][0]), "answer the same pixel"),
        (lambda export: export["images"][0].update(file_name="q.png"), "image 'q.png' was not asked about"),
        (lambda export: export["categories"][0].update(name="rode"), "unknown class 'rode'"),
        (lambda export: export.pop("images"), "neither COCO keypoints nor Label Studio"),
    ],
)
def test_mistakes_are_one_line(change, message):
    export = by_coco(coco(), [0, 0, 0])
    change(export)
    with pytest.raises(UserError, match=message):
        exchange.answers(export, coco())


def test_the_command_writes_answers_once(tmp_path):
    (tmp_path / "coco.json").write_text(json.dumps(coco()))
    (tmp_path / "export.json").write_text(json.dumps(by_label_studio(coco(), [2, None, 255])))
    command = [sys.executable, "-m", "pixelherd.annotation.exchange", str(tmp_path / "export.json"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "2 answers written" in done.stdout, done.stderr
    labels = oracle.read_answers(tmp_path / "labels.csv", ASKED, 3, [each.name for each in CLASSES])
    assert labels == [2, None, 255]
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 1 and "is there already; move it away" in again.stderr
    assert "Traceback" not in again.stderr
