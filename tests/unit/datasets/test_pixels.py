"""The files of a round: what is written is read back, and mistakes name the line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelherd.datasets.pixels import LABEL_COLUMNS, QUERY_COLUMNS, Pixels, answer, read_pixels, write_pixels
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
