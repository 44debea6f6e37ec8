"""The photographs of a folder: read in turn, half written, mended, replaced, gone."""

import os
from dataclasses import dataclass

import pytest
from PIL import Image

from pixelherd.errors import UserError
from pixelherd.labelling import project as projects
from pixelherd.labelling.learning.photographs import LOOK_SECONDS, Photographs
from pixelherd.labelling.store import Said


@dataclass(frozen=True)
class Read:
    """What the stand-in for a reader gives of a photograph."""

    name: str
    size: int


class Reader:
    """Reads the size of a file; a problem is raised once."""

    def __init__(self) -> None:
        self.problem: Exception | None = None
        self.order: list[str] = []

    def read(self, sample, photographs):
        self.order.append(sample.id)
        problem, self.problem = self.problem, None
        if problem is not None:
            raise problem
        sample.load()
        return Read(sample.id, sample.path.stat().st_size)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in "abc":
        Image.new("RGB", (64, 64), "red" if name == "a" else "blue").save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


@pytest.fixture
def photographs(folder, tmp_path):
    project = projects.begin(folder, tmp_path / "labels")
    yield Photographs(project)
    project.store.close()


def read_all(photographs, reader) -> tuple[list[str], list[str]]:
    while photographs.is_reading():
        photographs.read_one(reader)
    read, failed = photographs.arrivals()
    return sorted(each.name for each in read), failed


def test_all_are_read_once_and_new_ones_join(photographs, folder):
    reader = Reader()
    assert photographs.look() == [] and sorted(photographs.there) == ["a", "b", "c"]
    assert read_all(photographs, reader) == (["a", "b", "c"], []) and not photographs.have_arrived()
    photographs.look()
    assert not photographs.is_reading(), "nothing has changed"
    Image.new("RGB", (64, 64)).save(folder / "d.png")
    photographs.look()
    assert read_all(photographs, reader) == (["d"], [])
    (folder / "b.png").unlink()
    assert photographs.look() == ["b"] and photographs.order() == ["a", "c", "d"]


def test_those_with_answers_are_read_first(photographs):
    photographs._project.store.add_images(["b"])
    photographs._project.store.answer(Said("b", 0, 0, 1, "ann"))
    reader = Reader()
    photographs.look()
    read_all(photographs, reader)
    assert reader.order[0] == "b"


def test_a_half_written_photograph_is_named_and_read_when_the_rest_has_come(photographs, folder):
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    reader = Reader()
    photographs.look()
    assert read_all(photographs, reader) == (["a", "c"], ["b"])
    assert list(photographs.unreadable) == ["b"] and "b.png" in photographs.unreadable["b"]
    photographs.look()
    assert not photographs.is_reading(), "it is as it was"
    (folder / "b.png").write_bytes(whole)
    photographs.look()
    assert photographs.unreadable, "it is named until it was read"
    assert read_all(photographs, reader) == (["b"], []) and not photographs.unreadable


def test_a_photograph_that_is_replaced_is_read_again_though_its_size_is_the_same(photographs, folder):
    reader = Reader()
    photographs.look()
    read_all(photographs, reader)
    state = (folder / "a.png").stat()
    os.utime(folder / "a.png", ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    photographs.look()
    assert read_all(photographs, reader) == (["a"], [])


def test_an_unreadable_photograph_that_is_gone_is_named_no_more(photographs, folder):
    (folder / "b.png").write_bytes(b"")
    photographs.look()
    assert read_all(photographs, Reader()) == (["a", "c"], ["b"])
    (folder / "b.png").unlink()
    assert photographs.look() == ["b"] and photographs.unreadable == {}


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), MemoryError("no memory"), RuntimeError()])
def test_what_is_no_fault_of_the_photograph_is_tried_again_by_itself(photographs, problem):
    reader = Reader()
    reader.problem = problem
    photographs.look()
    read, failed = read_all(photographs, reader)
    assert len(read) == 2 and photographs.unreadable.keys() == {*failed}
    photographs.look()
    assert read_all(photographs, reader) == (failed, []) and not photographs.unreadable


def test_the_folder_is_searched_seldom_where_that_takes_long(photographs, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    assert photographs.are_due()
    photographs.look()
    assert not photographs.are_due()
    now[0] += LOOK_SECONDS + 0.1
    assert photographs.are_due()
    photographs._cost = 1.0
    assert not photographs.are_due()
    now[0] += 30
    assert photographs.are_due()


def test_a_folder_that_is_emptied_keeps_what_is_known(photographs, folder):
    photographs.look()
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(UserError, match="no images"):
        photographs.look()
    assert sorted(photographs.there) == ["a", "b", "c"]
