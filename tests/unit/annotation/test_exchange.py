"""Answers come back as people gave them, whatever the tools renumber; what contradicts or answers nothing is told."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from pixelherd.annotation import exchange, oracle
from pixelherd.errors import UserError
from unit.annotation.tools import ASKED, CLASSES, by_coco, by_json_min, by_label_studio, coco, rows

PIXELS = st.tuples(st.sampled_from(["x", "sub/y, z"]), st.integers(0, 127), st.integers(0, 127))
LABELS = st.sampled_from([0, 1, 2, 255, None])


@pytest.mark.parametrize("tool", [by_coco, by_label_studio, by_json_min])
@settings_of_hypothesis(max_examples=30)
@given(data=st.data())
def test_answers_come_back(tool, data):
    asked = data.draw(st.lists(PIXELS, min_size=1, max_size=6, unique=True))
    labels = data.draw(st.lists(LABELS, min_size=len(asked), max_size=len(asked)))
    content = coco(asked)
    found = exchange.answers(json.loads(json.dumps(tool(content, labels))), content)
    assert found.rows == rows(asked, labels) and found.notes == [] and found.asked == len(asked)


@pytest.mark.parametrize("tool", [by_label_studio, by_json_min])
@settings_of_hypothesis(max_examples=30)
@given(people=st.lists(st.tuples(LABELS, LABELS, LABELS), min_size=1, max_size=4))
def test_annotators_are_merged_pixel_by_pixel(tool, people):
    content = coco()
    found = exchange.answers(tool(content, *people), content)
    given = [set(labels) - {None} for labels in zip(*people, strict=True)]
    assert found.rows == rows(ASKED, [next(iter(each)) if len(each) == 1 else None for each in given])
    assert len(found.notes) == sum(len(each) > 1 for each in given)


def test_a_disagreement_names_pixel_and_regions():
    content = coco()
    found = exchange.answers(by_label_studio(content, [0, 0, 0], [0, 1, 0]), content)
    assert found.notes == [
        "row 127, column 5 of 'sub/y, z' stays open, answers disagree: 'road' (task 2, annotation 10, region pixel-2 "
        "of 'data/sub/y, z.png') or '<a> & \"b\"' (task 2, annotation 11, region pixel-2 of 'data/sub/y, z.png')"
    ]


@pytest.mark.parametrize(
    ("starred", "other", "taken"),
    [
        ([0, 0, 0], [1, 1, 1], [0, 0, 0]),
        ([0, None, 255], [1, 1, 1], [0, 1, 255]),
        ([None, None, None], [1, None, 2], [1, None, 2]),
    ],
)
@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.hostile("exports and answers")
def test_the_ground_truth_wins_where_it_answers(starred, other, taken, position):
    people = (starred, other) if position == 0 else (other, starred)
    found = exchange.answers(by_label_studio(coco(), *people, starred=position), coco())
    assert found.rows == rows(ASKED, taken) and found.notes == []


def test_keypoints_of_one_person_may_disagree_too():
    export = by_coco(coco(), [0, 0, 0])
    export["annotations"] += [dict(each) for each in export["annotations"]]
    assert exchange.answers(export, coco()).rows == rows(ASKED, [0, 0, 0])
    export["annotations"][-1]["category_id"] = 2
    found = exchange.answers(export, coco())
    assert len(found.rows) == 2 and "stays open, answers disagree" in found.notes[0]


def annotation(**more):
    return lambda export: export["annotations"][0].update(more)


def task(**more):
    return lambda export: export[0].update(more)


def in_annotation(**more):
    return lambda export: export[0]["annotations"][0].update(more)


def in_region(**more):
    return lambda export: export[1]["annotations"][0]["result"][0].update(more)


def in_value(**more):
    return lambda export: export[1]["annotations"][0]["result"][0]["value"].update(more)


@pytest.mark.parametrize(
    ("tool", "change", "answered", "note"),
    [
        (by_coco, annotation(keypoints=[], num_keypoints=0), 2, "without a visible keypoint: annotation 90 of 'data/"),
        (by_coco, annotation(keypoints=[0, 0, 0]), 2, "without a visible keypoint: annotation 90"),
        (by_coco, annotation(keypoints=None, segmentation=[[1, 2, 3, 4]]), 2, "no keypoint: annotation 90"),
        (by_coco, annotation(keypoints=[300, 300, 2]), 2, "on no queried pixel: annotation 90"),
        (by_coco, lambda e: e["images"][1].update(file_name="q.png"), 2, "of no image that was asked about, or not"),
        (by_label_studio, in_annotation(was_cancelled=True), 1, "skipped by the annotator: task 1, annotation 0"),
        (by_label_studio, in_region(type="brushlabels"), 2, "no keypoint: task 2, annotation 10, region pixel-2 ('b"),
        (by_label_studio, in_region(type=None), 2, "no keypoint: task 2"),
        (by_label_studio, in_value(x=0.0), 2, "on no queried pixel: task 2, annotation 10, region pixel-2 of 'data"),
        (by_label_studio, task(drafts=[{"result": []}]), 3, "a draft that was not submitted: task 1"),
        (by_json_min, lambda e: e[0]["label"].append({"points": [[1, 2]]}), 3, "no keypoint: task 1, region 3"),
        (by_label_studio, in_value(keypointlabels=[]), 2, None),
        (by_label_studio, in_value(keypointlabels=["unanswered"]), 2, None),
        (by_label_studio, in_value(keypointlabels=["Road "]), 3, None),
        (by_label_studio, task(annotations=[], cancelled_annotations=1), 1, None),
        (by_label_studio, task(annotations=None), 1, None),
    ],
)
@pytest.mark.hostile("exports and answers")
def test_what_is_no_answer_is_left_out_and_told(tool, change, answered, note):
    export = tool(coco(), [0, 0, 0])
    change(export)
    found = exchange.answers(export, coco())
    assert [row[-1] for row in found.rows] == ["road"] * answered
    assert len(found.notes) == (note is not None)
    assert all(each.startswith(f"left out, {note}") for each in found.notes)


def test_many_of_a_kind_are_one_line():
    export = by_coco(coco(), [0, 0, 0])
    export["annotations"] += [{**each, "keypoints": [200, 20, 2]} for each in export["annotations"] * 4]
    (note,) = exchange.answers(export, coco()).notes
    assert note.count("annotation 9") == exchange.EXAMPLES and note.endswith("; and 9 more")


def test_predictions_answer_nothing():
    export = by_label_studio(coco())
    for each in export:
        each["predictions"] = by_label_studio(coco(), [0, 0, 0])[0]["annotations"]
    assert exchange.answers(export, coco()).rows == []


@pytest.mark.hostile("exports and answers")
def test_a_class_that_is_not_known_is_a_mistake():
    export = by_coco(coco(), [0, 0, 0])
    export["categories"][0]["name"] = "rode"
    message = r"export: annotation 9\d of 'data/x.jpg': unknown class 'rode' \(did you mean 'road'\?\)"
    with pytest.raises(UserError, match=message):
        exchange.answers(export, coco())


@pytest.mark.parametrize("classes", [["road", "sky"], ["0", "1", "255"], ["Sky", "sky ", "a\nb, c"], ["Unknown", ""]])
def test_labels_are_written_as_the_oracle_reads_them(tmp_path, classes):
    asked = [("x", 0, number) for number in range(len(classes) + 1)]
    labels = [*range(len(classes)), 255]
    table = [(3, *pixel, oracle.spelling(label, classes)) for pixel, label in zip(asked, labels, strict=True)]
    exchange.write_csv(tmp_path / "labels.csv", exchange.LABEL_COLUMNS, table)
    assert oracle.read_answers(tmp_path / "labels.csv", asked, 3, classes) == labels


@pytest.fixture
def folder(tmp_path):
    """A round that waits for answers."""
    (tmp_path / "coco.json").write_text(json.dumps(coco()))
    return tmp_path


SOUND = json.dumps(by_label_studio(coco(), [2, None, 255]), ensure_ascii=False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.hostile("exports and answers")
def test_exports_come_in_several_encodings(folder, encoding):
    (folder / "export.json").write_bytes(SOUND.encode(encoding))
    assert len(exchange.write_answers(folder / "export.json", folder).rows) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no JSON"),
        (b"\xff\xfe\xfa", "is no JSON"),
        (b"PK\x03\x04\x90", "is no JSON .*; name a JSON file, unpacked"),
        (SOUND.encode()[:-5], "is no JSON"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"1" * 5000, "is no JSON"),
        (b"[]", "answers no pixel of .*; give the keypoints of this round their classes"),
        (json.dumps(coco()).encode(), "answers no pixel"),
        (None, "does not exist; check the name"),
        (..., "is a folder; name a JSON file"),
    ],
)
@pytest.mark.hostile("exports and answers")
def test_a_file_that_is_no_export_is_one_line(folder, content, message):
    export = folder / "export.json"
    if content is ...:
        export.mkdir()
    elif content is not None:
        export.write_bytes(content)
    with pytest.raises(UserError, match=message) as mistake:
        exchange.write_answers(export, folder)
    assert "\n" not in str(mistake.value) and not (folder / "labels.csv").exists()


def test_the_command_without_its_arguments_says_how_to_use_it():
    done = subprocess.run([sys.executable, "-m", "pixelherd.annotation.exchange"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("pixelherd: usage: python -m pixelherd.annotation.exchange")


def test_a_round_asks_with_two_classes_and_those_that_cannot_tell(folder):
    content = coco()
    content["categories"] = content["categories"][:2]
    (folder / "coco.json").write_text(json.dumps(content))
    (folder / "export.json").write_text(SOUND)
    with pytest.raises(UserError, match=r"coco.json.*names of classes"):
        exchange.write_answers(folder / "export.json", folder)


def test_a_folder_of_no_round_is_one_line(folder):
    (folder / "export.json").write_text(SOUND)
    for name, message in (("elsewhere", "coco.json does not exist"), ("export.json", "cannot be read")):
        with pytest.raises(UserError, match=message):
            exchange.write_answers(folder / "export.json", folder / name)


def test_the_command_writes_answers_once(folder):
    export = folder / "export.json"
    export.write_text(json.dumps(by_label_studio(coco(), [2, 0, 255], [2, 1, None])))
    command = [sys.executable, "-m", "pixelherd.annotation.exchange", str(export), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "2 answers written" in done.stdout, done.stderr
    assert "1 of 3 pixels stay open" in done.stdout and done.stderr.startswith("pixelherd: row 127, column 5 of ")
    assert (folder / "labels.csv").read_text().splitlines()[1:] == ["3,x,0,0,unknown", "3,x,64,100,255"]
    labels = oracle.read_answers(folder / "labels.csv", ASKED, 3, [each.name for each in CLASSES])
    assert labels == [2, None, 255]
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 1 and "is there already; move it away" in again.stderr
    assert "Traceback" not in again.stderr
