"""The live model: what it learns, paints, asks, forgets; before there is a head, too."""

import io

import numpy as np
import pytest
from PIL import Image

from pixelherd.datasets.classes import IGNORED
from pixelherd.heads.settings import LinearSettings
from pixelherd.labelling.learning import model as models
from pixelherd.labelling.learning.model import Model
from unit.labelling.learning.conftest import SIZE, Photograph

RED, BLUE = ("a", 3, 3, 0), ("a", 3, 40, 1)
SETTINGS = LinearSettings()


@pytest.fixture
def model(reader, tmp_path) -> Model:
    found = Model(reader, SIZE)
    for name in "abc":
        found.known[name] = reader.read(Photograph(tmp_path / "photos" / f"{name}.png"), 3)
    return found


def values_of(painted: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(painted)) as image:
        return np.asarray(image)


def test_two_answers_paint_every_photograph_by_numbers_of_classes(model):
    assert model.fit([RED, BLUE], list(model.known), 2, SETTINGS)
    for name in model.known:
        values = values_of(model.paint(name, [5, 9]))
        assert values.shape == (*SIZE, 3)
        assert (values[:, :20, 0] == 5).all() and (values[:, 28:, 0] == 9).all()
        assert (values[:, :20, 2] == 9).all(), "the second class"
        assert values[:, :20, 1].min() > 127, "of two classes the likeliest has more than half"
    assert model.paint("gone", [5, 9]) is None
    assert model.right([("b", 0, 0, 0), ("b", 0, 47, 1), ("c", 0, 47, 0), ("c", 0, 0, IGNORED), ("z", 0, 0, 0)]) == (
        2,
        3,
    )


def test_a_class_that_has_no_label_yet_is_painted_nowhere(model):
    model.fit([RED, BLUE], list(model.known), 3, SETTINGS)
    assert set(np.unique(values_of(model.paint("a", [1, 2, 3]))[..., 0]).tolist()) == {1, 2}


def test_without_an_answer_that_tells_a_class_there_is_no_head(model):
    assert not model.fit([], [], 2, SETTINGS) and model.head is None
    assert not model.fit([("a", 0, 0, IGNORED)], list(model.known), 2, SETTINGS)
    assert model.paint("a", [1, 2]) is None and model.right([RED]) == (0, 0)
    assert not model.fit([("z", 0, 0, 1)], list(model.known), 2, SETTINGS), "of a photograph that is not known"
    model.fit([RED], list(model.known), 2, SETTINGS)
    assert model.head is not None
    model.fit([], list(model.known), 2, SETTINGS)
    assert model.head is None, "the answer was taken back"


def test_questions_come_before_there_is_a_head_and_stand_for_what_is_there(model):
    found = model.propose(4, [], [])
    assert len({each.place for each in found}) == 4 and all(each.label is None for each in found)
    assert sorted(each.place[2] >= SIZE[1] // 2 for each in found[:2]) == [False, True]


def test_questions_are_no_pixel_that_is_answered_or_taken_and_say_what_is_believed(model):
    model.fit([RED, BLUE], list(model.known), 2, SETTINGS)
    first = model.propose(20, [RED[:3], BLUE[:3]], [])
    answered, taken = first[0].place, first[1].place
    again = model.propose(20, [RED[:3], BLUE[:3], answered], [taken])
    assert len(again) == 20 and not {answered, taken} & {each.place for each in again}
    assert all(each.label in (0, 1) and 0.5 <= each.probability <= 1 for each in again)
    sure = [each for each in again if abs(each.place[2] - 23.5) > 4]
    assert all(each.label == (each.place[2] > 23) for each in sure)


def test_when_all_pixels_are_asked_there_is_no_question(model):
    every = [each.place for each in model.propose(10_000, [], [])]
    assert model.propose(5, every, []) == [] and Model(model.reader, SIZE).propose(5, [], []) == []


def test_questions_are_of_no_more_pixels_than_the_pool_holds(model, monkeypatch):
    monkeypatch.setattr(models, "POOL", 2)
    found = model.propose(100, [], [])
    assert len(found) == 2 and len({each.place[0] for each in found}) == 2, "of three photographs two, a pixel each"


def test_a_photograph_that_is_replaced_is_learnt_anew(model, reader, tmp_path):
    model.fit([RED, BLUE], list(model.known), 2, SETTINGS)
    before, key = model.vectors([("b", 0, 20)]).copy(), model.known["b"].key
    assert model.forget("b") and "b" not in {each.place[0] for each in model.propose(100, [], [])}
    assert not model.forget("b")
    model.known["b"] = reader.read(Photograph(tmp_path / "photos" / "b.png", red=4), 3)
    assert model.known["b"].key != key
    after = model.vectors([("b", 0, 20)])
    assert before[0, 0] > 0.9 and after[0, 0] < 0.1, "red then, blue now"
    assert values_of(model.paint("b", [1, 2]))[0, 20, 0] == 2


def test_a_photograph_that_is_all_one_class_is_less_doubtful(model, reader, tmp_path):
    model.fit([RED, BLUE], list(model.known), 2, SETTINGS)
    doubt = model.doubt("a")
    assert 0 < doubt < 0.5
    model.known["d"] = reader.read(Photograph(tmp_path / "photos" / "d.png", red=0), 3)
    assert model.doubt("d") < doubt
