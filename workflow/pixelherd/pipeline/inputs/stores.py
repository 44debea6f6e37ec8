"""Where the stores of a study lie in the cache: paths with their addresses filled in."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from pixelherd.storage.stores import MANIFEST
from pixelherd.study import stages
from pixelherd.study.addresses import LENGTH, Addresses
from pixelherd.study.checks import Images
from pixelherd.study.paths import Paths
from pixelherd.study.run import Run
from pixelherd.study.study import Study

SPLITS = ("train", "test")
Files = dict[str, str | list[str]]
"""Input files of a job by name."""


class Stores:
    """Paths of what the cache holds, for the pending runs of a study."""

    study: Study
    pending: Mapping[Run, range]

    @property
    @abstractmethod
    def images(self) -> Images:
        """How many images there are, by dataset and split."""

    @property
    @abstractmethod
    def addresses(self) -> Addresses:
        """The addresses of the stores."""

    def keeps_maps(self, features: str) -> bool:
        """Return whether native maps are stored."""
        return self.study.features[features].maps == "keep"

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

    def splits(self, dataset: str) -> list[str]:
        """Return the splits that have images: a person's own images need no test split."""
        return [split for split in SPLITS if self.images[dataset][split]]

    def dataset(self, dataset: str) -> str:
        """Return the manifest of a prepared dataset."""
        return self.paths.dataset.format(dataset=dataset, address=self.addresses.dataset(dataset))

    def original_labels(self, dataset: str) -> str:
        """Return the manifest of the test images' labels in the resolution of their files."""
        return self.paths.original_labels.format(dataset=dataset, address=self.addresses.original_labels(dataset))

    def pretrained(self, name: str) -> str:
        """Return the manifest of a backbone that the study trains."""
        return self.paths.pretrained.format(name=name, address=self.addresses.pretrained(name))

    def backbone(self, features: str) -> str:
        """Return the manifest of a backbone."""
        return self.paths.backbone.format(features=features, address=self.addresses.backbone(features))

    def network(self, features: str) -> "Files":
        """Return what a job that loads a backbone reads: its manifest, and those of all that it joins."""
        parts = [self.backbone(part) for part in self.study.features[features].parts]
        return {"backbone": self.backbone(features), **({"parts": parts} if parts else {})}

    def maps(self, dataset: str, features: str, split: str) -> list[str]:
        """Return the shards of a split's maps."""
        names = self.addresses.shards("maps", dataset, features, split)
        return self._filled(self.paths.maps, names, dataset=dataset, features=features, split=split)

    def maps_index(self, dataset: str, features: str, split: str) -> str:
        """Return the index of a split's maps."""
        where = {"dataset": dataset, "features": features, "split": split}
        return self.paths.maps_index.format(**where, address=self.addresses.index("maps", dataset, features, split))

    def draw_maps(self, dataset: str, features: str) -> list[str]:
        """Return the shards of the training images' maps under noise draws."""
        draws = self.kept_draws[dataset, features]
        names = self.addresses.shards("draw_maps", dataset, features, "train", draws)
        return self._filled(self.paths.draw_maps, names, dataset=dataset, features=features)

    def pictures(self, run: Run) -> str:
        """Return the manifest of the pictured images' noise."""
        where = {"dataset": run.dataset, "features": run.features}
        return self.paths.pictures.format(**where, address=self.addresses.pictures(**where, count=self.study.pictures))

    def lists(self, dataset: str, features: str, key: str) -> list[str]:
        """Return the shards of lists of a key."""
        names = self.addresses.shards("lists", dataset, features, "train", key, self.listing[key])
        return self._filled(self.paths.lists, names, dataset=dataset, features=features, key=key)

    def union(self, run: Run) -> str:
        """Return the manifest of the union that a run chooses from."""
        key, listed = self._lists[run.method, run.seed]
        where = {"dataset": run.dataset, "features": run.features, "key": key}
        address = self.addresses.union(**where, method=self.listing[key], listed=listed)
        return self.paths.union.format(**where, listed=listed, address=address)

    def draws(self, dataset: str, features: str, key: str) -> list[str]:
        """Return the shards of draws at the pixels of lists."""
        names = self.addresses.shards(*self._drawn(dataset, features, key))
        return self._filled(self.paths.draws, names, dataset=dataset, features=features, key=key)

    def draws_index(self, run: Run) -> str:
        """Return the index of the draws that a run's scores compare."""
        key, _ = self._lists[run.method, run.seed]
        address = self.addresses.index(*self._drawn(run.dataset, run.features, key))
        return self.paths.draws_index.format(dataset=run.dataset, features=run.features, key=key, address=address)

    def confusions(self, run: Run) -> list[str]:
        """Return the files that keep confusion matrices, where the network runs again for every evaluation."""
        if self.keeps_maps(run.features):
            return []
        where = {"dataset": run.dataset, "features": run.features}
        return self._filled(self.paths.confusions, self.addresses.shards("maps", **where, split="test"), **where)

    def left(self, pattern: str, run: Run, number: int, **more: str) -> str:
        """Return what a round leaves in the cache for others."""
        return pattern.format(step=run.step(number), address=self.addresses.run(run), **more)

    def vectors(self, run: Run, number: int) -> str:
        """Return the vectors of a round's labelled pixels."""
        return self.paths.vectors.format(answered=run.step(number), address=self.addresses.run(run))

    def indices(self) -> dict[str, list[str]]:
        """Return the shards behind each index that pending runs may read."""
        found: dict[str, list[str]] = {}
        for run in self.pending:
            pair = run.dataset, run.features
            found |= {self.maps_index(*pair, split): self.maps(*pair, split) for split in self.splits(run.dataset)}
            if self.study.needs_listed_draws(run.method):
                found[self.draws_index(run)] = self.draws(*pair, self._lists[run.method, run.seed][0])
        return found

    def _drawn(self, dataset: str, features: str, key: str) -> tuple[Any, ...]:
        draws = self.listed_draws[dataset, features][key]
        return "draws", dataset, features, "train", key, self.listing[key], draws

    def _filled(self, pattern: str, shards: Iterable[str], **where: str) -> list[str]:
        return [pattern.format(**where, shard=shard) for shard in shards]

    def stores(self) -> dict[str, str]:
        """Return the manifests of all stores that pending runs may read, by their addresses."""
        found: list[str] = []
        for dataset, features in dict.fromkeys((run.dataset, run.features) for run in self.pending):
            parts = [self.backbone(part) for part in self.study.features[features].parts]
            found += [self.dataset(dataset), self.original_labels(dataset), self.backbone(features), *parts]
            for split in self.splits(dataset):
                found += [*self.maps(dataset, features, split), self.maps_index(dataset, features, split)]
            found += self.draw_maps(dataset, features) if self.kept_draws[dataset, features] else []
        for dataset, features, key in dict.fromkeys(
            (run.dataset, run.features, self._lists[run.method, run.seed][0])
            for run in self.pending
            if self.study.needs_lists(run.method)
        ):
            found += self.lists(dataset, features, key)
            found += self.draws(dataset, features, key) if key in self.listed_draws[dataset, features] else []
        for run in self.pending:
            found += [self.union(run)] if self.study.needs_lists(run.method) else []
            found += [self.draws_index(run)] if self.study.needs_listed_draws(run.method) else []
            found += [self.pictures(run)] if self.study.needs_draws(run.method) and self.study.pictures else []
        return {addressed(path): path for path in found}


def addressed(path: str) -> str:
    """Return the address of a store by its manifest: it ends the name of its folder, or else of the file."""
    *_, folder, name = path.split("/")
    return (folder if name == MANIFEST else name.removesuffix(".json"))[-LENGTH:]
