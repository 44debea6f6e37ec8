"""Folders are complete or absent: whatever ends a job early, its folder is not read."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelherd.errors import UserError
from pixelherd.storage.files import (
    MANIFEST,
    create_array,
    digest_of,
    harmless,
    open_array,
    original,
    read_csv,
    read_manifest,
    write_csv,
    write_json,
    write_text,
    writing,
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
def test_files_older_than_the_escape_are_read_as_they_stand(tmp_path, cell):
    with open(tmp_path / "table.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["name"], [cell]])
    assert read_csv(tmp_path / "table.csv", ["name"])[0][1] == {"name": cell}


@pytest.fixture
def folder(tmp_path):
    facts = {"images": 2}
    with writing(tmp_path / "store", facts) as folder:
        array = create_array(folder, "vectors", (2, 3), "float16")
        array[1] = [1, 2, 3]
        array.flush()
        write_text(folder / "deep" / "er.txt", "text")
        facts["bandwidth"] = 0.5
    return folder


def test_a_manifest_lists_every_file_with_the_facts(folder):
    manifest = read_manifest(folder)
    assert manifest["images"] == 2 and manifest["bandwidth"] == 0.5
    assert set(manifest["files"]) == {"vectors.npy", "deep/er.txt"}
    for name, recorded in manifest["files"].items():
        assert recorded == {"bytes": (folder / name).stat().st_size, "sha256": digest_of(folder / name)}


def test_arrays_start_as_zeros_and_open_read_only(folder):
    array = open_array(folder, "vectors")
    assert array.dtype == np.float16 and array.tolist() == [[0, 0, 0], [1, 2, 3]]
    with pytest.raises(ValueError):
        array[0] = 1


@pytest.mark.parametrize("harm", ["truncate", "delete", "no manifest", "half a manifest", "empty manifest"])
def test_a_folder_that_was_harmed_is_not_read(folder, harm):
    vectors, manifest = folder / "vectors.npy", folder / MANIFEST
    if harm == "truncate":
        vectors.write_bytes(vectors.read_bytes()[:-1])
    elif harm == "delete":
        vectors.unlink()
    elif harm == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text()[:20] if harm == "half a manifest" else "")
    with pytest.raises(UserError, match=r"store.*delete") as error:
        read_manifest(folder)
    assert "\n" not in str(error.value)


def test_a_job_that_fails_leaves_no_manifest(folder):
    with pytest.raises(ZeroDivisionError), writing(folder, {}):
        write_text(folder / "new.txt", "half")
        raise ZeroDivisionError
    with pytest.raises(UserError, match="incomplete"):
        read_manifest(folder)
    with writing(folder, {}):
        write_text(folder / "new.txt", "whole")
    assert set(read_manifest(folder)["files"]) == {"new.txt"}  # nothing of the attempts before


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
