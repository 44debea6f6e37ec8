"""A tiny study whose cache is made once, by the package itself: demo scenes, a random U-Net, lists, a union, draws."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pixelherd.datasets.classes import ClassInfo
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.features.settings import MapSettings
    from pixelherd.heads.network import MlpHead
    from pixelherd.study.study import Study


@pytest.fixture(scope="session")
def backbone_folder(tmp_path_factory) -> Path:
    """A random U-Net of four decoder blocks."""
    from unit.networks import NETWORKS, build, save

    return save(tmp_path_factory.mktemp("backbone"), build(**NETWORKS["plain"]))


@pytest.fixture(scope="session")
def settings(backbone_folder) -> dict:
    """What `config.yaml` of the tiny study holds; copy it before changing anything inside."""
    return {
        "datasets": {"demo": {"kind": "demo", "train": 6, "test": 3, "size": [32, 32]}},
        "features": {
            "ddpm": {
                "backbone": str(backbone_folder),
                "timesteps": [50, 150],
                "blocks": [3, 0],
                "draws": 2,
                "context": 20,
            }
        },
        "candidates": {"pixels": 60, "listed": 4, "reserve": 3},
        "methods": {"edald": None, "margin": None, "coverage": None, "random": None, "full": None},
        "budgets": [3],
        "seeds": [0],
        "rounds": 2,
        "pictures": 2,
        "images_per_job": 4,
    }


@dataclass(frozen=True)
class Cache:
    """The stores of the tiny study, laid out as its jobs leave them."""

    study: "Study"
    dataset: "Dataset"
    train: Path
    """Index of the training shards' maps and context vectors."""
    test: Path
    """Index of the test shards' maps."""
    lists: list[Path]
    """Shard folders of seed 0's lists."""
    union: Path
    """Folder of seed 0's union."""
    draws: Path
    """Index of the draws at seed 0's listed pixels."""

    @property
    def features(self) -> "MapSettings":
        from pixelherd.study import stages

        return stages.maps(self.study, "demo", "ddpm")

    @property
    def classes(self) -> "list[ClassInfo]":
        from pixelherd.datasets.prepare import classes_of

        return classes_of(self.study.datasets["demo"])

    @property
    def dim(self) -> int:
        return 2 * (16 + 8)

    def head(self, seed: int = 0) -> "MlpHead":
        """A random head whose predictions differ between pixels."""
        import torch

        from pixelherd.heads.network import MlpHead

        generator = torch.Generator().manual_seed(seed)
        head = MlpHead(self.dim, len(self.classes), hidden=[12, 8], generator=generator)
        with torch.no_grad():
            for parameter in head.parameters():
                parameter *= 20
        return head.eval()


@pytest.fixture(scope="session")
def cache(tmp_path_factory, settings) -> Cache:
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.datasets.prepare import prepare
    from pixelherd.features import extract, maps
    from pixelherd.features.backbones import manifest
    from pixelherd.selection.coverage import lists, union
    from pixelherd.storage import shards
    from pixelherd.storage.stores import writing
    from pixelherd.study import stages
    from pixelherd.study.study import Study

    root = tmp_path_factory.mktemp("cache")
    study = Study.read(settings)
    prepare(study.datasets["demo"], root / "dataset", progress=False)
    dataset = Dataset.open(root / "dataset")
    network = manifest.load(settings["features"]["ddpm"]["backbone"])
    options = stages.maps(study, "demo", "ddpm")
    made = {}

    def fill(name: str, images: int, write) -> None:
        made[name] = [root / name / shard for shard in shards.ranges(images, study.images_per_job)]
        for folder in made[name]:
            with writing(folder, {}) as data:
                write(data, shards.images_of(folder.name))
        shards.write_index(root / name / "index.json", made[name])

    for name in ("train", "test"):
        split = getattr(dataset, name)
        computed = maps.ComputedMaps([network], split.images, options)
        write = partial(extract.write_features, split=split, computed=computed, size=dataset.size)
        fill(name, len(split), partial(write, training=name == "train"))
    maps_of = maps.StoredMaps(root / "train" / "index.json")
    fill(
        "lists",
        6,
        lambda folder, images: lists.write_lists(folder, images, dataset.train, maps_of, "0", stages.lists(study)),
    )
    listed = shards.Shards.open(root / "lists" / "index.json")
    fill(
        "draws",
        6,
        lambda folder, images: extract.write_draws(
            folder,
            images,
            listed,
            maps.ComputedMaps([network], dataset.train.images, options),
            2,
            dataset.size,
        ),
    )
    options = stages.lists(study)
    facts = {"listed": options.listed, "kernel": options.kernel}
    with writing(root / "union", facts, inside="") as folder:
        facts["bandwidth"] = union.write_union(folder, listed, options.listed, options, "0")
    indices = {name: root / name / "index.json" for name in ("train", "test", "draws")}
    return Cache(study, dataset, lists=made["lists"], union=root / "union", **indices)
