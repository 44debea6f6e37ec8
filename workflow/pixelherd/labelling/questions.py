"""Who is asked what: one queue for all, every tenth question random and held out, some pixels asked twice."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from threading import RLock
from zlib import crc32

from pixelherd.labelling import state
from pixelherd.labelling.store import Answer, Place, Question, Said, Store

CHOSEN, RANDOM, AGAIN, TWICE = REASONS = ("chosen", "random", "again", "twice")
"""Why a pixel is asked: the model proposes it; it is random, and held out; the model contradicts its answer; another
person answered it."""

TENTH = 10
"""One question in so many is random, and one answer in so many is asked from a second person."""

APART = 5
"""Questions of a person from one second look to the next, at least."""

PATIENCE_SECONDS = 1800.0
"""After so long without an answer a question may be put to somebody else."""


@dataclass(frozen=True)
class Proposal:
    """A pixel that the model proposes, with what it thinks of it: a class by its number, and how surely."""

    place: Place
    label: int | None
    probability: float


class Desk:
    """Gives questions and takes answers; what it knows is in the store, but for what the model proposes.

    Args:
        store: the store.
        size: (H, W) of prepared images.
    """

    def __init__(self, store: Store, size: tuple[int, int]) -> None:
        self.store, self.size, self.lock = store, size, RLock()
        self.labels = state.Labels()
        self.photographs: list[str] = []
        self.proposals: list[Proposal] = []
        self.doubtful: list[Place] = []
        self._questions: dict[int, Question] = {}
        self._open: dict[str, Question] = {}
        self._asked: dict[str, set[Place]] = {reason: set() for reason in REASONS}
        self._counted, self._since_again, self._applied = 0, dict[str, int](), 0
        self._left: set[Place] = set()
        self._drawn: set[Place] = set()
        skipped = store.skips()
        for question in store.questions():
            self._note(question)
            if question.id in skipped:
                self._leave(question)
        for answer in store.answers():
            self._take(answer)

    @property
    def held_out(self) -> set[Place]:
        """Pixels that no head may learn."""
        return self._asked[RANDOM]

    def taken(self) -> list[Place]:
        """Return pixels that are asked now, or were left open."""
        with self.lock:
            return [*(each.place for each in self._open.values()), *self._left]

    def next(self, annotator: str) -> Question | None:
        """Return what somebody is asked now: again what is open, else something new; None if there is nothing yet."""
        with self.lock:
            if annotator in self._open:
                return self._open[annotator]
            for found, reason in self._candidates(annotator):
                question = self.store.ask(found, reason, annotator)
                self._note(question)
                return question
            return None

    def is_ready(self) -> bool:
        """Return whether a proposal is left that somebody may be asked."""
        with self.lock:
            return any(self._is_free(each.place) for each in self.proposals)

    def proposal(self, place: Place) -> Proposal | None:
        """Return what the model thought of a pixel when it proposed it."""
        return next((each for each in self.proposals if each.place == place), None)

    def ahead(self) -> list[str]:
        """Return photographs that are likely asked about next."""
        with self.lock:
            return list(dict.fromkeys(each.place[0] for each in self.proposals if self._is_free(each.place)))[:3]

    def answer(
        self, place: Place, label: int, annotator: str, question: int | None = None, receipt: str | None = None
    ) -> Answer:
        """Take an answer; when it is returned, it is on the disk.

        An answer to a question that somebody else has answered meanwhile, or shall answer too, is another opinion; any
        other replaces what was said of the pixel.
        """
        with self.lock:
            asked = self._questions.get(question or 0)
            if asked is not None and (asked.place != place or asked.annotator != annotator):
                asked = None
            opinions = self.labels.opinions.get(place, [])
            others = bool(opinions) and all(each.annotator != annotator for each in opinions)
            beside = asked is not None and asked.reason != AGAIN and others
            replaces = None if beside or not opinions else self.labels.last[place]
            said = Said(*place, label, annotator, replaces, asked.id if asked else None)
            answer = self.store.answer(said, receipt)
            self._take(answer)
            return answer

    def skip(self, question: int, annotator: str) -> None:
        """Leave a question open, if it is the one that somebody is asked."""
        with self.lock:
            asked = self._open.get(annotator)
            if asked is not None and asked.id == question:
                self.store.skip(question)
                self._leave(asked)

    def undo(self, annotator: str) -> Place | None:
        """Take back the last answer of somebody's; returns its pixel, None where there is nothing to take back."""
        with self.lock:
            said = state.undo(self.store.answers(), self.labels, annotator)
            with self.store.writing():
                answers = [self.store.answer(each) for each in said]
            for answer in answers:
                self._take(answer)
            return answers[0].place if answers else None

    def said(self) -> int:
        """Return the number of the last answer."""
        return self._applied

    # What comes next.

    def _candidates(self, annotator: str) -> Iterable[tuple[Place, str]]:
        """Pixels to ask somebody, the first of which is taken, with the reasons."""
        if self._since_again.get(annotator, APART) >= APART:
            yield from ((place, AGAIN) for place in self.doubtful if self._may_ask_again(place))
        yield from ((place, TWICE) for place in sorted(self._drawn) if self._may_ask_twice(place, annotator))
        if self._counted % TENTH == TENTH - 1 and self.photographs:
            yield self._random(), RANDOM
        yield from ((each.place, CHOSEN) for each in self.proposals if self._is_free(each.place))

    def _is_free(self, place: Place) -> bool:
        """Whether nobody has answered a pixel, is asked it now, or left it open; and it is not held out."""
        now = {each.place for each in self._fresh()}
        return not (place in self.labels.opinions or place in self._left or place in self.held_out or place in now)

    def _fresh(self) -> Sequence[Question]:
        """Questions that somebody may still answer."""
        return [each for each in self._open.values() if time.time() - each.time < PATIENCE_SECONDS]

    def _may_ask_again(self, place: Place) -> bool:
        return place in self.labels.opinions and place not in self._asked[AGAIN]

    def _may_ask_twice(self, place: Place, annotator: str) -> bool:
        opinions = self.labels.opinions.get(place, [])
        return len(opinions) == 1 and opinions[0].annotator != annotator and place not in self._asked[TWICE]

    def _random(self) -> Place:
        """A pixel of any photograph, each as likely as any other, that nobody has been asked."""
        turn = 0
        while True:
            generator = Random(f"held out {self._counted} {turn}")
            name = generator.choice(self.photographs)
            row, column = map(generator.randrange, self.size)
            if self._is_free(place := (name, row, column)):
                return place
            turn += 1

    # What happened.

    def _note(self, question: Question) -> None:
        self._questions[question.id] = self._open[question.annotator] = question
        self._asked[question.reason].add(question.place)
        self._counted += question.reason in (CHOSEN, RANDOM)
        again = question.reason == AGAIN
        self._since_again[question.annotator] = 0 if again else self._since_again.get(question.annotator, APART) + 1

    def _leave(self, question: Question) -> None:
        self._left.add(question.place)
        self._close(question.id)

    def _close(self, question: int | None) -> None:
        asked = self._questions.get(question or 0)
        if asked is not None and self._open.get(asked.annotator) == asked:
            del self._open[asked.annotator]

    def _take(self, answer: Answer) -> None:
        if answer.id <= self._applied:
            return  # it was sent again
        self._applied = answer.id
        self.labels.add(answer)
        self._close(answer.question)
        if crc32(repr(answer.place).encode()) % TENTH == 0 and answer.undoes is None:
            self._drawn.add(answer.place)
