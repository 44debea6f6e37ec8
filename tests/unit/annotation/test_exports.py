"""Files are found by the names that tools give them, and no export ends in anything but answers or one line."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from pixelherd.annotation import exchange
from pixelherd.annotation.exports import files_by_name
from pixelherd.errors import UserError
from unit.annotation.tools import ASKED, by_coco, by_json_min, by_label_studio, coco

LABELS = [0, 255, 1]
SPELT = [
    "data/north/b #2+3 50%25.png",
    "b #2+3 50%25.png",
    "north/b #2+3 50%25.png",
    "./data/north/b #2+3 50%25.png",
    "/home/me/data/north/b #2+3 50%25.png",
    "C:\\me\\data\\north\\b #2+3 50%25.png",
    "data%2Fnorth%2Fb%20%232%2B3%2050%2525.png",
    "/data/local-files/?d=data/north/b%20%232%2B3%2050%2525.png",
    "/data/local-files/?d=data/north/b #2+3 50%25.png",
    "https://host/bucket/data/north/b%20%232%2B3%2050%2525.png?signature=1",
    "s3://bucket/data/north/b #2+3 50%25.png",
    "images/default/b #2+3 50%25.png",
]


@pytest.mark.parametrize("name", SPELT)
@pytest.mark.hostile("exports and answers")
def test_a_file_is_found_however_it_is_spelt(name):
    file = "data/north/b #2+3 50%25.png"
    assert files_by_name([name], ["data/c.png", file]) == {name: file}


@pytest.mark.parametrize(
    ("names", "files", "found"),
    [
        (["c.png"], ["north/c.png", "south/c.png"], {}),
        (["c.png"], ["c.png", "south/c.png"], {"c.png": "c.png"}),
        (["north/c.png", "c.png"], ["north/c.png", "south/c.png"], {"north/c.png": 0, "c.png": 1}),
        (["west/c.png", "east/c.png"], ["north/c.png"], {}),
        (["west/c.png", "c.png"], ["north/c.png"], {"c.png": 0}),
        (["d.png", "", "/", "?d="], ["c.png"], {}),
    ],
)
@pytest.mark.hostile("exports and answers")
def test_a_name_that_is_not_clear_is_no_file(names, files, found):
    assert files_by_name(names, files) == {
        name: files[file] if isinstance(file, int) else file for name, file in found.items()
    }


def places(content, path=()):
    """The path of every value of a JSON file."""
    yield path
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inside:
        yield from places(value, (*path, key))


def changed(content, path, value):
    """The file with another value in that place, or, for ``...``, without it."""
    if not path:
        return None if value is ... else value
    content = copy.deepcopy(content)
    inside = content
    for key in path[:-1]:
        inside = inside[key]
    if value is ...:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return content


SOUND = {
    "coco": by_coco(coco(), LABELS),
    "label studio": by_label_studio(coco(), LABELS, [None, 0, 1], starred=1),
    "json-min": by_json_min(coco(), LABELS, LABELS),
}
PLACES = {name: list(places(export)) for name, export in SOUND.items()}
PLACES_ASKED = list(places(coco()))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([..., 10**400, -(10**400), "\ud800", "a\nb", "unanswered", "road", "data/x.jpg"]),
    lambda inner: (
        st.lists(inner.filter(lambda each: each is not ...), max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "x", "keypoints", "keypointlabels", "data", "result"]),
            inner.filter(lambda each: each is not ...),
            max_size=3,
        )
    ),
    max_leaves=4,
)


def judge(export, asked):
    try:
        found = exchange.answers(export, asked)
    except UserError as mistake:
        assert str(mistake) and "\n" not in str(mistake)
    else:
        assert all("\n" not in note for note in found.notes) and len(found.rows) <= found.asked


@pytest.mark.parametrize("kind", SOUND)
@settings_of_hypothesis(max_examples=150)
@given(data=st.data())
@pytest.mark.hostile("exports and answers")
def test_a_damaged_export_is_read_or_told_in_one_line(kind, data):
    path, value = data.draw(st.sampled_from(PLACES[kind])), data.draw(VALUES)
    judge(changed(SOUND[kind], path, value), coco())


@settings_of_hypothesis(max_examples=150)
@given(path=st.sampled_from(PLACES_ASKED), value=VALUES)
@pytest.mark.hostile("exports and answers")
def test_a_damaged_round_is_read_or_told_in_one_line(path, value):
    judge(SOUND["coco"], changed(coco(), path, value))


@settings_of_hypothesis(max_examples=50)
@given(value=VALUES)
@pytest.mark.hostile("exports and answers")
def test_any_json_is_read_or_told_in_one_line(value):
    judge(None if value is ... else value, coco())


def first(export):
    return export[0]["annotations"][0]


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("coco", lambda e: e.pop("images"), "export: is neither COCO keypoints nor Label Studio's JSON; export one"),
        ("coco", lambda e: e["annotations"][0].update(keypoints=[1]), r"annotation 90, keypoints: must be x, y and"),
        ("coco", lambda e: e["annotations"][0].update(keypoints=["a", "b", 2]), "must be a list of finite numbers"),
        ("coco", lambda e: e["annotations"][0].update(keypoints=[None] * 3), "must be a list of finite numbers"),
        ("coco", lambda e: e["annotations"][0].update(image_id=77), "annotation 90, image_id: must be an id of the"),
        (
            "coco",
            lambda e: e["images"][0].update(file_name=["x"]),
            r"image 1, file_name: must be a text, found \['x",
        ),
        ("coco", lambda e: e["images"].append(e["images"][0]), "image 1, id: must be an id of its own"),
        (
            "label studio",
            lambda e: e[0].update(annotations=["x"]),
            "task 1, annotation 1: must be an object, found",
        ),
        (
            "label studio",
            lambda e: first(e)["result"][0]["value"].update(x=10**400),
            "export: task 1, annotation 0, region pixel-[0-9]+, x: must be a finite number, found 1000.*000; write",
        ),
        ("label studio", lambda e: first(e).update(result={}), "task 1, annotation 0, result: must be a list"),
        ("label studio", lambda e: e.append(["x"]), "neither COCO keypoints nor Label Studio's JSON"),
        ("label studio", lambda e: e[0].update(data={}), "neither COCO keypoints nor Label Studio's JSON"),
        ("json-min", lambda e: e[0]["label"][0].update(y=float("nan")), "task 1, region 1, y: must be a finite number"),
    ],
)
@pytest.mark.hostile("exports and answers")
def test_what_is_malformed_is_named(kind, change, message):
    export = copy.deepcopy(SOUND[kind])
    change(export)
    with pytest.raises(UserError, match=message):
        exchange.answers(export, coco())


def test_one_task_alone_is_an_export():
    export = json.loads(json.dumps(SOUND["label studio"][1]))
    assert [row[1] for row in exchange.answers(export, coco()).rows] == [ASKED[1][0]]
