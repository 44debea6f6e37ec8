"""The process beside the page that holds the network, the photographs' features and the model.

It is told of answers, and fits, repaints and proposes again; what is new comes first, so a burst of answers is one fit.
A thread of it reads photographs meanwhile.
"""

import multiprocessing
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from threading import RLock, Thread
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from pixelherd.errors import UserError
from pixelherd.labelling import state
from pixelherd.labelling.learning.photographs import Photographs
from pixelherd.labelling.project import STORE, STUDY, Project
from pixelherd.labelling.store import Class, Place, Store
from pixelherd.study import stages

if TYPE_CHECKING:
    from pixelherd.labelling.learning.model import Model
    from pixelherd.results.prediction.predictor import Predictor

ANSWERS, MASKS = "answers", "masks"
"""What messages are about that tell how things stand at the desk, and of masks that are to be written, or are."""

QUEUE = 20
"""Questions that the model keeps ready."""

FITS = 3
"""Fits after which questions are ranked, however many answers wait: a fast crowd shall not run out of questions."""

PATIENCE = 8
"""Steps after which a checkpoint is made though answers wait; before, the last answer shall be seen painted."""

IDLE_SECONDS = 0.1
"""How long a message is waited for where there is nothing to do."""


@dataclass(frozen=True)
class Told:
    """A message in either direction: what it is about, what it says, and the request that it belongs to."""

    about: str
    content: Any = None
    ticket: int = 0


@dataclass(frozen=True)
class Standing:
    """How things stand at the desk.

    Attributes:
        views: photographs that somebody looks at.
        taken: pixels that are asked now, or were left open.
        said: number of the last answer.
        classes: as they were last described.
    """

    views: tuple[str, ...] = ()
    taken: tuple[Place, ...] = ()
    said: int = -1
    classes: tuple[Class, ...] = ()


class Gone(Exception):
    """Nobody is at the other end of the connection any more."""


def work(connection: Connection, folder: str, base: dict[str, Any], dataset: str, version: int) -> None:
    """Do what the process does, and end it.

    Args:
        connection: to the server.
        folder: of the project.
        base: of the project.
        dataset: of the project.
        version: of the model that was told last.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C ends the server, which ends this
    code = 1
    try:
        os.chdir(folder)
        tqdm.set_lock(RLock())  # its own would be one of processes, and be left when this one ends
        Loop(connection, Project(Store(STORE), base, dataset, Path(STUDY)), version).run()
        code = 0
    except Gone:
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)  # a photograph may be read just now


def end_with_parent() -> None:
    """Have this process end with the one that started it, at once and whatever it does then.

    A busy process would see only at its next message that nobody is there, and write what the next server writes, too.
    The parent's end closes a pipe that multiprocessing keeps for this, on every system, and before this is called, too.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


