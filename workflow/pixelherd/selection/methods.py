"""What each way to choose pixels needs; light, so that a workflow can plan without importing torch.

A score ranks pixels one by one; its formula is in :mod:`pixelherd.selection.acquisition`. A rule looks at pixels
together: a module of :mod:`pixelherd.selection.rules` with a function ``choose`` that takes an
:class:`~pixelherd.selection.rules.offer.Offer` and returns b distinct rows of those that are offered, ``[b]``, and the
score ``[b]`` of each. The other selections look at nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pixelherd.errors import nearest


@dataclass(frozen=True)
class Score:
    """An acquisition score and the predictions that have to be made for it.

    The base draw's prediction is made for every score, whether it takes it or not: the head is there, its vectors are
    gathered, and the columns that compare scores with each other take it.

    Attributes:
        name: what a study calls it.
        needs_draws: takes the predictions of the noise draws 1…M.
        needs_samples: compares samples of a head: by dropout, or from the posterior of its weights.
        needs_generator: is (partly) random.
        takes_weight: weighs the entropy of the base prediction by λ.
        has_pole: takes values of thousands beside those of about one.
    """

    name: str
    needs_draws: bool = False
    needs_samples: bool = False
    needs_generator: bool = False
    takes_weight: bool = False
    has_pole: bool = False


@dataclass(frozen=True)
class Selection:
    """A way to choose pixels that is no score.

    Attributes:
        name: what a study calls it.
        module: of its rule, imported when it is asked; None where it looks at nothing.
        needs_head: takes the predictions of the head of the round before.
        needs_labels: takes the labels so far, and at least one.
        needs_generator: is (partly) random.
        opening: the rule that stands in while there is no head, or no label, that it needs.
    """

    name: str
    module: str | None = None
    needs_head: bool = False
    needs_labels: bool = False
    needs_generator: bool = False
    opening: str = "coverage"

    @property
    def needs_lists(self) -> bool:
        """Whether it chooses among the images' lists."""
        return self.module is not None


SELECTIONS: dict[str, Selection] = {
    selection.name: selection
    for selection in (
        Selection("coverage", "pixelherd.selection.rules.coverage"),
        Selection("uherding", "pixelherd.selection.rules.uherding", needs_head=True),
        Selection("rare_herding", "pixelherd.selection.rules.rare_herding", needs_head=True),
        Selection("k_center", "pixelherd.selection.rules.k_center", needs_labels=True),
        Selection("typiclust", "pixelherd.selection.rules.typiclust", needs_generator=True),
        Selection("probcover", "pixelherd.selection.rules.probcover", needs_generator=True),
        Selection("badge", "pixelherd.selection.rules.badge", needs_head=True, needs_generator=True),
        Selection("tcm", "pixelherd.selection.rules.tcm", needs_head=True, needs_generator=True, opening="typiclust"),
        Selection("clasp_pe", "pixelherd.selection.rules.clasp_pe", needs_head=True, needs_generator=True),
        Selection("dropquery", "pixelherd.selection.rules.dropquery", needs_head=True, needs_generator=True),
        Selection("random", needs_generator=True),
        Selection("full"),
    )
}

SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score("entropy"),
        Score("margin"),
        Score("least_confidence"),
        Score("random", needs_generator=True),
        Score("bald", needs_samples=True),
        Score("dald", needs_draws=True),
        Score("ebald", needs_samples=True, takes_weight=True),
        Score("edald", needs_draws=True, takes_weight=True),
        Score("power_bald", needs_samples=True, needs_generator=True),
        Score("power_dald", needs_draws=True, needs_generator=True),
        Score("balentacq", needs_samples=True, has_pole=True),
    )
}


def comparable(name: str) -> list[str]:
    """Scores that can be computed, without chance, from the predictions that are made for ``name`` and the base."""
    made = SCORES[name]
    return [
        score.name
        for score in SCORES.values()
        if not score.needs_generator
        and score.needs_draws <= made.needs_draws
        and score.needs_samples <= made.needs_samples
    ]


ELSEWHERE = {"coreset": "k_center", "maxherding": "coverage"}
"""What the literature calls ways that have another name here, in small letters alone."""


def meant(name: str, known: Iterable[str]) -> str:
    """Which of the ``known`` names was probably meant, in brackets to end a message with."""
    letters = "".join(filter(str.isalnum, name.lower()))
    return nearest(ELSEWHERE.get(letters, name), known)


def find(name: str) -> Score:
    """The score called ``name``.

    Raises:
        ValueError: there is none; the message names the nearest.
    """
    if name not in SCORES:
        raise ValueError(f"unknown score {name!r}{meant(name, SCORES)}")
    return SCORES[name]
