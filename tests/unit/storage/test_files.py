"""Files hold their old content or all of the new, and are the same on every system."""

import csv
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelherd.storage.files import (
    digest_of,
    digest_of_text,
    harmless,
    hash_of,
    original,
    read_csv,
    sorted_json,
    write_csv,
    write_json,
    write_text,
)


def test_tables_are_the_same_on_every_system(tmp_path):
    write_csv(
        tmp_path / "deep" / "table.csv", ("name", "value"), iter([("a, b", 1), ('say "c"', ""), ("d\u00fc", 0.5)])
    )
    written = (tmp_path / "deep" / "table.csv").read_bytes()
    assert written == 'name,value\n"a, b",1\n"say ""c""",\nd\u00fc,0.5\n'.encode()


FORMULAS = [
    "=1+1",
    "@SUM(A1)",
    "+cmd",
    "-a",
    "\t=1",
    "\r=1",
    "'=1",
    "''=1",
    "＝1",
    "=1,2",
    '="a"',
    "=1\n2",
    "-1-1",
    "-",
]
ORDINARY = ["a", "'tis", "'", "", "a=b", "-0.5", "-1e-05", "+3", "-inf", "'3", " =1", "dü", "''"]


@pytest.mark.hostile("names that leave the house")
def test_no_cell_is_a_formula_and_every_cell_is_read_back(tmp_path):
    columns, rows = ("=a", "b"), [[cell, f"{cell}x"] for cell in FORMULAS + ORDINARY]
    write_csv(tmp_path / "table.csv", columns, rows)
    with open(tmp_path / "table.csv", newline="", encoding="utf-8") as file:
        written = list(csv.reader(file))
    for (cell, _), (found, _) in zip(rows, written[1:], strict=True):
        assert found == (f"'{cell}" if cell in FORMULAS else cell), "ordinary cells keep their bytes"
    assert [list(row.values()) for _, row in read_csv(tmp_path / "table.csv", columns)] == rows


@given(st.text(alphabet=st.one_of(st.sampled_from("'=+-@\t0.1"), st.characters(exclude_categories=["Cs"]))))
def test_the_escape_is_undone(cell):
    assert original(harmless(cell)) == cell
    assert harmless(cell)[:1] not in ("=", "@", "\t", "\r")


@pytest.mark.parametrize("cell", FORMULAS[:6])
@pytest.mark.hostile("names that leave the house")
def test_files_older_than_the_escape_are_read_as_they_stand(tmp_path, cell):
    with open(tmp_path / "table.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["name"], [cell]])
    assert read_csv(tmp_path / "table.csv", ["name"])[0][1] == {"name": cell}


def test_a_file_holds_its_old_content_or_all_of_the_new(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new \ud800")  # cannot be encoded
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    write_text(path, "new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_json_keeps_the_order_of_keys(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [2]})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"b": 1, "a": [2]} and text.index('"b"') < text.index('"a"') and text.endswith("}\n")


@given(st.text(st.characters(codec="utf-8")))
def test_a_text_has_the_digest_of_its_file(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "text"
    path.write_bytes(text.encode())
    assert digest_of(path) == digest_of_text(text) == hashlib.sha256(text.encode()).hexdigest()


def test_equal_settings_have_one_hash_in_any_order_of_keys():
    assert hash_of({"a": 1, "b": {"c": [1, 2], "d": None}}) == hash_of({"b": {"d": None, "c": [1, 2]}, "a": 1})
    assert hash_of({"a": [1, 2]}) != hash_of({"a": [2, 1]})


@given(
    st.dictionaries(st.text(max_size=5), st.lists(st.text(max_size=3) | st.integers() | st.none(), max_size=4)),
    st.text(max_size=5),
)
def test_a_hash_is_the_same_with_parts_that_were_written_before(settings, key):
    whole = {**settings, key: {"b": [1, "é"], "a": None}}
    rest = {name: value for name, value in whole.items() if name != key}
    assert hash_of(rest, {key: sorted_json(whole[key])}) == hash_of(whole)