class Loop:
    """Takes messages, and does one step of what is to be done, in turns.

    Args:
        connection: to the server.
        project: that is labelled.
        version: of the model that was told last, by a process before this one.
    """

    def __init__(self, connection: Connection, project: Project, version: int = 0) -> None:
        self._connection, self.project, self._version = connection, project, version
        self._dirty, self._unranked, self._fits = True, True, 0
        self._standing, self._ids = Standing(), list[int]()
        self._mistakes, self._mistaken = dict[str, str](), ""
        self._checkpoints, self._waited = deque[int](), 0
        self._masks, self._asked_masks = deque[str](), 0
        self._ranked_with = 0
        self.photographs = Photographs(project)
        self.model: Model | None = None
        self._predictor: Predictor | None = None

    def run(self) -> None:
        """Work until the server ends.

        Raises:
            Gone: it ended without a word.
        """
        self._guarded("look", self._look)
        self._tell("reading", self._counts())
        try:
            self._load()
        except UserError as error:
            return self._tell("failed", str(error))
        Thread(target=self.photographs.read, args=(self.model.reader,), daemon=True).start()  # type: ignore[union-attr]
        while True:
            while told := self._hear(0 if self._has_work() else IDLE_SECONDS):
                if told.about == "end":
                    while self._checkpoints:
                        self._guarded("checkpoint", self._answer_checkpoint)
                    return None
                self._guarded(told.about, self._take, told)
            self._step()

    def _guarded(self, about: str, act: Callable[..., object], *arguments: Any) -> None:
        """Do something; a mistake is told until the same goes well, and ends nothing."""
        self._mistakes.pop(about, None)
        try:
            act(*arguments)
        except (UserError, OSError) as error:
            self._mistakes[about] = str(error)
        words = "; ".join(dict.fromkeys(self._mistakes.values()))
        if words != self._mistaken:
            self._mistaken = words
            self._tell("mistake", words or None)

    def _tell(self, about: str, content: Any = None, ticket: int = 0) -> None:
        try:
            self._connection.send(Told(about, content, ticket))
        except OSError:
            raise Gone from None

    def _hear(self, seconds: float) -> Told | None:
        """Return the next message; None where there is none for so long."""
        try:
            return self._connection.recv() if self._connection.poll(seconds) else None
        except (EOFError, OSError):
            raise Gone from None

    # Photographs.

    def _load(self) -> None:
        """Load the network."""
        import torch

        torch.set_num_threads(self.project.study().threads)
        from pixelherd.features.backbones import manifest
        from pixelherd.labelling.learning.model import Model
        from pixelherd.labelling.learning.reading import Reader

        study, run = self.project.study(), self.project.run
        entry = study.features[run.features]
        backbones = [manifest.load(_stored(study, name)) for name in entry.parts or [run.features]]
        settings = stages.maps(study, run.dataset, run.features)
        reader = Reader(self.project.cache, self.project.settings, settings, backbones)
        self.model = Model(reader, self.project.size)

    def _look(self) -> None:
        """Search the folder for photographs."""
        gone = self.photographs.look()
        if self.model is not None:
            for name in gone:
                self._dirty |= self.model.forget(name)

    def _take_arrivals(self) -> None:
        """Have the model know what was read."""
        assert self.model is not None
        found, failed = self.photographs.arrivals()
        if not found and not failed:
            return
        answered = {answer.image for answer in self.project.store.answers()} if found else set()
        for each in found:
            before = self.model.known.get(each.name)
            if before is not None and before.key != each.key:
                self.model.forget(each.name)  # the file is another
            self.model.known[each.name] = each
            self._dirty |= each.name in answered or each.name in self._standing.views
        waits = len(self.model.known) < 1.25 * self._ranked_with + 1 and self.photographs.is_reading()
        self._unranked |= not waits
        self._tell("reading", self._counts() | {"new": [(each.name, each.key) for each in found]})

    def _counts(self) -> dict[str, Any]:
        known, unreadable = self.model.known if self.model is not None else (), self.photographs.unreadable
        return {"read": len(known), "photographs": len(self.photographs.there), "unreadable": [*unreadable.values()]}

    # Messages.

    def _take(self, told: Told) -> None:
        assert self.model is not None
        if told.about == ANSWERS:
            before, self._standing = self._standing, told.content
            said = before.said, before.classes
            # a question alone, or a photograph that is looked at, is nothing to learn from
            self._dirty |= said != (self._standing.said, self._standing.classes)
            self._unranked |= before.taken != self._standing.taken
        elif told.about == "paint":
            self._tell("paint", self._painted(told.content), told.ticket)
        elif told.about == "checkpoint":
            self._checkpoints.append(told.ticket)
        elif told.about == "gallery":
            known = self.model.known if self.model.head is not None else {}
            doubts = [(name, self.model.doubt(name)) for name in known]
            self._tell("gallery", sorted(doubts, key=lambda each: -each[1]), told.ticket)
        elif told.about == MASKS:
            self._begin_masks()

    def _has_work(self) -> bool:
        waits = self._dirty or self._unranked or self._checkpoints or self._masks
        return bool(waits) or self.photographs.have_arrived()

    def _step(self) -> None:
        self._guarded("arrivals", self._take_arrivals)
        if self.photographs.are_due():
            self._guarded("look", self._look)
        self._waited += bool(self._checkpoints)
        if self._checkpoints and (self._waited > PATIENCE or not (self._dirty or self._unranked)):
            self._guarded("checkpoint", self._answer_checkpoint)
        elif self._dirty and self._fits < FITS:
            self._dirty, self._unranked, self._fits = False, True, self._fits + 1
            self._guarded("fit", self._fit)
        elif self._unranked:
            self._unranked, self._fits = False, 0
            self._guarded("rank", self._rank)
        elif self._masks:
            self._guarded("mask", self._mask)

    # Steps.

    def _now(self) -> tuple[state.Labels, dict[int, int], list[int]]:
        """What was said, labels by what answers say, and the numbers of the classes by their labels."""
        classes = self.project.store.classes()
        labels = state.Labels.of(self.project.store.answers())
        return labels, state.positions(classes), [each.id for each in state.kept(classes)]

    def _fit(self) -> None:
        assert self.model is not None
        labels, label_of, self._ids = self._now()
        held_out, study = self.project.held_out(), self.project.study()
        rows = state.training_rows(labels, label_of, held_out, self.model.known)
        settings = study.head_of(self.project.run.method)
        self.model.fit(rows, list(self.model.known), len(self._ids), settings)  # type: ignore[arg-type]
        found = [(*place, labels.label(place, label_of)) for place in held_out & labels.opinions.keys()]
        right, asked = self.model.right(row for row in found if row[3] is not None)  # type: ignore[arg-type, misc]
        self._version += 1
        painted = {name: self._painted(name) for name in self._standing.views}
        facts = {"version": self._version, "right": right, "asked": asked, "head": self.model.head is not None}
        self._tell("model", facts | {"said": max(labels.last.values(), default=0), "painted": painted})

    def _painted(self, name: str) -> tuple[int, bytes | None]:
        assert self.model is not None
        return self._version, self.model.paint(name, self._ids)

    def _rank(self) -> None:
        assert self.model is not None
        labels, _, ids = self._now()
        self._ranked_with = len(self.model.known)
        taken = {*self._standing.taken, *self.project.held_out()}
        if self.model.head is not None and self.model.head.classes != len(ids):
            self._dirty = True
            return
        found = self.model.propose(QUEUE, list(labels.opinions), taken)
        beliefs = [(each.place, None if each.label is None else ids[each.label], each.probability) for each in found]
        self._tell("proposals", beliefs)

    def _answer_checkpoint(self) -> None:
        ticket, self._waited, found = self._checkpoints.popleft(), 0, None
        try:
            found = self._checkpoint()
        finally:
            self._tell("checkpoint", found, ticket)

    def _checkpoint(self) -> dict[str, Any] | None:
        """Write the study and the head of its last round; None where there is nothing to learn yet."""
        assert self.model is not None
        order = self.photographs.order()
        rounds = self.project.rounds(set(order))
        study = self.project.write(rounds)
        if study is None:
            return None
        there = self.photographs.there
        for name in {row[0] for rows in rounds for row in rows} - self.model.known.keys():
            self.model.known[name] = self.model.reader.read(there[name], len(there))
        _, _, self._ids = self._now()
        found = self.model.checkpoint(study, self.project.run, rounds, order, self.project.head)
        self._dirty, self._predictor = True, None
        return {"rounds": found.rounds, "moved": found.moved, "doubtful": [place for place, _ in found.doubtful]}

    def _begin_masks(self) -> None:
        """Begin to write masks of all photographs by the head of the last checkpoint."""
        from pixelherd.datasets.prepare import classes_of
        from pixelherd.results.prediction.predictor import Predictor

        study, run = self.project.study(state.kept(self.project.store.classes())), self.project.run
        entry = study.features[run.features]
        self._predictor = Predictor.of(
            self.project.head,
            [_stored(study, name) for name in entry.parts or [run.features]],
            stages.maps(study, run.dataset, run.features),
            classes_of(study.datasets[run.dataset]),
            study.datasets[run.dataset],
            device="cpu",
        ).improved(edges=study.predict.edges, mirror=study.predict.mirror)
        self._masks = deque(sorted(self.photographs.there))
        self._asked_masks = len(self._masks)

    def _mask(self) -> None:
        """Write the mask of one photograph."""
        from pixelherd.results.prediction.coco import write_coco
        from pixelherd.results.prediction.masks import predict_folder

        assert self._predictor is not None
        name, folder, there = self._masks.popleft(), self.project.masks, self.photographs.there
        try:
            if name in there and (path := there[name].path) is not None:
                with suppress(UserError):  # it is named among those that cannot be read
                    predict_folder(self._predictor, {name: path}, folder)
        finally:
            if not self._masks:
                write_coco(folder, sorted(there), self._predictor.classes)
            done = self._asked_masks - len(self._masks)
            self._tell(MASKS, {"done": done, "of": self._asked_masks, "folder": str(folder.absolute())})


def _stored(study: Any, features: str) -> Any:
    """The backbone of a features entry, which has to be there.

    Raises:
        UserError: the study would have to make it first.
    """
    from pixelherd.features.backbones import manifest
    from pixelherd.features.backbones.sources.source import Source

    backbone = study.features[features].backbone
    if not isinstance(backbone, Source):
        raise UserError(
            f"features.{features}: a backbone that the study trains is not there while somebody labels",
            remedy="name another, such as {embedded: efficientnet_lite2}",
        )
    return manifest.stored(backbone)
