"""Records tell when they are damaged, or are another's."""

import json
import re
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelherd.errors import UserError
from pixelherd.storage import records
from pixelherd.storage.records import check_beside, check_digests, is_sound, read_record, write_digests, write_record
from unit.storage.harm import BYTES, flipped

CONTENT = {"settings": "a1", "splits": {"train": [["a", "0f", ""], ["é \ud800", "1e3", ""]], "none": []}, "share": 0.5}


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "demo.json"
    write_record(path, CONTENT)
    return path


def mistake(path, name=None):
    """The line by which a record is refused."""
    with pytest.raises(UserError) as error:
        read_record(path, name)
    assert not is_sound(path, name) and str(path) in str(error.value) and "\n" not in str(error.value)
    assert error.value.remedy
    return str(error.value)


def test_a_record_reads_as_it_was_written(record):
    assert read_record(record) == CONTENT and is_sound(record)
    assert json.loads(record.read_text())["name"] == "demo.json", "so that a copy elsewhere is known for one"


@given(where=BYTES, value=st.integers(0, 255))
def test_a_record_of_which_a_byte_is_another_is_refused_or_says_the_same(record, where, value):
    whole = record.read_bytes()
    harmed = flipped(whole, where, value)
    path = record.parent / "harmed" / record.name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(harmed)
    if is_sound(path):
        assert read_record(path) == CONTENT, "white space, or a letter of \\u00e9"
    else:
        assert "is damaged" in mistake(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b"\0" * 99, b"\xff", b'{"sha256": "0"}', b"1"])
@pytest.mark.hostile("files of cache and results")
def test_a_file_that_is_no_record_is_refused(tmp_path, content):
    (tmp_path / "demo.json").write_bytes(content)
    assert "is damaged" in mistake(tmp_path / "demo.json")


def test_a_record_that_is_not_there_or_another_s_is_refused(tmp_path, record):
    assert "is missing; run the same command again" in mistake(tmp_path / "absent.json")
    (tmp_path / "other.json").write_bytes(record.read_bytes())
    assert "is demo.json in the wrong place; delete it" in mistake(tmp_path / "other.json")
    write_record(tmp_path / "manifest.json", CONTENT, "00000-00003-abc")
    assert read_record(tmp_path / "manifest.json", "00000-00003-abc") == CONTENT
    assert "is 00000-00003-abc in the wrong place" in mistake(tmp_path / "manifest.json", "00000-00003-abd")
    (tmp_path / "folder.json").mkdir()
    assert "is damaged" in mistake(tmp_path / "folder.json")


@pytest.fixture
def step(tmp_path):
    """A round's folder, two of whose files are recorded, and one is not."""
    folder = tmp_path / "runs" / "demo" / "ddpm" / "random" / "budget-3" / "seed-0" / "round-0"
    folder.mkdir(parents=True)
    for name in ("queries.csv", "labels.csv", "head.safetensors"):
        (folder / name).write_text(name)
    write_digests(folder / "score.json", [folder / "queries.csv", folder / "labels.csv"])
    return folder


def test_files_are_compared_with_the_record_beside_them(step):
    check_digests(step / "score.json")
    for file in step.iterdir():
        check_beside(file)
    (step / "head.safetensors").write_text("what no record tells of")
    check_beside(step / "head.safetensors")
    check_digests(step / "absent.json")  # of a version that wrote none


@pytest.mark.parametrize("harm", ["changed", "empty", "gone"])
@pytest.mark.hostile("files of cache and results")
def test_a_file_that_is_not_what_its_record_says_is_named(step, harm):
    path = step / "labels.csv"
    path.unlink() if harm == "gone" else path.write_text({"changed": "labels.csw", "empty": ""}[harm])
    what = "is missing" if harm == "gone" else "has changed since pixelherd wrote it"
    for refused in (lambda: check_digests(step / "score.json"), lambda: check_beside(path)):
        with pytest.raises(UserError) as error:
            refused()
        assert re.fullmatch(rf"{path} {what}; delete .* and run the same command again", str(error.value))
    check_beside(step / "queries.csv")
    check_digests(step / "score.json", ["queries.csv", "another.csv"])


def test_records_of_two_runs_in_each_others_places_are_refused(step):
    other = step.parents[1] / "seed-1" / "round-0"
    other.mkdir(parents=True)
    for file in step.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match="in the wrong place"):
        check_digests(other / "score.json")


def test_a_seal_of_old_holds_no_digest_of_its_own():
    content = {"rounds": 2}
    assert records.is_own_digest(content)
    assert records.is_own_digest(content | {records.SEAL_DIGEST: records.hash_of(content)})
    assert not records.is_own_digest({"rounds": 3, records.SEAL_DIGEST: records.hash_of(content)})


def test_a_record_that_is_written_for_another_place_is_right_there_alone(tmp_path):
    copy, place = tmp_path / "copy", tmp_path / "results"
    for folder in (copy, place):
        folder.mkdir()
        (folder / "report.html").write_text("page")
    write_digests(copy / "report.json", [copy / "report.html"], place=str(place / "report.json"))
    shutil.copy(copy / "report.json", place / "report.json")
    check_digests(place / "report.json")
    with pytest.raises(UserError, match="in the wrong place"):
        check_digests(copy / "report.json")
