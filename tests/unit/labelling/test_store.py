"""The store of answers: rows that are added, never changed, and there after a kill."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pixelherd.errors import UserError
from pixelherd.labelling.store import UNKNOWN, Class, Said, Store

WRITER = """
import sys
from pixelherd.labelling.store import Said, Store
store = Store(sys.argv[1])
for number in range(100_000):
    answer = store.answer(Said("a", number, 0, 1, "ann"), f"{sys.argv[2]}-{number}")
    print(answer.id, flush=True)
"""


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "answers.sqlite")
    yield store
    store.close()


def test_what_is_added_is_there_when_the_file_is_opened_again(store, tmp_path):
    road = store.describe(Class(0, "road", "#804080", "1"), "ann")
    store.describe(Class(0, "sky", "#4080c0", "2"), "ann")
    store.add_images(["b", "a"])
    store.add_images(["c", "a"])
    store.note(size="[4, 5]", seed="0")
    question = store.ask(("a", 1, 2), "coverage", "ann")
    answer = store.answer(Said("a", 1, 2, road.id, "ann", question=question.id))
    store.answer(Said("a", 1, 2, UNKNOWN, "bob", replaces=answer.id))
    store.skip(question.id)
    store.checkpoint(2)
    again = Store(tmp_path / "answers.sqlite")
    assert again.images() == ["b", "a", "c"] and again.facts() == {"size": "[4, 5]", "seed": "0"}
    assert [each.name for each in again.classes()] == ["road", "sky"]
    assert again.questions() == [question] and again.skips() == {question.id}
    said = [(each.label, each.annotator, each.replaces) for each in again.answers()]
    assert said == [(1, "ann", None), (0, "bob", 1)]
    assert again.answers(after=1) == store.answers()[1:] and again.answers()[0] == answer
    assert [each.answer for each in again.checkpoints()] == [2] and again.is_sound()
    again.close()


def test_classes_keep_their_numbers_whatever_they_are_called(store):
    road, tree = (store.describe(Class(0, name, "#000000", ""), "ann") for name in ("road", "tree"))
    store.describe(Class(road.id, "street", "#ff0000", "s"), "bob")
    store.describe(Class(tree.id, "tree", "#000000", "", merged_into=road.id), "bob")
    bush = store.describe(Class(0, "bush", "#00ff00", ""), "ann")
    assert bush.id == 3, "numbers are not given twice"
    assert store.classes() == [
        Class(1, "street", "#ff0000", "s"), Class(2, "tree", "#000000", "", merged_into=1), bush,
    ]  # fmt: skip


def test_an_answer_that_is_sent_again_is_one_row(store):
    first = store.answer(Said("a", 0, 0, 1, "ann"), "receipt")
    assert store.answer(Said("a", 0, 0, 1, "ann"), "receipt") == first and store.answers() == [first]


def test_all_or_nothing(store):
    with pytest.raises(RuntimeError), store.writing():
        store.ask(("a", 0, 0), "coverage", "ann")
        store.answer(Said("a", 0, 0, 1, "ann"))
        raise RuntimeError
    assert store.answers() == store.questions() == []
    with pytest.raises(Exception, match="FOREIGN KEY"):
        store.answer(Said("a", 0, 0, 1, "ann", replaces=7))


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + 100 * b"x"])
def test_a_file_that_is_no_store_is_named(content, tmp_path):
    path = tmp_path / "answers.sqlite"
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be opened as a store of answers"):
        Store(path)


def test_a_store_of_a_later_version_is_left_alone(store):
    store._database.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="later pixelherd"):
        Store(store.path)


def test_every_answer_that_was_acknowledged_survives_kills(tmp_path):
    path, acknowledged = tmp_path / "answers.sqlite", []
    for turn in range(5):
        log = Path(tmp_path / f"{turn}.txt")
        with log.open("w") as out:
            writer = subprocess.Popen([sys.executable, "-c", WRITER, path, str(turn)], stdout=out)
            while not log.read_text():
                time.sleep(0.01)
            time.sleep(0.02 * turn)
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
        acknowledged += [int(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    store = Store(path)
    assert len(acknowledged) >= 5 and store.is_sound()
    assert set(acknowledged) <= {each.id for each in store.answers()}
    store.close()
