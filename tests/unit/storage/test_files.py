"""Files hold their old content or all of the new, and are the same on every system."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelherd.storage.files import digest_of, digest_of_text, hash_of, write_csv, write_json, write_text


def test_tables_are_the_same_on_every_system(tmp_path):
    write_csv(
        tmp_path / "deep" / "table.csv", ("name", "value"), iter([("a, b", 1), ('say "c"', ""), ("d\u00fc", 0.5)])
    )
    written = (tmp_path / "deep" / "table.csv").read_bytes()
    assert written == 'name,value\n"a, b",1\n"say ""c""",\nd\u00fc,0.5\n'.encode()


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
