"""What is known of a photograph: seen once, kept, seen again where its file or what was kept is another."""

import os

import numpy as np
import pytest
from PIL import Image

from pixelherd.errors import UserError
from pixelherd.labelling.learning.reading import LEAST, MOST, POOL, SAMPLED
from unit.labelling.learning.conftest import SIZE, Photograph


def test_a_photograph_is_seen_once_and_known_the_same_by_whoever_comes_later(reader, seen, tmp_path):
    photograph = Photograph(tmp_path / "photos" / "a.png")
    first, again = reader.read(photograph, 3), reader.read(photograph, 3)
    assert len(seen) == 1 and (first.name, first.key) == ("a", again.key)
    for name in ("pixels", "vectors", "sampled"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert len(set(first.pixels.tolist())) == MOST and first.vectors.shape == (MOST, 4)
    assert first.sampled.shape == (SAMPLED, 4) and first.vectors.dtype == np.float16
    assert np.allclose(np.linalg.norm(first.vectors.astype(np.float32), axis=1), 1, atol=1e-2)
    maps = reader.maps(first.key)
    assert maps[0].shape == (1, 4, SIZE[0] // 4, SIZE[1] // 4)
    assert maps[0][0, 0, 0, 0] == 1 and maps[0][0, 0, 0, -1] == 0, "red on the left"


def test_the_first_pixels_of_the_list_stand_for_both_halves(reader, tmp_path):
    known = reader.read(Photograph(tmp_path / "photos" / "a.png"), 1)
    first = known.pixels[:2] % SIZE[1]
    assert sorted(first >= SIZE[1] // 2) == [False, True]


@pytest.mark.parametrize(("photographs", "length"), [(1, MOST), (100, 2 * POOL // 100), (10_000, LEAST)])
def test_of_many_photographs_each_offers_few_pixels(reader, tmp_path, photographs, length):
    assert len(reader.read(Photograph(tmp_path / "photos" / "a.png"), photographs).pixels) == length


def test_pictures_for_the_page_are_kept(reader, tmp_path):
    known = reader.read(Photograph(tmp_path / "photos" / "a.png"), 1)
    for name in (f"{known.key}.jpg", f"{known.key}-small.jpg"):
        with Image.open(reader.cache / name) as picture:
            assert picture.format == "JPEG" and picture.width / picture.height == SIZE[1] / SIZE[0]


def test_a_file_that_changes_is_another_photograph(reader, seen, tmp_path):
    photograph = Photograph(tmp_path / "photos" / "a.png")
    before = reader.read(photograph, 1)
    photograph = Photograph(tmp_path / "photos" / "a.png", red=4)
    os.utime(photograph.path, ns=(0, 0))
    after = reader.read(photograph, 1)
    assert before.key != after.key and len(seen) == 2
    assert reader.maps(after.key)[0][0, 0, 0, 2] == 0, "what is known is of the new one"


@pytest.mark.parametrize("damage", [b"", b"no archive", None], ids=["empty", "other", "cut"])
def test_what_is_damaged_in_the_cache_is_made_again(reader, seen, tmp_path, damage):
    photograph = Photograph(tmp_path / "photos" / "a.png")
    known = reader.read(photograph, 1)
    path = reader.cache / f"{known.key}.npz"
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    again = reader.read(photograph, 1)
    assert len(seen) == 2 and np.array_equal(known.vectors, again.vectors)


def test_a_half_written_photograph_is_a_mistake_and_leaves_nothing(reader, tmp_path):
    photograph = Photograph(tmp_path / "photos" / "a.png")
    whole = photograph.path.read_bytes()
    photograph.path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"a\.png"):
        reader.read(photograph, 1)
    assert not reader.cache.exists() or not list(reader.cache.iterdir())
    photograph.path.write_bytes(whole)
    assert reader.read(photograph, 1).name == "a"
