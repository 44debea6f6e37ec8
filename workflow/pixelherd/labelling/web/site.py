"""What the page asks and is told, as JSON: questions, answers, classes, how far it is.

Names of photographs never come from the page: it names them by their numbers in the store.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from pixelherd.datasets.classes import slug_of
from pixelherd.errors import UserError
from pixelherd.labelling import state
from pixelherd.labelling.learning.loop import ANSWERS, MASKS, Standing, Told
from pixelherd.labelling.learning.worker import Worker
from pixelherd.labelling.project import ROUND, Project
from pixelherd.labelling.questions import AGAIN, CHOSEN, Desk, Proposal
from pixelherd.labelling.store import UNKNOWN, Class, Place, Question

FIRST = 48
"""Photographs that are shown to whoever enters."""

FEW = 3
"""Labels of a class below which the page warns."""

SETTLED = 0.02
"""Share of pixels that change their class over a round below which more answers change little."""

MOST_CLASSES = 200
"""Numbers of classes that are given at most, merged ones too: a picture of a prediction holds them in a byte."""

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]
Number = Annotated[int, Field(ge=0, lt=2**53)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    annotator: Name


class AnswerRequest(_Request):
    """An answer: a class by its number, or 0, to a pixel; ``receipt`` names it, so that it may be sent again."""

    receipt: Annotated[str, StringConstraints(min_length=8, max_length=64)]
    image: Number
    row: Number
    column: Number
    label: Number
    question: Number | None = None


class QuestionRequest(_Request):
    """A question that somebody leaves open."""

    question: Number


class ClassRequest(_Request):
    """A class that is added (``id`` is 0), described anew, or merged into another."""

    id: Number
    name: Name
    colour: Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}$")]
    key: Annotated[str, StringConstraints(pattern=r"^[1-9a-z]?$")]
    merged_into: Number | None = None


class ViewRequest(_Request):
    """A photograph that somebody looks at."""

    image: Number


REQUESTS: dict[str, type[_Request]] = {
    "answer": AnswerRequest,
    "next": _Request,
    "skip": QuestionRequest,
    "undo": _Request,
    "class": ClassRequest,
    "view": ViewRequest,
    "checkpoint": _Request,
    "masks": _Request,
}

Tell = Literal["state", "photographs", "mistake"]


class Site:
    """The page's counterpart. Its methods that begin with ``on_`` do what a request of that name asks.

    Args:
        project: that is labelled.
    """

    def __init__(self, project: Project) -> None:
        self.project, self.store = project, project.store
        self.desk = Desk(project.store, project.size)
        self._views: dict[str, str] = {}
        self._painted: dict[str, tuple[int, bytes | None]] = {}
        self._keys: dict[str, str] = {}
        self._facts: dict[str, Any] = {
            **{"read": 0, "photographs": 0, "unreadable": [], "version": 0, "right": 0, "asked": 0, "head": False},
            **{"moved": None, "rounds": 0, "masks": None, "mistake": None, "process": None},
        }
        self._listeners: set[asyncio.Queue[str]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._checkpointing: Future | None = None
        self._lock = Lock()
        self._index()
        self.worker = Worker(project, self.told)

    def _index(self) -> None:
        self._names = self.store.images()
        self._numbers = {name: number for number, name in enumerate(self._names)}

    # What the worker tells.

    def told(self, told: Told) -> None:
        """Take a message of the worker's, in its thread."""
        content = told.content
        if told.about == "reading":
            new = content.pop("new", [])
            self._keys |= dict(new)
            self._facts |= content
            if any(name not in self._numbers for name, _ in new):
                self._index()
            self.desk.photographs = list(self._keys)
        elif told.about == "model":
            self._painted |= content.pop("painted")
            self._facts |= content | {"process": None}
        elif told.about == "proposals":
            self.desk.proposals = [Proposal(*each) for each in content]
        elif told.about in (MASKS, "mistake"):
            self._facts[told.about] = content
        elif told.about in ("restarting", "failed"):
            self._facts["process"] = content
        self.publish()

    def publish(self) -> None:
        """Tell every open page how things stand."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._spread, json.dumps(self.state()))

    def _spread(self, text: str) -> None:
        for queue in self._listeners:
            while not queue.empty():  # a slow page needs the latest alone
                queue.get_nowait()
            queue.put_nowait(text)

    def listen(self) -> "asyncio.Queue[str]":
        """Return a queue of what the page is told, from now on."""
        self._loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str] = asyncio.Queue()
        queue.put_nowait(json.dumps(self.state()))
        self._listeners.add(queue)
        return queue

    def leave(self, queue: "asyncio.Queue[str]") -> None:
        """Tell a page nothing any more."""
        self._listeners.discard(queue)

    def close(self) -> None:
        """End: what came since the last checkpoint becomes a round, so that the study has all answers."""
        self.worker.end()
        if self._unwritten():
            self.store.checkpoint(self.desk.said())
        self.project.write(self.project.rounds(set(self.project.order())))

    # How things stand.

    def state(self) -> dict[str, Any]:
        """Return how things stand, the same for everybody."""
        with self.desk.lock:
            classes, labels = self.store.classes(), self.desk.labels
            meant = state.merged(classes)
            counts = Counter(labels.label(place, meant) for place in labels.opinions)
            conflicts = labels.conflicts(meant)
            people = sorted({each.annotator for found in labels.opinions.values() for each in found})
            facts = self._facts | {"ready": self.desk.is_ready()}
        kept = state.kept(classes)
        right, asked = facts.pop("right"), facts.pop("asked")
        described = [
            {"id": each.id, "name": each.name, "colour": each.colour, "key": each.key, "labels": counts[each.id]}
            for each in kept
        ]
        return facts | {
            "classes": described,
            "answers": sum(counts.values()),
            "cannot_tell": counts[UNKNOWN],
            "accuracy": accuracy(right, asked),
            "conflicts": len(conflicts),
            "compared": [labels.agreed, labels.compared],
            "people": people,
            "advice": advice(described, facts["moved"], accuracy(right, asked)),
            "first": [self._numbers[name] for name in list(self._keys)[:FIRST]],
        }

    def question(self, asked: Question | None) -> dict[str, Any] | None:
        """Return a question for the page; what the model thinks is kept from it where the answer is to judge it."""
        if asked is None:
            return None
        found = {"id": asked.id, "reason": asked.reason, **self._pixel(asked.place)}
        belief = self.desk.proposal(asked.place)
        if asked.reason == CHOSEN and belief is not None and belief.label is not None:
            found["belief"] = {"label": belief.label, "probability": belief.probability}
        if asked.reason == AGAIN and (opinions := self.desk.labels.opinions.get(asked.place)):
            found["said"] = opinions[-1].label
        return found

    def _pixel(self, place: Place) -> dict[str, Any]:
        return {"image": self._numbers[place[0]], "name": place[0], "row": place[1], "column": place[2]}

    def now(self, annotator: str) -> dict[str, Any]:
        """Return what somebody is asked, what they answered last, and which photographs come next."""
        with self.desk.lock:
            asked = self.desk.next(annotator)
            past: list[tuple[Place, int | None]] = []
            for answer in reversed(self.store.answers(max(self.desk.said() - 200, 0))):
                own = answer.annotator == annotator and answer.place in self.desk.labels.opinions
                if own and all(answer.place != place for place, _ in past):
                    past.append((answer.place, self.desk.labels.opinions[answer.place][-1].label))
            ahead = [self._numbers[name] for name in self.desk.ahead()]
        if asked is not None:
            self._views[annotator] = asked.image
        listed = [{**self._pixel(place), "label": label} for place, label in past[:24]]
        return {"question": self.question(asked), "past": listed, "ahead": ahead}

    def labels_in(self, image: int) -> list[dict[str, Any]]:
        """Return the answers in a photograph."""
        name, meant = self.name_of(image), state.merged(self.store.classes())
        with self.desk.lock:
            found = [place for place in self.desk.labels.opinions if place[0] == name]
            return [{**self._pixel(place), "label": self.desk.labels.label(place, meant)} for place in found]

    def conflicts(self) -> list[dict[str, Any]]:
        """Return the pixels of which people say different things, with who says what."""
        meant = state.merged(self.store.classes())
        with self.desk.lock:
            found = self.desk.labels.conflicts(meant)
            said = [[[each.annotator, each.label] for each in self.desk.labels.opinions[place]] for place in found]
        return [{**self._pixel(place), "said": each} for place, each in zip(found, said, strict=True)]

    def name_of(self, image: int) -> str:
        """Return the name of a photograph.

        Raises:
            UserError: there is no such photograph.
        """
        if not 0 <= image < len(self._names):
            raise UserError(f"there is no photograph {image}")
        return self._names[image]

    def picture(self, image: int, small: bool) -> Path | None:
        """Return the file of a photograph's picture; None where it has not been read yet."""
        key = self._keys.get(self.name_of(image))
        return self.project.cache / f"{key}{'-small' if small else ''}.jpg" if key else None

    def painted(self, image: int) -> Future:
        """Return what will be a version and a PNG of what the model predicts in a photograph."""
        name = self.name_of(image)
        version, content = self._painted.get(name, (-1, None))
        if version == self._facts["version"]:
            future = Future[Any]()
            future.set_result((version, content))
            return future
        return self.worker.ask("paint", name)

    def gallery(self) -> Future:
        """Return what will be the photographs with the model's doubt, the most doubtful first."""
        return self.worker.ask("gallery")

    def image_numbers(self, names: Sequence[str]) -> list[int]:
        """Return the numbers of photographs."""
        return [self._numbers[name] for name in names]

    # What a page asks for.

    def do(self, what: str, content: Any) -> dict[str, Any]:
        """Do what a request asks.

        Raises:
            UserError: it asks for something that there is not, or is malformed.
        """
        model = REQUESTS.get(what)
        if model is None:
            raise UserError(f"there is no request {what!r}")
        try:
            request = model.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            raise UserError(f"{what}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        return getattr(self, f"on_{what}")(request)

    def on_next(self, request: _Request) -> dict[str, Any]:
        """Ask somebody something."""
        found = self.now(request.annotator)
        self._tell_worker()
        return found

    def on_answer(self, request: AnswerRequest) -> dict[str, Any]:
        """Take an answer."""
        known = {each.id for each in state.kept(self.store.classes())} | {UNKNOWN}
        if request.label not in known:
            raise UserError("this class is not there any more")
        height, width = self.project.size
        if request.row >= height or request.column >= width:
            raise UserError("this pixel lies outside the photograph")
        place = self.name_of(request.image), request.row, request.column
        answer = self.desk.answer(place, request.label, request.annotator, request.question, request.receipt)
        return {"answer": answer.id, **self._after(request.annotator)}

    def on_skip(self, request: QuestionRequest) -> dict[str, Any]:
        """Leave a question open."""
        self.desk.skip(request.question, request.annotator)
        return self._after(request.annotator)

    def on_undo(self, request: _Request) -> dict[str, Any]:
        """Take back the last answer of somebody's."""
        place = self.desk.undo(request.annotator)
        return {"undone": place and self._pixel(place), **self._after(request.annotator)}

    def on_view(self, request: ViewRequest) -> dict[str, Any]:
        """Note which photograph somebody looks at, and return the answers in it."""
        self._views[request.annotator] = self.name_of(request.image)
        return {"labels": self.labels_in(request.image)}

    def on_class(self, request: ClassRequest) -> dict[str, Any]:
        """Add, describe or merge a class."""
        with self._lock:
            classes = self.store.classes()
            others = [each for each in state.kept(classes) if each.id != request.id]
            if request.id and request.id not in {each.id for each in classes}:
                raise UserError("this class is not there")
            if not request.id and len(classes) >= MOST_CLASSES:
                raise UserError(f"there may be {MOST_CLASSES} classes at most")
            if request.merged_into is not None and request.merged_into not in {each.id for each in others}:
                raise UserError("a class is merged into another that is there")
            found = Class(request.id, request.name, request.colour, request.key, request.merged_into)
            check_class(found, others)
            self.store.describe(found, request.annotator)
        return self._after(request.annotator)

    def on_checkpoint(self, request: _Request) -> dict[str, Any]:
        """Write the study as it is now."""
        if self._unwritten():
            self.store.checkpoint(self.desk.said())
        self._checkpoint()
        return {"begun": True}

    def on_masks(self, request: _Request) -> dict[str, Any]:
        """Write masks of all photographs, by a head of all answers."""
        self.on_checkpoint(request)
        assert self._checkpointing is not None
        self._facts["masks"] = {"done": 0, "of": len(self._keys), "folder": str(self.project.masks.absolute())}
        self._checkpointing.add_done_callback(self._go_on_to_masks)
        return {"begun": True}

    def _go_on_to_masks(self, checkpointed: Future) -> None:
        if checkpointed.result():
            self.worker.send(MASKS)
        else:
            self._facts["masks"] = None
            self.publish()

    def _after(self, annotator: str) -> dict[str, Any]:
        """What is next after something has changed."""
        found = self.now(annotator)
        self._tell_worker()
        if self._unwritten() >= ROUND:
            self.store.checkpoint(self.desk.said())
            self._checkpoint()
        self.publish()
        return found

    def _tell_worker(self) -> None:
        views = tuple(dict.fromkeys(self._views.values()))[-4:]
        classes = tuple(self.store.classes())
        self.worker.send(ANSWERS, Standing(views, tuple(self.desk.taken()), self.desk.said(), classes))

    def _unwritten(self) -> int:
        """How many pixels that may be learnt got their first answer after the last checkpoint."""
        last = max((each.answer for each in self.store.checkpoints()), default=0)
        with self.desk.lock:
            first = self.desk.labels.first
            return sum(number > last and place not in self.desk.held_out for place, number in first.items())

    def _checkpoint(self) -> None:
        self._checkpointing = self.worker.ask("checkpoint")
        self._checkpointing.add_done_callback(self._checkpointed)

    def _checkpointed(self, done: Future) -> None:
        found = done.result()
        if found is not None:
            self.desk.doubtful = found.pop("doubtful")
            self._facts |= found
            self.publish()


def check_class(given: Class, others: Sequence[Class]) -> None:
    """Check that a class goes with the others, as a study asks it.

    Raises:
        UserError: it does not.
    """
    if not given.name.isprintable() or not slug_of(given.name):
        raise UserError("the name of a class needs a letter a-z or a digit")
    if given.merged_into is not None:
        return
    if slug_of(given.name).startswith("class_") and slug_of(given.name)[6:].isdigit():
        raise UserError(f"{given.name!r} is what a study calls a class by its number; name it otherwise")
    for other in others:
        if slug_of(other.name) == slug_of(given.name):
            raise UserError(f"there is a class {other.name!r} already")
        if other.key and other.key == given.key:
            raise UserError(f"the key {given.key} is that of {other.name!r}")


def accuracy(right: int, asked: int) -> dict[str, Any] | None:
    """Return the share of held-out pixels that the model has right, with its interval; None where there are too few."""
    if asked < state.LEAST_TO_ESTIMATE:
        return None
    low, high = state.wilson(right, asked)
    return {"share": right / asked, "low": low, "high": high, "asked": asked}


def advice(classes: Sequence[dict[str, Any]], moved: float | None, estimate: dict[str, Any] | None) -> str:
    """Return one sentence on whether to go on."""
    if len(classes) < 2:
        return "Add at least two classes, then answer."
    few = [each["name"] for each in classes if each["labels"] < FEW]
    if few:
        others = f" and {len(few) - 3} others" if len(few) > 3 else ""
        return f"Go on: fewer than {FEW} labels of {', '.join(few[:3])}{others}."
    if moved is None or estimate is None:
        return "Go on: it is too early to tell how good the masks are."
    change = f"{100 * moved:.1f} % of the pixels changed their class over the last {ROUND} answers"
    return f"Go on: {change}." if moved > SETTLED else f"You may stop: {change}."
