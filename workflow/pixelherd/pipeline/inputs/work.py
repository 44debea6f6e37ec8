"""What a study has still to do, as a session finds it."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pixelherd.annotation import oracle
from pixelherd.datasets.originals import Original, Originals
from pixelherd.pipeline.inputs.stores import Stores
from pixelherd.storage.stores import MANIFEST
from pixelherd.study.addresses import LENGTH, STAGES, Addresses, FilesOfBackbones
from pixelherd.study.checks import Images
from pixelherd.study.paths import Paths
from pixelherd.study.run import Run
from pixelherd.study.settings import Pretrained
from pixelherd.study.study import Study


@dataclass(frozen=True)
class Work(Stores):
    """What a study has still to do, as a session finds it.

    Attributes:
        study: the study.
        pending: its unfinished runs, with the rounds that they lack.
        waiting: those of them that wait for a person, with the first round whose answers are incomplete.
        originals: raw images of the datasets that pending runs use.
        again: pending runs that other settings finished before, with the first round that is made again.
        source_of: gives the hash of the source of a stage.
        files: gives the digests of the files of local backbones, by features.
        made_before: :attr:`made` as the call that started this job found it.
        is_there: tells whether a file of results or cache is there.
    """

    study: Study
    pending: Mapping[Run, range]
    waiting: Mapping[Run, int]
    originals: dict[str, Originals]
    again: Mapping[Run, int]
    source_of: Callable[[str], str]
    files: Callable[[], FilesOfBackbones]
    made_before: frozenset[str] | None = None
    is_there: Callable[[str], bool] = os.path.isfile

    def __post_init__(self) -> None:
        """Have lists of shards made once, for each of their shards is asked about."""
        for name in ("maps", "draw_maps", "lists", "draws"):
            object.__setattr__(self, name, cache(getattr(self, name)))

    @cached_property
    def images(self) -> Images:
        """How many images there are, by dataset and split."""
        return counted(self.originals)

    @cached_property
    def addresses(self) -> Addresses:
        """The addresses of the stores in the cache."""
        return Addresses(self.study, self.originals, self.source_of, self.files)

    @cached_property
    def made(self) -> frozenset[str]:
        """Addresses at which there is something already: it is what the study asks for, and never made again."""
        if self.made_before is not None:
            return self.made_before
        return frozenset(name for name, path in self.stores().items() if self.is_there(path))

    def backbones(self) -> list[str]:
        """Return the manifests of the backbones of pending runs, of their parts, and of those that the study trains."""
        names = {each for run in self.pending for each in (run.features, *self.study.features[run.features].parts)}
        sources = (self.study.features[name].backbone for name in sorted(names))
        trained = [self.pretrained(each.pretrain) for each in sources if isinstance(each, Pretrained)]
        return [*map(self.backbone, sorted(names)), *trained]

    def used(self) -> tuple[list[str], list[str]]:
        """Return what the study uses of its cache, whether runs are finished or not, and the addresses of its runs."""
        whole = replace(self, pending={run: range(self.study.rounds_of(run.method)) for run in self.study.runs()})
        manifests = [*whole.stores().values(), *map(whole.pretrained, self.study.pretraining)]
        kept = {path.removesuffix(f"/{MANIFEST}").removesuffix(".json") for path in manifests}  # folders of backbones
        kept |= {self.paths.lock, self.paths.digests, *manifests}
        kept |= {self.paths.originals.format(dataset=name) for name in self.study.datasets}
        for run in whole.pending:
            kept |= set(whole.confusions(run))
        return sorted(kept), list(whole.begun().values())

    def prepared_of(self, originals: Mapping[str, Originals]) -> list[Path]:
        """Return where datasets lie that were prepared of these raw images."""
        addresses = Addresses(self.study, originals, self.source_of, self.files)
        manifests = (self.paths.dataset.format(dataset=name, address=addresses.dataset(name)) for name in originals)
        return [Path(manifest).parent for manifest in manifests]

    def begun(self) -> dict[Run, str]:
        """Return what names all that a pending run is made of."""
        return {run: self.addresses.run(run) for run in self.pending if run.dataset in self.originals}

    def told(self) -> dict[str, Any]:
        """Return all that jobs have to know besides their study, as JSON: they find files that other jobs changed."""
        return {
            "pending": {run.path: [rounds.start, rounds.stop] for run, rounds in self.pending.items()},
            "waiting": {run.path: number for run, number in self.waiting.items()},
            "again": {run.path: number for run, number in self.again.items()},
            "originals": self.originals,
            "sources": {stage: self.source_of(stage) for stage in STAGES} if self.originals else {},
            "files": self.files() if self.originals else None,
            "made": sorted(self.made),
        }

    def as_told(self, told: dict[str, Any]) -> "Work":
        """Return the work that was :meth:`told`; what was not is looked for as this one does."""
        runs = {run.path: run for run in self.study.runs()}
        self.originals.update(
            {
                dataset: {split: [Original(*each) for each in found] for split, found in splits.items()}
                for dataset, splits in told["originals"].items()
            }
        )
        files = told["files"]
        return replace(
            self,
            pending={runs[path]: range(*rounds) for path, rounds in told["pending"].items()},
            waiting={runs[path]: number for path, number in told["waiting"].items()},
            again={runs[path]: number for path, number in told["again"].items()},
            source_of=lambda stage: told["sources"].get(stage) or self.source_of(stage),
            files=self.files if files is None else lambda: files,
            made_before=frozenset(told["made"]),
        )

    @cached_property
    def paths(self) -> Paths:
        """The paths of the study."""
        return self.study.paths

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
        if self.study.oracle != "csv":
            return self.steps() if self.study.oracle == "masks" else []
        return [
            run.step(number)
            for run, rounds in self.pending.items()
            for number in rounds
            if not oracle.has_asked(self.study, run, number)
        ]


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


def none_of(addresses: Iterable[str]) -> str:
    """Return a regular expression that matches addresses but these: no rule makes what is there already."""
    below: dict[str, list[str]] = {}
    for each in addresses:
        below.setdefault(each[:2], []).append(each[2:])
    branches = (f"{first}(?:{'|'.join(rest)})" for first, rest in below.items())
    return (f"(?!{'|'.join(branches)})" if below else "") + f"[0-9a-f]{{{LENGTH}}}"


def counted(originals: Mapping[str, Originals]) -> Images:
    """Return how many images there are, by dataset and split."""
    return {name: {split: len(found) for split, found in splits.items()} for name, splits in originals.items()}
