"""The process beside the page that holds the network, the photographs' features and the model.

It is told of answers, and fits, repaints and proposes again; what is new comes first, so a burst of answers is one fit.
A thread of it reads photographs meanwhile. It ends with the process that started it, however that ends.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from threading import Condition, Lock, RLock, Thread
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from pixelherd.errors import UserError
from pixelherd.labelling import state
from pixelherd.labelling.project import Project
from pixelherd.labelling.store import Store
from pixelherd.pipeline.job import THREAD_VARIABLES
from pixelherd.study import stages

if TYPE_CHECKING:
    from pixelherd.datasets.samples import Sample
    from pixelherd.labelling.model import Model
    from pixelherd.labelling.reading import Known
    from pixelherd.results.prediction import Predictor

ANSWERS = "answers"
"""What a message is about that tells of answers, of pixels that are asked, and of photographs that are looked at."""

QUEUE = 20
"""Questions that the model keeps ready."""

LOOK_SECONDS = 3.0
"""How often the folder is searched for new photographs, at least."""


@dataclass(frozen=True)
class Told:
    """A message in either direction: what it is about, what it says, and the request that it belongs to."""

    about: str
    content: Any = None
    ticket: int = 0


class Worker:
    """The process, as the page's server sees it.

    Args:
        project: that is labelled.
        tell: is called with each message, in a thread of its own.
    """

    def __init__(self, project: Project, tell: Callable[[Told], object]) -> None:
        self._project, self._tell = project, tell
        self._tickets, self._waiting = count(1), dict[int, Future]()
        self._outbox, self._news, self._ended = deque[Told](), Condition(), False
        self._start()

    def _start(self) -> None:
        threads = str(self._project.study().threads)
        before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
        os.environ |= dict.fromkeys(THREAD_VARIABLES, threads)
        context = get_context("spawn")
        self._connection, other = context.Pipe()
        given = (str(self._project.store.path.absolute().parent), dict(self._project.base), self._project.dataset)
        process = context.Process(target=_run, args=(other, *given), daemon=True)
        process.start()
        other.close()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        self.process = process
        Thread(target=self._listen, args=(self._connection,), daemon=True).start()
        Thread(target=self._post, args=(self._connection,), daemon=True).start()

    def _listen(self, connection: Connection) -> None:
        while True:
            try:
                told: Told = connection.recv()
            except (EOFError, OSError):
                break
            if told.ticket:
                future = self._waiting.pop(told.ticket, None)
                if future is not None:
                    future.set_result(told.content)
            else:
                self._tell(told)
        for future in self._waiting.values():
            future.set_result(None)
        self._waiting.clear()
        if not self._ended:
            self._tell(Told("failed", "the model's process ended"))

    def send(self, about: str, content: Any = None) -> None:
        """Tell the process something."""
        self._send(Told(about, content))

    def ask(self, about: str, content: Any = None) -> Future:
        """Ask the process something; the result is None where it cannot tell, or ends."""
        ticket, future = next(self._tickets), Future[Any]()
        self._waiting[ticket] = future
        self._send(Told(about, content, ticket))
        return future

    def _send(self, told: Told) -> None:
        """Leave a message for the thread that sends; of messages about answers that wait, only the last is news."""
        with self._news:
            if told.about == ANSWERS:
                kept = [each for each in self._outbox if each.about != ANSWERS]
                self._outbox.clear()
                self._outbox.extend(kept)
            self._outbox.append(told)
            self._news.notify()

    def _post(self, connection: Connection) -> None:
        """Send messages, in a thread: a process that is busy takes none, and nobody shall wait for that."""
        while True:
            with self._news:
                self._news.wait_for(lambda: self._outbox)
                told = self._outbox.popleft()
            try:
                connection.send(told)
            except (OSError, ValueError):
                future = self._waiting.pop(told.ticket, None)
                if future is not None:
                    future.set_result(None)

    def end(self) -> None:
        """End the process."""
        self._ended = True
        self._send(Told("end"))
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()


def _run(connection: Connection, folder: str, base: dict[str, Any], dataset: str) -> None:
    """What the process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C ends the server, which ends this
    os.chdir(folder)
    tqdm.set_lock(RLock())  # its own would be one of processes, and be left when this one ends
    from pixelherd.labelling.project import STORE, STUDY

    project = Project(Store(STORE), base, dataset, Path(STUDY))
    with suppress(EOFError, OSError):
        _Loop(connection, project).run()
    os._exit(0)  # a photograph may be read just now


