"""Names of what lies in the cache, made of all that it depends on: settings, raw files, and pixelherd's source.

What lies at an address is what the study asks for, whoever made it and when, so it is never made twice; a store of
other settings has another address, so that it is never taken by mistake, and studies may share a cache. The names of
datasets and features stand in the paths, so they are part of the addresses: one address is one path. What does not
depend on a change keeps its address: a class's new name moves no images, an added image moves no features of others.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pixelherd.datasets.originals import Digests, Original, Originals
from pixelherd.features.backbones.sources.source import Source
from pixelherd.storage.files import hash_of, sorted_json
from pixelherd.storage.shards import images_of, ranges
from pixelherd.study import stages
from pixelherd.study.run import Run
from pixelherd.study.settings import Pretrained
from pixelherd.study.study import Study

LENGTH = 12
"""Hexadecimal digits of an address."""

STAGES = (
    "prepare",
    "original_labels",
    "pretrained",
    "backbone",
    "extract",
    "extract_draws",
    "picture",
    "herd",
    "perturb",
    "gather",
)
"""Stages whose stores have addresses."""

FilesOfBackbones = Mapping[str, Mapping[str, str]]
"""Digests of the files of local backbones, by features and file."""


def address(**parts: Any) -> str:
    """Return the address of what depends on ``parts``, as JSON."""
    return hash_of(parts)[:LENGTH]


class Addresses:
    """The addresses of a study's stores.

    Args:
        study: the study.
        originals: the raw images of its datasets.
        source_of: gives the hash of the source of a stage, by the name of its script.
        files: gives the digests of the files of local backbones, by features.
    """

    def __init__(
        self,
        study: Study,
        originals: Mapping[str, Originals],
        source_of: Callable[[str], str],
        files: Callable[[], FilesOfBackbones],
    ) -> None:
        self._study, self._originals, self._source, self._files = study, originals, source_of, files
        for name in (
            "dataset",
            "backbone",
            "_images",
            "_training_images",
            "_maps_of",
            "shards",
            "index",
            "union",
            "run",
        ):  # asked for every shard, and of many runs
            setattr(self, name, cache(getattr(self, name)))

    def dataset(self, dataset: str) -> str:
        """Return the address of a prepared dataset."""
        settings = self._study.datasets[dataset]
        originals, source = self._originals[dataset], self._source("prepare")
        return address(name=dataset, of=settings.content(), originals=originals, source=source)

    def original_labels(self, dataset: str) -> str:
        """Return the address of the test images' labels in the resolution of their files."""
        return address(of=self.dataset(dataset), source=self._source("original_labels"))

    def pretrained(self, name: str) -> str:
        """Return the address of a backbone that the study trains."""
        settings = self._study.pretraining[name]
        of, images = settings.model_dump(mode="json"), self._images(settings.dataset, "train")
        return address(name=name, of=of, images=images, source=self._source("pretrained"))

    def backbone(self, features: str) -> str:
        """Return the address of a backbone."""
        source, made = self._study.features[features].backbone, stages.backbone(self._study, features)
        if isinstance(source, list):
            return address(
                name=features, parts=[self.backbone(part) for part in source], source=self._source("backbone")
            )
        trained = self.pretrained(source.pretrain) if isinstance(source, Pretrained) else None
        files, code = self._files().get(features), self._source("backbone")
        return address(name=features, of=made, files=files, trained=trained, source=code)

    def shards(self, kind: str, dataset: str, features: str, split: str, *more: object) -> list[str]:
        """Return the names of a split's shards.

        Args:
            kind: of the stores: ``maps``, ``draw_maps``, ``lists`` or ``draws``.
            dataset: name of the dataset.
            features: name of the features.
            split: train or test.
            more: what else addresses of the kind depend on: M, the key of lists, or both.
        """
        counted = ranges(len(self._originals[dataset][split]), self._study.images_per_job)
        of = getattr(self, f"_{kind}")
        return [f"{each}-{of(dataset, features, split, each, *more)}" for each in counted]

    def index(self, *of: object) -> str:
        """Return the address of an index of :meth:`shards`."""
        return address(shards=self.shards(*of))  # type: ignore[arg-type]

    def pictures(self, dataset: str, features: str, count: int) -> str:
        """Return the address of the noise of so many pictured images."""
        maps, draws = self._maps_of(dataset, features), self._study.features[features].draws
        images = self._images(dataset, "train")
        return address(maps=maps, images=images, draws=draws, pictures=count, source=self._source("picture"))

    def union(self, dataset: str, features: str, key: str, method: str, listed: int) -> str:
        """Return the address of the union of the lists that a method chooses from, which offer so many pixels each."""
        settings = stages.herding(self._study, method).model_dump(mode="json")
        lists = self.shards("lists", dataset, features, "train", key, method)
        return address(lists=lists, listed=listed, of=settings, source=self._source("gather"))

    def run(self, run: Run) -> str:
        """Return the address of all that a run is made of, and of what its rounds leave for each other in the cache."""
        study, dataset, features = self._study, run.dataset, run.features
        result = stages.result(study, run) | {"dataset": self.dataset(dataset)}
        classes = stages.class_keys(study, dataset) if "oracle" in result else len(stages.class_names(study, dataset))
        images, network = self._training_images(dataset), self.backbone(features)  # stored or not, in whatever shards
        parts = {"of": result, "classes": classes, "backbone": network, "source": self._source("extract")}
        return hash_of(parts, {"images": images})[:LENGTH]

    def _training_images(self, dataset: str) -> str:
        """What prepared training images depend on, as JSON that is written once for all runs."""
        return sorted_json(self._images(dataset, "train"))

    def _images(self, dataset: str, split: str, shard: str | None = None) -> dict[str, Any]:
        """What prepared images depend on."""
        found = self._originals[dataset][split]
        listed = found if shard is None else [found[position] for position in images_of(shard)]
        return {
            "dataset": dataset,
            "of": self._study.datasets[dataset].pixels(),
            "images": [[each.id, each.image] for each in listed],
            "source": self._source("prepare"),
        }

    def _masks(self, dataset: str, shard: str) -> dict[str, Any]:
        """What the labels of a shard of training images depend on."""
        found: list[Original] = self._originals[dataset]["train"]
        masks = [found[position].mask for position in images_of(shard)]
        return {"masks": masks, "of": self._study.datasets[dataset].content() if any(masks) else None}

    def _maps_of(self, dataset: str, features: str) -> dict[str, Any]:
        """What maps depend on besides the images."""
        settings = stages.maps(self._study, dataset, features).identity()
        return {"settings": settings, "backbone": self.backbone(features)}

    def _maps(self, dataset: str, features: str, split: str, shard: str) -> str:
        maps, images = self._maps_of(dataset, features), self._images(dataset, split, shard)
        return address(maps=maps, images=images, split=split, shard=shard, source=self._source("extract"))

    def _draw_maps(self, dataset: str, features: str, split: str, shard: str, draws: int) -> str:
        maps, images = self._maps_of(dataset, features), self._images(dataset, split, shard)
        return address(maps=maps, images=images, shard=shard, draws=draws, source=self._source("extract_draws"))

    def _lists(self, dataset: str, features: str, split: str, shard: str, key: str, method: str) -> str:
        settings = stages.herding(self._study, method)
        masks = self._masks(dataset, shard) if settings.avoid_ignored else None
        maps, of = self._maps(dataset, features, split, shard), settings.model_dump(mode="json")
        return address(maps=maps, of=of, key=key, masks=masks, source=self._source("herd"))

    def _draws(self, dataset: str, features: str, split: str, shard: str, key: str, method: str, draws: int) -> str:
        lists = self._lists(dataset, features, split, shard, key, method)
        return address(lists=lists, draws=draws, source=self._source("perturb"))


def files_of_backbones(study: Study, digests: Digests) -> dict[str, dict[str, str]]:
    """Return the digests of the files that backbones of a study consist of, by features.

    A file that may be downloaded is checked when it comes; before it is there, nobody knows its digest.
    """
    found = {}
    for name, settings in study.features.items():
        watched = settings.backbone.watched() if isinstance(settings.backbone, Source) else []
        paths = [path for each in watched for path in digests.below(each)]
        known = digests.of(paths, f"the backbone of {name}")
        found[name] = {f"{path.parent.name}/{path.name}": digest for path, digest in known.items()}
    return found
