"""Stores are complete or absent, and what is read of them is what was written: else a line says what to delete."""

import itertools
import shutil
import zipfile

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelherd.errors import UserError
from pixelherd.storage.files import write_text
from pixelherd.storage.stores import (
    MANIFEST,
    checksum_of,
    create_array,
    create_chunks,
    is_whole,
    load_arrays,
    open_array,
    open_zarr,
    read_manifest,
    save_arrays,
    writing,
)
from unit.storage.harm import BYTES, files_below, flipped, swap, ways

NAMES = ("00000-00001-aa", "00000-00001-ab")
IMAGES = "data/arrays.zarr/train/images"


@pytest.fixture
def folder(tmp_path):
    facts = {"images": 2}
    with writing(tmp_path / "store", facts) as folder:
        array = create_array(folder, "vectors", (2, 3), "float16")
        array[1] = [1, 2, 3]
        array.flush()
        write_text(folder / "deep" / "er.txt", "text")
        facts["bandwidth"] = 0.5
    return tmp_path / "store"


def test_a_manifest_lists_every_file_with_the_facts(folder):
    manifest = read_manifest(folder)
    assert manifest["images"] == 2 and manifest["bandwidth"] == 0.5
    assert set(manifest["files"]) == {"data/vectors.npy", "data/deep/er.txt"}
    for name, recorded in manifest["files"].items():
        assert recorded == {"bytes": (folder / name).stat().st_size, "crc32c": checksum_of(folder / name)}


def test_checksums_are_castagnoli_s(tmp_path):
    (tmp_path / "digits").write_bytes(b"123456789")
    assert checksum_of(tmp_path / "digits") == 0xE3069283, "as in RFC 3720 and the catalogue of CRCs"


def test_arrays_start_as_zeros_and_open_read_only(folder):
    array = open_array(folder, "vectors")
    assert array.dtype == np.float16 and array.tolist() == [[0, 0, 0], [1, 2, 3]]
    with pytest.raises(ValueError):
        array[0] = 1


def test_a_job_that_fails_leaves_no_manifest(folder):
    assert is_whole(folder)
    with pytest.raises(ZeroDivisionError), writing(folder, {}):
        write_text(folder / "new.txt", "half")
        raise ZeroDivisionError
    assert not is_whole(folder)
    with pytest.raises(UserError, match="incomplete"):
        read_manifest(folder)
    with writing(folder, {}) as data:
        write_text(data / "new.txt", "whole")
    assert set(read_manifest(folder)["files"]) == {"data/new.txt"}  # nothing of the attempts before


def test_what_is_removed_from_under_a_job_does_not_make_half_a_store(folder):
    """A Snakemake after a killed one removes outputs that the killed one's jobs are still writing."""
    with writing(folder, {"images": 2}) as data:
        write_text(data / "first.txt", "first")
        shutil.rmtree(folder, ignore_errors=True)
        write_text(data / "second.txt", "second")
    assert set(read_manifest(folder)["files"]) == {"data/first.txt", "data/second.txt"}
    assert [path.name for path in folder.parent.iterdir()] == ["store"]


def test_a_manifest_without_its_files_is_told_in_a_line(folder):
    """As where they are removed between the two, by a person or a killed Snakemake."""
    open_array(folder, "vectors")
    shutil.rmtree(folder / "data")
    with pytest.raises(UserError, match=r"data/vectors.npy is missing or truncated; delete .*store and run the same"):
        open_array(folder, "vectors")
    with writing(folder, {}) as data:
        write_text(data / "other.txt", "other")
    create_array(folder / "data", "vectors", (2, 3), "float16")
    with pytest.raises(UserError, match=r"data/vectors.npy is damaged; delete"):
        open_array(folder, "vectors")


def test_a_job_that_is_ended_leaves_nothing(folder):
    with pytest.raises(KeyboardInterrupt), writing(folder, {}) as data:
        write_text(data / "new.txt", "half")
        raise KeyboardInterrupt
    assert list(folder.parent.iterdir()) == []


def fill(folder, seed):
    """Write a store with arrays of each kind, whose files are as long as those of any other seed."""
    rng = np.random.default_rng(seed)
    with writing(folder, {"images": 2, "seed": seed}) as folder:
        for name in ("pixels", "ranks"):
            array = create_array(folder, name, (2, 3), "int32")
            array[:] = rng.integers(0, 1000, (2, 3))
            array.flush()
        group = zarr.open_group(folder / "arrays.zarr", mode="w", zarr_format=3)
        for name in ("train/images", "train/labels"):
            array = create_chunks(group, name, (2, 4, 4), "uint8", compressed=False)
            array[:] = rng.integers(0, 256, (2, 4, 4))
        array[1] = 0  # which Zarr would give for a chunk that is gone, too


