"""Shards split the images without a gap, and together read like one array."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelherd.errors import UserError
from pixelherd.storage.shards import Shards, images_of, ranges, write_index
from pixelherd.storage.stores import create_array, writing

VALUES = np.arange(7 * 2 * 3, dtype="int32").reshape(7, 2, 3)


@given(st.integers(1, 300), st.integers(1, 400))
@settings(max_examples=50)
def test_ranges_hold_every_image_once_and_sort_by_name(images, images_per_job):
    names = ranges(images, images_per_job)
    assert [image for name in names for image in images_of(name)] == list(range(images))
    assert all(len(images_of(name)) == images_per_job for name in names[:-1])
    assert names == sorted(names)


@pytest.fixture(params=[1, 3, 7])
def folders(tmp_path, request):
    made = []
    for name in ranges(len(VALUES), request.param):
        with writing(tmp_path / name, {}) as folder:
            array = create_array(folder, "values", (len(images_of(name)), 2, 3), "int32")
            array[:] = VALUES[images_of(name)]
            array.flush()
        made.append(tmp_path / name)
    return made


def test_a_split_reads_like_one_array(tmp_path, folders):
    write_index(tmp_path / "index.json", folders)
    shards = Shards.open(tmp_path / "index.json")
    assert len(shards) == len(VALUES)
    assert np.array_equal(shards.all("values"), VALUES)
    lazy = shards.lazily("values")
    assert len(lazy) == len(VALUES) and np.array_equal(lazy[[5, 0, 5]], VALUES[[5, 0, 5]])
    for image, values in enumerate(VALUES):
        assert np.array_equal(shards.image("values", image), values)
        folder, offset = shards.place(image)
        assert images_of(folder.name)[offset] == image


def test_one_shard_reads_its_images_by_their_place_in_the_split(folders):
    shard = Shards.open(folders[-1] / "manifest.json")
    images = images_of(folders[-1].name)
    assert len(shard) == len(images)
    for image in images:
        assert np.array_equal(shard.image("values", image), VALUES[image])


@pytest.mark.hostile("files of cache and results")
def test_an_incomplete_shard_is_refused(tmp_path, folders):
    write_index(tmp_path / "index.json", folders)
    (folders[0] / "data" / "values.npy").write_bytes(b"")
    for refused in (
        lambda: Shards.open(tmp_path / "index.json"),
        lambda: Shards.open(folders[0] / "manifest.json"),
        lambda: write_index(tmp_path / "index.json", folders),
    ):
        with pytest.raises(UserError, match=r"values.npy is missing or truncated"):
            refused()


def test_an_index_reads_no_other_shards_than_those_that_it_was_made_of(tmp_path, folders):
    write_index(tmp_path / "index.json", folders)
    with writing(folders[-1], {}) as folder:
        array = create_array(folder, "values", (len(images_of(folders[-1].name)), 2, 3), "int32")
        array.flush()
    with pytest.raises(UserError, match=rf"{folders[-1]} is not what .*index.json names; delete both and run again"):
        Shards.open(tmp_path / "index.json")
    (folders[-1] / "manifest.json").unlink()
    with pytest.raises(UserError, match="incomplete"):
        Shards.open(tmp_path / "index.json")


@pytest.mark.parametrize("content", ["", "{}", '{"shards": []}'])
@pytest.mark.hostile("files of cache and results")
def test_a_damaged_index_is_refused(tmp_path, folders, content):
    write_index(tmp_path / "index.json", folders)
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(UserError, match=r"index.json is damaged.*; delete it"):
        Shards.open(tmp_path / "index.json")


@pytest.mark.hostile("files of cache and results")
def test_damage_is_told_when_it_is_read(tmp_path, folders):
    write_index(tmp_path / "index.json", folders)
    path = folders[0] / "data" / "values.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    shards = Shards.open(tmp_path / "index.json")
    for read in (lambda: shards.image("values", 0), lambda: shards.all("values"), lambda: shards.lazily("values")[[0]]):
        with pytest.raises(UserError, match=r"values.npy is damaged; delete"):
            read()


def test_an_address_in_a_name_is_no_matter_to_its_images():
    assert images_of("00004-00006-0123456789ab") == images_of("00004-00006") == range(4, 7)
