"""What the process that learns does in turns: what makes work, who is served first, what is told of mistakes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import pytest
from PIL import Image

from pixelherd.errors import UserError
from pixelherd.labelling import project as projects
from pixelherd.labelling.learning.loop import ANSWERS, FITS, MASKS, PATIENCE, Gone, Loop, Standing, Told
from pixelherd.labelling.store import Class


class Wire:
    """A connection on which messages come one after another; None is a moment without one, and after the last it ends.

    Args:
        messages: those that come.
    """

    def __init__(self, messages: Iterable[Told | None]) -> None:
        self._messages: Iterator[Told | None] = iter(messages)
        self._next: Told | None = None
        self.sent: list[Told] = []

    def poll(self, seconds: float) -> bool:
        try:
            self._next = next(self._messages)
        except StopIteration:
            raise EOFError from None
        return self._next is not None

    def recv(self) -> Told | None:
        return self._next

    def send(self, told: Told) -> None:
        self.sent.append(told)


class Model:
    """Stands in for the model."""

    def __init__(self) -> None:
        self.reader, self.head, self.known = None, None, {}

    def forget(self, name: str) -> bool:
        return self.known.pop(name, None) is not None


@pytest.fixture
def run(tmp_path, monkeypatch) -> Callable:
    """Runs a loop whose steps are noted; ``fit`` and others may be replaced."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "photos" / "a.png")

    def run(messages, **steps):
        project = projects.begin(tmp_path / "photos", tmp_path / "labels")
        wire, done = Wire(messages), []
        loop = Loop(wire, project, 7)
        loop.photographs.read = lambda reader: None
        for name in ("fit", "rank", "mask", "checkpoint"):
            act = steps.get(name, lambda: None)
            monkeypatch.setattr(loop, f"_{name}", lambda name=name, act=act: (done.append(name), act()))
        monkeypatch.setattr(loop, "_load", steps.get("load", lambda: setattr(loop, "model", Model())))
        with suppress(Gone):
            loop.run()
        project.store.close()
        return loop, done, wire.sent

    return run


def answers(said: int, taken: tuple = (), *classes: Class) -> Told:
    return Told(ANSWERS, Standing((), taken, said, classes))


def test_an_answer_is_learnt_and_questions_are_ranked_and_asking_alone_is_nothing_to_learn(run):
    quiet = [None] * 4
    messages = [*quiet, answers(0), *quiet, answers(1), *quiet, answers(1), *quiet, answers(1, (("a", 0, 0),)), *quiet]
    classes = [answers(1, (("a", 0, 0),), Class(1, "sky", "#000000", "")), *quiet]
    _, done, _ = run(messages + classes)
    both = ["fit", "rank"]
    assert done == [*both, *both, *both, "rank", *both], "at first, two answers, a question that is asked, a class"


def test_whoever_answers_faster_than_the_model_learns_is_not_left_without_questions(run):
    _, done, _ = run(each for said in range(40) for each in (answers(said), None))
    assert done.count("rank") == 40 // (FITS + 1)
    assert done[: FITS + 1] == ["fit"] * FITS + ["rank"]


def test_the_last_answer_is_painted_before_a_checkpoint_which_waits_for_no_more_than_some_steps(run):
    checkpoint = Told("checkpoint", ticket=5)
    _, done, sent = run([*[None] * 3, answers(1), checkpoint, *[None] * 5])
    assert done == ["fit", "rank", "fit", "rank", "checkpoint"]
    assert [told.ticket for told in sent if told.about == "checkpoint"] == [5]
    _, done, _ = run([checkpoint, *(each for said in range(20) for each in (answers(said), None))])
    assert done.index("checkpoint") == PATIENCE
    _, done, _ = run([answers(1), checkpoint, Told("end")])
    assert done == ["checkpoint"], "the server that ends waits for it"


def test_answers_that_wait_are_one_fit(run):
    _, done, _ = run([*(answers(said) for said in range(20)), *[None] * 4])
    assert done == ["fit", "rank"]


def test_a_mistake_is_told_until_the_same_goes_well_and_ends_nothing(run):
    problems = iter([UserError("the disk is full"), OSError(28, "No space left"), None])

    def fit():
        if problem := next(problems):
            raise problem

    _, done, sent = run([*[None] * 3, answers(1), *[None] * 3, answers(2), *[None] * 3], fit=fit)
    assert done == ["fit", "rank"] * 3
    mistakes = [told.content for told in sent if told.about == "mistake"]
    assert mistakes == ["the disk is full", "[Errno 28] No space left", None]


def test_a_network_that_cannot_be_had_is_said_and_nothing_else_is_done(run):
    def load():
        raise UserError("features.encoder: there is no such network")

    _, done, sent = run([answers(1)], load=load)
    assert done == [] and [told.about for told in sent] == ["reading", "failed"]
    assert sent[-1].content == "features.encoder: there is no such network"


def test_a_photograph_without_a_mask_stops_neither_the_others_nor_the_end(run, monkeypatch):
    written = []
    coco = "pixelherd.results.prediction.coco.write_coco"
    monkeypatch.setattr(coco, lambda folder, names, classes: written.append(names))

    def refuse(predictor, images, folder):
        raise UserError("1 of 1 images have no mask")

    monkeypatch.setattr("pixelherd.results.prediction.masks.predict_folder", refuse)
    monkeypatch.setattr(Loop, "_begin_masks", begin_masks)
    loop, _, sent = run([*[None] * 4, Told(MASKS), None], mask=lambda: None)
    for _ in range(2):
        Loop._mask(loop)
    told = [each.content for each in sent if each.about == MASKS]
    assert [(each["done"], each["of"]) for each in told] == [(1, 2), (2, 2)]
    assert written == [["a"]]


def begin_masks(loop: Loop) -> None:
    loop._predictor = type("Predictor", (), {"classes": []})()
    loop._masks.extend(["a", "gone"])
    loop._asked_masks = 2


def test_nothing_is_sent_to_a_server_that_is_gone():
    class Broken:
        def send(self, told):
            raise BrokenPipeError

    loop = object.__new__(Loop)
    loop._connection = Broken()
    with pytest.raises(Gone):
        loop._tell("model")
