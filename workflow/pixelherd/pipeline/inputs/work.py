"""What a study has still to do, as a session finds it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from pixelherd.annotation import oracle
from pixelherd.storage import shards
from pixelherd.study import checks, plan, stages
from pixelherd.study.checks import Images
from pixelherd.study.paths import Paths
from pixelherd.study.run import Run
from pixelherd.study.study import Study

SPLITS = ("train", "test")
Files = dict[str, str | list[str]]
"""Input files of a job by name."""


@dataclass(frozen=True)
class Work:
    """What a study has still to do, as a session finds it.

    Attributes:
        study: the study.
        pending: its unfinished runs, with the rounds that they lack.
        waiting: those of them that wait for a person, with the first round whose answers are incomplete.
        images: images of the datasets that pending runs use, by split.
        again: pending runs that other settings finished before, with the first round that is made again.
    """

    study: Study
    pending: Mapping[Run, range]
    waiting: Mapping[Run, int]
    images: Images
    again: Mapping[Run, int]

    @cached_property
    def paths(self) -> Paths:
        """The paths of the study."""
        return self.study.paths

    @cached_property
    def listing(self) -> dict[str, str]:
        """A method by the key of the lists that it chooses from: those with equal lists share them."""
        return {key: method for (method, _), (key, _) in self._lists.items()}

    @cached_property
    def kept_draws(self) -> dict[tuple[str, str], int]:
        """How many noise draws' maps are stored, by dataset and features."""
        return {pair: self.study.kept_draws(*pair) for pair in self.study.pairs()}

    @cached_property
    def listed_draws(self) -> dict[tuple[str, str], dict[str, int]]:
        """M by the key of lists, by dataset and features."""
        return {pair: stages.listed_draws(self.study, *pair) for pair in self.study.pairs()}

    @cached_property
    def _lists(self) -> dict[tuple[str, int], tuple[str, int]]:
        pairs = dict.fromkeys((run.method, run.seed) for run in self.study.runs())
        return {
            (method, seed): (stages.list_key(self.study, method, seed), self.study.candidates_of(method).listed)
            for method, seed in pairs
        }

    def at(self, pattern: str, run: Run, **more: object) -> str:
        """Return a path filled in for a run: its dataset and features, the key of its lists, and K."""
        key, listed = self._lists[run.method, run.seed]
        return pattern.format(dataset=run.dataset, features=run.features, key=key, listed=listed, **more)

    def keeps_maps(self, features: str) -> bool:
        """Return whether native maps are stored."""
        return self.study.features[features].maps == "keep"

    def shards(self, dataset: str, split: str) -> list[str]:
        """Return the names of a split's shards."""
        return shards.ranges(self.images[dataset][split], self.study.images_per_job)

    def splits(self, dataset: str) -> list[str]:
        """Return the splits that have images: a person's own images need no test split."""
        return [split for split in SPLITS if self.images[dataset][split]]

    def steps(self) -> list[str]:
        """Return the rounds that pending runs lack."""
        return [run.step(number) for run, rounds in self.pending.items() for number in rounds]

    def steps_with(self, kind: str) -> list[str]:
        """Return the rounds that pending runs lack whose heads are of a kind."""
        study = self.study
        return [
            run.step(number)
            for run, rounds in self.pending.items()
            if study.head_of(run.method).kind == kind
            for number in rounds
        ]

    def answered(self) -> list[str]:
        """Return the rounds that pending runs learn from; labels may be sealed, what the cache has of them not."""
        return [run.step(number) for run in self.pending for number in range(self.study.rounds_of(run.method))]

    def unasked(self) -> list[str]:
        """Return the rounds whose queries no page has asked yet; those that one asks are not chosen anew."""
        if self.study.oracle == "masks":
            return self.steps()
        return [
            run.step(number)
            for run, rounds in self.pending.items()
            for number in rounds
            if not oracle.has_asked(self.study, run, number)
        ]

    def indices(self) -> set[str]:
        """Return the indices of shards that pending runs may read."""
        patterns = (self.paths.maps_index, self.paths.draws_index)
        return {self.at(each, run, split=split) for run in self.pending for each in patterns for split in SPLITS}


def one_of(paths: Iterable[str]) -> str:
    """Return a regular expression that matches these paths alone, for a wildcard that stands for pending runs only.

    Common folders stand in it once, or it would be slow to match where there are thousands of runs.
    """
    below: dict[str, list[str]] = {}
    for path in paths:
        first, *rest = path.split("/", 1)
        below.setdefault(first, []).extend(rest)
    branches = (re.escape(first) + (f"/{one_of(rest)}" if rest else "") for first, rest in below.items())
    return f"(?:{'|'.join(branches)})" if below else "(?!)"


def images_of(study: Study, runs: Mapping[Run, range]) -> Images:
    """Return the images of the datasets that runs use, after checking that they can offer what the runs ask for.

    A finished study asks neither raw data nor cache.

    Raises:
        UserError: they cannot, or there are none.
    """
    images = plan.images_of(study, sorted({run.dataset for run in runs}))
    checks.budgets_fit(study, runs, images)
    return images