class _Loop:
    """Takes messages, and does one step of what is to be done, in turns."""

    def __init__(self, connection: Connection, project: Project) -> None:
        self._connection, self.project = connection, project
        self._dirty, self._unranked, self._version = True, True, 0
        self._views: list[str] = []
        self._taken: list[tuple[str, int, int]] = []
        self._samples: dict[str, Sample] = {}
        self._arrived: deque[Known | tuple[str, str]] = deque()
        self._to_read: deque[Sample] = deque()
        self._looked, self._cost, self._ranked_with = 0.0, 0.0, 0
        self._unreadable: dict[str, str] = {}
        self._masks: deque[str] = deque()
        self._ordering = Lock()
        self.model: Model | None = None
        self._predictor: Predictor | None = None
        self._ids: list[int] = []

    def run(self) -> None:
        """Work until the server ends."""
        self._look()
        self._tell("reading", {"read": 0, "photographs": len(self._samples), "unreadable": []})
        self._load()
        Thread(target=self._read, daemon=True).start()
        while True:
            while self._connection.poll(0 if self._has_work() else 0.1):
                told = self._connection.recv()
                if told.about == "end":
                    return
                self._guarded(self._take, told)
            self._guarded(self._step)

    def _guarded(self, act: Callable[..., object], *arguments: Any) -> None:
        """Do something; a mistake is told and ends nothing."""
        try:
            act(*arguments)
        except UserError as error:
            self._tell("mistake", str(error))

    def _tell(self, about: str, content: Any = None, ticket: int = 0) -> None:
        self._connection.send(Told(about, content, ticket))

    # Photographs.

    def _load(self) -> None:
        """Load the network."""
        import torch

        torch.set_num_threads(self.project.study().threads)
        from pixelherd.features.backbones import manifest
        from pixelherd.labelling.model import Model
        from pixelherd.labelling.reading import Reader

        study, run = self.project.study(), self.project.run
        entry = study.features[run.features]
        backbones = [manifest.load(_stored(study, name)) for name in entry.parts or [run.features]]
        settings = stages.maps(study, run.dataset, run.features)
        reader = Reader(self.project.cache, self.project.settings, settings, backbones)
        self.model = Model(reader, self.project.size)

    def _look(self) -> None:
        """Search the folder for photographs."""
        began = time.monotonic()
        try:
            found = self.project.samples()
        except UserError as error:
            if not self._samples:
                raise
            self._tell("mistake", str(error))
            found = self._samples
        new = [name for name in found if name not in self._samples]
        gone = [name for name in self._samples if name not in found]
        self._samples = found
        if new:
            self.project.store.add_images(sorted(new))
            first = {answer.image for answer in self.project.store.answers()}
            Random(f"reading {len(found)}").shuffle(new)
            new.sort(key=lambda name: name not in first)
            self._to_read.extend(found[name] for name in new)
        if self.model is not None:
            for name in gone:
                self._dirty |= self.model.known.pop(name, None) is not None
        self._looked = time.monotonic()
        self._cost = self._looked - began

    def _read(self) -> None:
        """Read photographs, in a thread."""
        assert self.model is not None
        idle = False
        while True:
            if not self._to_read:
                if not idle:
                    with self._ordering, suppress(UserError):
                        self.project.order()  # digests of the files, which a checkpoint asks for
                idle = True
                time.sleep(0.1)
                continue
            idle, sample = False, self._to_read.popleft()
            try:
                self._arrived.append(self.model.reader.read(sample, len(self._samples)))
            except UserError as error:
                self._arrived.append((sample.id, str(error)))

    def _take_arrivals(self) -> None:
        """Have the model know what was read."""
        assert self.model is not None
        if not self._arrived:
            return
        answered = {answer.image for answer in self.project.store.answers()}
        new = []
        while self._arrived:
            found = self._arrived.popleft()
            if isinstance(found, tuple):
                self._unreadable[found[0]] = found[1]
                continue
            self.model.known[found.name] = found
            new.append((found.name, found.key))
            self._dirty |= found.name in answered
        waits = len(self.model.known) < 1.25 * self._ranked_with + 1 and bool(self._to_read)
        self._unranked |= not waits
        unreadable = list(self._unreadable.values())
        counts = {"read": len(self.model.known), "photographs": len(self._samples), "unreadable": unreadable}
        self._tell("reading", counts | {"new": new})

    # Messages.

    def _take(self, told: Told) -> None:
        assert self.model is not None
        if told.about == ANSWERS:
            self._dirty = True
            self._views, self._taken = told.content
        elif told.about == "paint":
            self._tell("paint", self._painted(told.content), told.ticket)
        elif told.about == "checkpoint":
            found = None
            try:
                found = self._checkpoint()
            finally:
                self._tell("checkpoint", found, told.ticket)
        elif told.about == "gallery":
            known = self.model.known if self.model.head is not None else {}
            doubts = [(name, self.model.doubt(name)) for name in known]
            self._tell("gallery", sorted(doubts, key=lambda each: -each[1]), told.ticket)
        elif told.about == "masks":
            self._begin_masks()

    def _has_work(self) -> bool:
        return self._dirty or self._unranked or bool(self._arrived) or bool(self._masks)

    def _step(self) -> None:
        self._take_arrivals()
        if time.monotonic() - self._looked > max(LOOK_SECONDS, 30 * self._cost):
            self._look()
        if self._dirty:
            self._dirty = False
            self._fit()
        elif self._unranked:
            self._unranked = False
            self._rank()
        elif self._masks:
            self._mask()

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
        painted = {name: self._painted(name) for name in self._views}
        facts = {"version": self._version, "right": right, "asked": asked, "head": self.model.head is not None}
        self._tell("model", facts | {"said": max(labels.last.values(), default=0), "painted": painted})
        self._unranked = True

    def _painted(self, name: str) -> tuple[int, bytes | None]:
        assert self.model is not None
        return self._version, self.model.paint(name, self._ids)

    def _rank(self) -> None:
        assert self.model is not None
        labels, _, ids = self._now()
        self._ranked_with = len(self.model.known)
        taken = {*self._taken, *self.project.held_out()}
        if self.model.head is not None and self.model.head.classes != len(ids):
            self._dirty = True
            return
        found = self.model.propose(QUEUE, list(labels.opinions), taken)
        beliefs = [(each.place, None if each.label is None else ids[each.label], each.probability) for each in found]
        self._tell("proposals", beliefs)

    def _checkpoint(self) -> dict[str, Any] | None:
        """Write the study and the head of its last round; None where there is nothing to learn yet."""
        assert self.model is not None
        with self._ordering:
            order = self.project.order()
        rounds = self.project.rounds(set(order))
        study = self.project.write(rounds)
        if study is None:
            return None
        for name in {row[0] for rows in rounds for row in rows} - self.model.known.keys():
            self.model.known[name] = self.model.reader.read(self._samples[name], len(self._samples))
        _, _, self._ids = self._now()
        found = self.model.checkpoint(study, self.project.run, rounds, order, self.project.head)
        self._dirty, self._predictor = True, None
        return {"rounds": found.rounds, "moved": found.moved, "doubtful": [place for place, _ in found.doubtful]}

    def _begin_masks(self) -> None:
        """Begin to write masks of all photographs by the head of the last checkpoint."""
        from pixelherd.datasets.prepare import classes_of
        from pixelherd.results.prediction import Predictor

        study, run = self.project.study(state.kept(self.project.store.classes())), self.project.run
        entry = study.features[run.features]
        self._predictor = Predictor.of(
            self.project.head,
            [_stored(study, name) for name in entry.parts or [run.features]],
            stages.maps(study, run.dataset, run.features),
            classes_of(study.datasets[run.dataset]),
            study.datasets[run.dataset],
            device="cpu",
        )
        self._masks = deque(sorted(self._samples))
        self._asked_masks = len(self._masks)

    def _mask(self) -> None:
        """Write the mask of one photograph."""
        from pixelherd.results.prediction import predict_folder, write_coco

        assert self._predictor is not None
        name, folder = self._masks.popleft(), self.project.masks
        path = self._samples[name].path if name in self._samples else None
        if path is not None:
            predict_folder(self._predictor, {name: path}, folder)
        if not self._masks:
            write_coco(folder, sorted(self._samples), self._predictor.classes)
        done = self._asked_masks - len(self._masks)
        self._tell("masks", {"done": done, "of": self._asked_masks, "folder": str(folder.absolute())})


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