def content_of(folder):
    """All that is read of such a store, by everybody."""
    group = open_zarr(folder, "arrays.zarr")
    arrays = [open_array(folder, name).tolist() for name in ("pixels", "ranks")]
    for name in ("train/images", "train/labels"):
        arrays += [np.asarray(group[name][:]).tolist(), np.asarray(group[name][1]).tolist()]
    return read_manifest(folder)["seed"], arrays


def check_told_or_the_same(folder, expected):
    """Read a store that may be harmed: it must be told in a line, or be as it was."""
    try:
        found = content_of(folder)
    except UserError as error:
        line = str(error)
        assert str(folder) in line and "\n" not in line and error.remedy.startswith("delete ")
        return line
    assert found == expected
    return None


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two stores that differ in name and numbers alone; tests leave them as they find them."""
    root = tmp_path_factory.mktemp("stores")
    for seed, name in enumerate(NAMES):
        fill(root / name, seed)
    return [root / name for name in NAMES]


@pytest.fixture(scope="module")
def contents(pair):
    return [content_of(folder) for folder in pair]


def test_a_zarr_array_has_a_file_for_each_entry_and_no_folders(pair):
    names = sorted(path.relative_to(pair[0] / IMAGES).as_posix() for path in (pair[0] / IMAGES).rglob("*"))
    assert names == ["c.0.0.0", "c.1.0.0", "zarr.json"]


def test_arrays_of_before_whose_chunks_have_folders_are_read(tmp_path):
    with writing(tmp_path / "store", {}) as folder:
        group = zarr.open_group(folder / "arrays.zarr", mode="w", zarr_format=3)
        group.create_array("images", shape=(2, 4, 4), chunks=(1, 4, 4), dtype="uint8")[:] = 7
    assert (tmp_path / "store/data/arrays.zarr/images/c/1/0/0").is_file()
    images = open_zarr(tmp_path / "store", "arrays.zarr")["images"]
    assert (images[:] == 7).all() and images.shape == (2, 4, 4)


@settings(max_examples=150)
@given(data=st.data(), where=BYTES, value=st.integers(0, 255))
def test_a_byte_of_any_file_that_is_another_is_told(pair, contents, data, where, value):
    path = data.draw(st.sampled_from(files_below(pair[0])))
    whole = path.read_bytes()
    harmed = flipped(whole, where, value)
    path.write_bytes(harmed)
    try:
        line = check_told_or_the_same(pair[0], contents[0])
    finally:
        path.write_bytes(whole)
    if path.suffix != ".json" and harmed != whole:
        assert f"{path} is damaged" in line


def test_files_that_are_cut_emptied_zeroed_or_gone_are_told(pair, contents):
    for path in files_below(pair[0]):
        whole = path.read_bytes()
        for left in (each for each in ways(whole) if each != whole):  # a file of zeros stays what it is
            if left is None:
                path.unlink()
            else:
                path.write_bytes(left)
            line = check_told_or_the_same(pair[0], contents[0])
            path.write_bytes(whole)
            assert line or path.suffix == ".json", (path, left)  # white space, or of a group that nobody opens
    assert content_of(pair[0]) == contents[0]


def test_files_of_equal_size_that_took_each_others_places_are_told(pair, contents):
    swapped = 0
    for one, other in itertools.combinations(files_below(pair[0]) + files_below(pair[1]), 2):
        if one.stat().st_size == other.stat().st_size and one.read_bytes() != other.read_bytes():
            swap(one, other)
            try:
                told = [check_told_or_the_same(folder, content) for folder, content in zip(pair, contents, strict=True)]
            finally:
                swap(one, other)
            assert any(told), (one, other)
            swapped += 1
    assert swapped > 20


def test_stores_that_took_each_others_places_are_told(pair, contents):
    for places in (pair, [folder / "data" / "arrays.zarr" for folder in pair], [folder / MANIFEST for folder in pair]):
        swap(*places)
        try:
            told = [check_told_or_the_same(folder, content) for folder, content in zip(pair, contents, strict=True)]
        finally:
            swap(*places)
        assert all(told), places


def test_a_store_may_be_moved_but_not_renamed(pair, contents, tmp_path):
    shutil.copytree(pair[0], tmp_path / "elsewhere" / NAMES[0])
    assert content_of(tmp_path / "elsewhere" / NAMES[0]) == contents[0]
    shutil.copytree(pair[0], tmp_path / "00000-00001-ff")
    line = check_told_or_the_same(tmp_path / "00000-00001-ff", contents[0])
    assert f"is {NAMES[0]} in the wrong place" in line


def test_a_chunk_that_goes_while_its_array_is_open_is_told(pair):
    images = open_zarr(pair[0], "arrays.zarr")["train/images"]
    chunk = pair[0] / IMAGES / "c.1.0.0"
    whole = chunk.read_bytes()
    for harm in (chunk.unlink, lambda: chunk.write_bytes(bytes(len(whole)))):
        harm()
        try:
            images[0]
            with pytest.raises(UserError, match=r"c\.1\.0\.0 is damaged; delete"):
                images[1]
        finally:
            chunk.write_bytes(whole)


def test_an_array_is_read_for_its_checksum_once_and_again_when_it_changed(folder, monkeypatch):
    from pixelherd.storage import stores

    read = []
    monkeypatch.setattr(stores, "checksum_of", lambda path: read.append(path) or checksum_of(path))
    for _ in range(3):
        open_array(folder, "vectors")
    assert read == [folder / "data" / "vectors.npy"]
    path = folder / "data" / "vectors.npy"
    path.write_bytes(flipped(path.read_bytes(), 0.99, 77))
    with pytest.raises(UserError, match="damaged"):
        open_array(folder, "vectors")


# Single files of arrays


@pytest.fixture(scope="module")
def arrays():
    return {"ranks": np.arange(5, dtype="int32"), "scores": np.linspace(0, 1, 3), "none": np.zeros((0, 4), "float16")}


@pytest.fixture(scope="module")
def archive(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("ranks") / "round-1-aa" / "00000-00003.npz"
    save_arrays(path, **arrays)
    return path


def same(found, arrays):
    return found.keys() == arrays.keys() and all(
        found[name].dtype == array.dtype and np.array_equal(found[name], array) for name, array in arrays.items()
    )


def mistake(path):
    with pytest.raises(UserError) as error:
        load_arrays(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value) and "run the same" in error.value.remedy
    return str(error.value)


def test_arrays_of_one_file_read_as_they_were_written(archive, arrays):
    assert same(load_arrays(archive), arrays)
    with np.load(archive) as file, zipfile.ZipFile(archive) as zipped:  # with other programs, too
        assert {"ranks", "scores", "none"} <= set(file) and zipped.testzip() is None


@settings(max_examples=300)
@given(where=BYTES, value=st.integers(0, 255))
def test_a_byte_of_an_archive_that_is_another_is_told(archive, arrays, where, value):
    whole = archive.read_bytes()
    harmed = flipped(whole, where, value)
    archive.write_bytes(harmed)
    try:
        if harmed == whole:
            assert same(load_arrays(archive), arrays)
        else:
            assert "is damaged" in mistake(archive)
    finally:
        archive.write_bytes(whole)


def test_an_archive_that_is_cut_empty_gone_or_another_s_is_told(archive, tmp_path):
    path = tmp_path / "round-1-aa" / archive.name
    path.parent.mkdir()
    whole = archive.read_bytes()
    for left in [*filter(None, ways(whole)), b"", b"\0" * 4, *(whole[:length] for length in range(0, len(whole), 7))]:
        path.write_bytes(left)
        assert "is damaged" in mistake(path)
    path.unlink()
    assert "is missing" in mistake(path)
    path.mkdir()
    assert "is unreadable" in mistake(path)
    other = archive.parent.with_name("round-2-ab") / archive.name
    save_arrays(other, ranks=np.arange(5, dtype="int32"))
    swap(archive, other)
    try:
        assert "is round-2-ab/00000-00003.npz in the wrong place" in mistake(archive)
        assert "is round-1-aa/00000-00003.npz in the wrong place" in mistake(other)
    finally:
        swap(archive, other)


def test_objects_are_not_stored(tmp_path):
    with pytest.raises(ValueError):
        save_arrays(tmp_path / "a.npz", objects=np.array([{}], dtype=object))
    assert not list(tmp_path.iterdir())
