"""What holds now, told from the rows of a store: the label of every pixel, who disagrees, what each round learns."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pixelherd.datasets.classes import IGNORED
from pixelherd.labelling.store import UNKNOWN, Answer, Checkpoint, Class, Place, Said

Z_95 = 1.959963984540054
"""Standard normal quantile of 97.5 %."""

LEAST_TO_ESTIMATE = 10
"""Held-out answers below which no accuracy is told: an interval of a few says nothing."""


@dataclass
class Labels:
    """What was said of pixels and holds, kept up with as answers come.

    Attributes:
        opinions: the answers that hold, by pixel; several where several people were asked and nobody has settled it.
        first: the answer since which a pixel has had a label, by pixel: corrections do not move it to another round.
        last: the last answer of all, by pixel, whether it holds or not.
        undone: answers that were taken back.
        compared, agreed: how often somebody was asked what another had answered, and how often both said the same.
    """

    opinions: dict[Place, list[Answer]] = field(default_factory=dict)
    first: dict[Place, int] = field(default_factory=dict)
    last: dict[Place, int] = field(default_factory=dict)
    undone: set[int] = field(default_factory=set)
    compared: int = 0
    agreed: int = 0

    @classmethod
    def of(cls, answers: Iterable[Answer]) -> "Labels":
        """Return what holds after all of these answers, which come in order."""
        found = cls()
        for answer in answers:
            found.add(answer)
        return found

    def add(self, answer: Answer) -> None:
        """Take one more answer into account."""
        place = answer.place
        before = self.opinions.get(place, [])
        kept = [each for each in before if answer.replaces is None or each.id > answer.replaces]
        if answer.undoes is not None:
            self.undone.add(answer.undoes)
        elif answer.replaces is None and before and answer.annotator != before[-1].annotator:
            self.compared += 1
            self.agreed += answer.label == before[-1].label
        if answer.label is not None:
            kept.append(answer)
        self.last[place] = answer.id
        if kept:
            self.opinions[place] = kept
            self.first.setdefault(place, answer.id)
        else:
            self.opinions.pop(place, None)
            self.first.pop(place, None)

    def label(self, place: Place, meant: Mapping[int, int]) -> int | None:
        """Return the class of a pixel, or :data:`UNKNOWN`; None where it has no answer, or people disagree.

        Args:
            place: the pixel.
            meant: what a class counts as by now, from :func:`merged`.
        """
        said = {meant.get(each.label or UNKNOWN, UNKNOWN) for each in self.opinions.get(place, [])}
        return said.pop() if len(said) == 1 else None

    def conflicts(self, meant: Mapping[int, int]) -> list[Place]:
        """Return pixels of which people say different things."""
        return [place for place in self.opinions if self.label(place, meant) is None]


def merged(classes: Iterable[Class]) -> dict[int, int]:
    """Return the class that each class's answers count for, by their numbers; :data:`UNKNOWN` stays what it is."""
    into = {each.id: each.merged_into for each in classes}
    found = {UNKNOWN: UNKNOWN}
    for number in into:
        target, passed = number, {number}
        while (step := into.get(target)) is not None and step not in passed:
            target = step
            passed.add(target)
        found[number] = target
    return found


def kept(classes: Iterable[Class]) -> list[Class]:
    """Return the classes that are not merged into others, in the order of their numbers: that of their labels."""
    return [each for each in classes if each.merged_into is None]


def positions(classes: Sequence[Class]) -> dict[int, int]:
    """Return the label in a study by what answers say: merged classes have that of their target, unknown has 255."""
    places = {each.id: place for place, each in enumerate(kept(classes))} | {UNKNOWN: IGNORED}
    return {number: places[target] for number, target in merged(classes).items()}


Row = tuple[str, int, int, int]
"""Image, row, column and label, a position among the classes that are kept or 255, of a round."""


def training_rows(
    labels: Labels, label_of: Mapping[int, int], held_out: Collection[Place], images: Collection[str]
) -> list[Row]:
    """Return what heads may learn, in the order in which pixels were first answered.

    Args:
        labels: what was said.
        label_of: from :func:`positions`.
        held_out: pixels that no head may see.
        images: those that are there; answers of others wait until these come back.
    """
    places = [place for place in sorted(labels.opinions, key=labels.first.__getitem__) if place not in held_out]
    found = [(*place, labels.label(place, label_of)) for place in places if place[0] in images]
    return [(image, row, column, label) for image, row, column, label in found if label is not None]


def rounds_of(rows: Sequence[Row], labels: Labels, checkpoints: Iterable[Checkpoint]) -> list[list[Row]]:
    """Return the rows of each round: those whose first answer came before its checkpoint, and not before the last one.

    A round without a class would have no head, so its rows go to the next one.
    """
    rounds: list[list[Row]] = []
    waiting, place = [], 0
    for checkpoint in sorted(checkpoints, key=lambda each: each.answer):
        while place < len(rows) and labels.first[rows[place][:3]] <= checkpoint.answer:
            waiting.append(rows[place])
            place += 1
        if any(row[3] != IGNORED for row in waiting):
            rounds.append(waiting)
            waiting = []
    return rounds


def undo(answers: Sequence[Answer], labels: Labels, annotator: str) -> list[Said]:
    """Return the answers that take back the last one of somebody's, and say again what was said of the pixel before.

    Nothing is returned where there is no answer to take back, or others have answered the pixel since.
    """
    standing = [each for each in answers if each.undoes is None and each.id not in labels.undone]
    wrong = next((each for each in reversed(standing) if each.annotator == annotator), None)
    if wrong is None or any(each.place == wrong.place and each.id > wrong.id for each in standing):
        return []
    before = Labels.of(each for each in answers if each.id < wrong.id and each.place == wrong.place)
    opinions = before.opinions.get(wrong.place, [])
    again = [(each.label, each.annotator) for each in opinions] or [(None, annotator)]
    return [
        Said(*wrong.place, label, who, replaces=None if number else labels.last[wrong.place], undoes=wrong.id)
        for number, (label, who) in enumerate(again)
    ]


def wilson(right: int, asked: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, from how many of how many are right (Wilson 1927).

    Raises:
        ValueError: nothing was asked.
    """
    if asked < 1 or not 0 <= right <= asked:
        raise ValueError(f"{right} of {asked} is no share")
    share, z = right / asked, Z_95
    middle = share + z * z / (2 * asked)
    reach = z * math.sqrt(share * (1 - share) / asked + z * z / (4 * asked * asked))
    low, high = ((middle + sign * reach) / (1 + z * z / asked) for sign in (-1, 1))
    return max(min(low, share), 0.0), min(max(high, share), 1.0)
