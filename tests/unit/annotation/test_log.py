"""Rounds of answers that were given live: what is written is read, and each mistake is named by its line."""

import pytest

from pixelherd.annotation.log import read_round, write_round
from pixelherd.errors import UserError

IDS, SIZE = ["a", "=b", "c"], (4, 6)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "labels.csv"
    write_round(path, 2, [("=b", 3, 5, 1), ("a", 0, 0, 255)])
    found = read_round(path, 2, IDS, SIZE, 2)
    assert found.images.tolist() == [1, 0] and found.flat.tolist() == [23, 0] and found.values.tolist() == [1, 255]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,a,0,0,0", "line 2: is of round 1, not 0"),
        ("0,a,4,0,0", "line 2: row 4, column 0 is outside images of 4x6"),
        ("0,a,0,6,0", "row 0, column 6 is outside"),
        ("0,a,-1,0,0", "row -1, column 0 is outside"),
        ("0,d,0,0,0", "line 2: the dataset has no image 'd'"),
        ("0,a,0,0,2", "line 2: label 2 is no class of 2"),
        ("0,a,0,0,0.5", "label 0.5 is no class"),
        ("0,a,0,0,road", "is no number"),
        ("0,a,0,0,0\n0,a,0,0,1", "a pixel stands twice"),
        ("", "there is no answer"),
    ],
)
def test_mistakes_are_named(line, message, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(f"round,image,row,column,label\n{line}\n")
    with pytest.raises(UserError, match=message):
        read_round(path, 0, IDS, SIZE, 2)
