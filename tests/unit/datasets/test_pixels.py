"""The files of a round: what is written is read back, and mistakes name the line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelherd.datasets.pixels import LABEL_COLUMNS, QUERY_COLUMNS, Pixels, answer, answer_as, read_pixels, write_pixels
from pixelherd.datasets.settings import AnnotatorSettings
from pixelherd.errors import UserError

IDS = ["b", "a, with comma", "ünï"]
WIDTH = 7


def pixels(entries, dtype=float):
    images, flat, values = zip(*entries, strict=True) if entries else ([], [], [])
    return Pixels(np.array(images, dtype=np.int64), np.array(flat, dtype=np.int64), np.array(values, dtype=dtype))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.floats(-1e6, 1e6, width=32)), max_size=5))
@settings(max_examples=30)
def test_queries_are_read_back(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("round") / "queries.csv"
    write_pixels(path, QUERY_COLUMNS, 4, pixels(entries), IDS, WIDTH)
    found = read_pixels([path], QUERY_COLUMNS, IDS, WIDTH)
    assert list(zip(found.images, found.flat, strict=True)) == [entry[:2] for entry in entries]
    np.testing.assert_allclose(found.values, [entry[2] for entry in entries], rtol=1e-8)


def test_the_columns_are_the_documented_ones(tmp_path):
    write_pixels(tmp_path / "queries.csv", QUERY_COLUMNS, 2, pixels([(0, 15, 0.25)]), IDS, WIDTH)
    assert (tmp_path / "queries.csv").read_text() == "round,image,row,column,score\n2,b,2,1,0.25\n"
    write_pixels(tmp_path / "labels.csv", LABEL_COLUMNS, 2, pixels([(1, 6, 255)]), IDS, WIDTH)
    assert (tmp_path / "labels.csv").read_text() == 'round,image,row,column,label\n2,"a, with comma",0,6,255\n'


def test_rounds_are_read_as_one(tmp_path):
    for number in range(3):
        write_pixels(tmp_path / f"{number}.csv", LABEL_COLUMNS, number, pixels([(number, number, number)]), IDS, WIDTH)
    found = read_pixels([tmp_path / f"{number}.csv" for number in range(3)], LABEL_COLUMNS, IDS, WIDTH)
    assert found.images.tolist() == found.flat.tolist() == found.values.tolist() == [0, 1, 2]
    assert len(read_pixels([], LABEL_COLUMNS, IDS, WIDTH)) == 0


def test_answers_are_the_ground_truth():
    truth = np.arange(3 * 5 * WIDTH, dtype=np.uint8).reshape(3, 5, WIDTH)
    answered = answer(pixels([(2, 9, 0.5), (0, 34, 0.1)]), truth)
    assert answered.values.tolist() == [truth[2, 1, 2], truth[0, 4, 6]]
    assert answered.images.tolist() == [2, 0] and answered.flat.tolist() == [9, 34]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("round,image,row,column,score\n", "columns are"),
        ("", "columns are none"),
        ("round,image,row,column,label\n0,b,0,0,1\n0,c,0,0,1\n", "line 3: the dataset has no image 'c'"),
        ("round,image,row,column,label\n0,b,0,x,1\n", "line 2: row, column or label is no number"),
        ("round,image,row,column,label\n0,b,0,0,road\n", "line 2: row, column or label is no number"),
        ("round,image,row,column,label\n0,b,0\n", "line 2: has 3 columns, not 5"),
        ("round,image,row,column,label\n0,b,0,0,1,2\n", "line 2: has 6 columns, not 5"),
        ('round,image,row,column,label\n0,"b,0,0,1\n', "is no table of comma-separated values"),
    ],
)
def test_files_that_were_spoilt(tmp_path, text, message):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_pixels([tmp_path / "labels.csv"], LABEL_COLUMNS, IDS, WIDTH)
    assert "labels.csv" in str(error.value) and "\n" not in str(error.value)


# A person who errs


def scene(size=60) -> np.ndarray:
    """Two images: class 0 left of class 2, class 1 right of a column that is ignored."""
    truth = np.zeros((2, size, size), np.uint8)
    truth[0, :, size // 2 :] = 2
    truth[1, :, size // 2] = 255
    truth[1, :, size // 2 + 1 :] = 1
    return truth


def everywhere(truth) -> Pixels:
    images, flat = np.indices((len(truth), truth[0].size)).reshape(2, -1)
    return Pixels(images, flat, np.zeros(len(flat)))


@pytest.mark.parametrize("annotator", [None, AnnotatorSettings(error=0), AnnotatorSettings(error=0, where="borders")])
def test_who_does_not_err_answers_as_masks_do(annotator):
    asked, truth = everywhere(scene()), scene()
    found = answer_as(annotator, asked, truth, IDS, 4, 0)
    assert np.array_equal(found.values, truth.ravel()) and found.values.dtype == answer(asked, truth).values.dtype


@pytest.mark.parametrize("error", [0.05, 0.5, 1.0])
def test_as_many_answers_are_wrong_as_are_said_to_be(error):
    asked, truth = everywhere(scene()), scene()
    found = answer_as(AnnotatorSettings(error=error), asked, truth, IDS, 4, 0).values
    told = truth.ravel() != 255
    assert (found[~told] == 255).all(), "what masks ignore nobody can tell"
    wrong, count = int((found != truth.ravel())[told].sum()), int(told.sum())
    assert abs(wrong - error * count) <= 4 * np.sqrt(count * error * (1 - error))
    for label in range(4):
        others = np.bincount(found[(truth.ravel() == label) & (found != truth.ravel())], minlength=4)
        if others.sum():
            share = others.sum() / 3
            assert others[label] == 0 and (abs(np.delete(others, label) - share) < 5 * np.sqrt(share)).all()


@pytest.mark.parametrize("reach", [1, 3])
def test_a_person_who_errs_at_borders_takes_the_class_across(reach):
    asked, truth = everywhere(scene()), scene()
    found = answer_as(AnnotatorSettings(error=0.3, where="borders", reach=reach), asked, truth, IDS, 4, 0).values
    found = found.reshape(truth.shape)
    columns = np.unique(np.nonzero(found[0] != truth[0])[1])
    assert columns.tolist() == list(range(30 - reach, 30 + reach))
    assert set(found[0][found[0] != truth[0]]) == {0, 2}
    near = 60 * 2 * reach
    assert abs((found[0] != truth[0]).sum() - 0.3 * near) <= 4 * np.sqrt(near * 0.3 * 0.7)
    across = np.unique(np.nonzero(found[1] != truth[1])[1]).tolist()
    assert across == ([28, 29, 31, 32] if reach == 3 else []), "an ignored column is no class, but may be crossed"


def test_mistakes_are_those_of_seed_image_and_pixel():
    asked, truth, annotator = everywhere(scene()), scene(), AnnotatorSettings(error=0.5)
    whole = answer_as(annotator, asked, truth, IDS, 4, 0).values
    some = np.random.default_rng(0).permutation(len(asked))[:200]
    few = Pixels(asked.images[some], asked.flat[some], asked.values[some])
    assert np.array_equal(answer_as(annotator, few, truth, IDS, 4, 0).values, whole[some])
    assert not np.array_equal(answer_as(annotator, few, truth, IDS, 4, 1).values, whole[some])
    assert not np.array_equal(answer_as(annotator, few, truth, ["x", "y"], 4, 0).values, whole[some])
