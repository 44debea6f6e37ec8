"""Datasets: from raw files, or from nothing for the demo, to arrays of images and labels.

A reader is a module with two functions: ``classes(settings)`` gives the :class:`ClassInfo` in label order, and
``samples(settings)`` the :class:`~pixelherd.datasets.samples.Sample` of each split without opening an image. To add a
dataset, write its settings in ``settings.py`` and its reader, and enter both in ``READERS``.
"""

import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..errors import UserError
from ..storage import MANIFEST, read_manifest, writing
from .classes import ClassInfo
from .settings import DatasetSettings

if TYPE_CHECKING:
    import numpy as np
    import zarr
    from PIL import Image

    from .samples import Sample

__all__ = ["READERS", "ClassInfo", "Dataset", "DatasetSettings", "Split", "counts", "prepare"]

READERS = {"demo": "demo", "camvid": "camvid", "folder": "folder"}  # kind -> module, imported when it is needed
ARRAYS = "arrays.zarr"


def counts(settings: DatasetSettings, prepared: Path | None = None) -> dict[str, int]:
    """Number of images per split (``train``, ``test``), without opening one.

    Args:
        settings: the dataset's settings.
        prepared: where :func:`prepare` writes; what it wrote under the same settings is asked before the raw files.

    Raises:
        UserError: raw files are missing, or do not fit together.
    """
    if prepared is not None and (prepared / MANIFEST).is_file():
        manifest = json.loads((prepared / MANIFEST).read_text())
        if manifest["settings"] == settings.model_dump(mode="json"):
            return {split: len(facts["ids"]) for split, facts in manifest["splits"].items()}
    return {split: len(found) for split, found in _samples(settings, _reader(settings)).items()}


def prepare(settings: DatasetSettings, folder: Path | str, progress: bool = True) -> None:
    """Read, resize and store a dataset in ``folder``, for :meth:`Dataset.open`.

    Images are resized by Pillow's BILINEAR, which is antialiased, and labels by NEAREST.

    Raises:
        UserError: raw files are missing, unreadable, do not fit together, or hold labels outside the classes.
    """
    import zarr
    from PIL import Image
    from tqdm import tqdm

    reader = _reader(settings)
    samples = _samples(settings, reader)
    height, width = settings.size
    facts = {
        "settings": settings.model_dump(mode="json"),
        "size": [height, width],
        "classes": [{"name": info.name, "colour": list(info.colour)} for info in reader.classes(settings)],
        "splits": {split: {"ids": [sample.id for sample in found]} for split, found in samples.items()},
    }
    with writing(folder, facts) as folder:
        group = zarr.open_group(folder / ARRAYS, mode="w", zarr_format=3)
        for split, found in samples.items():
            shapes = {"images": (height, width, 3)}
            if found[0].labelled:
                shapes["labels"] = (height, width)
            arrays = {
                name: group.create_array(
                    f"{split}/{name}",
                    shape=(len(found), *shape),
                    chunks=(1, *shape),
                    dtype="uint8",
                    config={"write_empty_chunks": True},  # so that the manifest lists a file for every image
                )
                for name, shape in shapes.items()
            }
            bar = tqdm(found, desc=f"prepare {split}", unit="image", disable=None if progress else True)
            for number, sample in enumerate(bar):
                image, labels = sample.load()
                arrays["images"][number] = _fit(image, settings, Image.Resampling.BILINEAR)
                if labels is not None:
                    arrays["labels"][number] = _fit(Image.fromarray(labels), settings, Image.Resampling.NEAREST)


@dataclass(frozen=True)
class Split:
    """The images of a split in a fixed order.

    Attributes:
        ids: name of each image.
        images: [N, H, W, 3] uint8, RGB; a chunk holds one image.
        labels: [N, H, W] uint8, positions in the list of classes, 255 = ignored; None where the dataset has no masks.
    """

    ids: list[str]
    images: "zarr.Array"
    labels: "zarr.Array | None"

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset; ``size`` is (height, width)."""

    classes: list[ClassInfo]
    size: tuple[int, int]
    train: Split
    test: Split

    @classmethod
    def open(cls, folder: Path | str) -> "Dataset":
        """Open what :func:`prepare` wrote.

        Raises:
            UserError: the folder is incomplete.
        """
        import zarr

        manifest = read_manifest(folder)
        group = zarr.open_group(Path(folder) / ARRAYS, mode="r")
        splits = {
            split: Split(facts["ids"], group[split]["images"], group[split].get("labels"))
            for split, facts in manifest["splits"].items()
        }
        classes = [ClassInfo(entry["name"], tuple(entry["colour"])) for entry in manifest["classes"]]
        return cls(classes, tuple(manifest["size"]), **splits)


def _reader(settings: DatasetSettings) -> ModuleType:
    return import_module(f".{READERS[settings.kind]}", __name__)


def _samples(settings: DatasetSettings, reader: ModuleType) -> "dict[str, list[Sample]]":
    """The samples of a reader; every split has some, and their ids differ."""
    samples = reader.samples(settings)
    for split, found in samples.items():
        place = getattr(settings, "root", settings.kind)
        if not found:
            raise UserError(f"dataset {place}: the {split} split has no images; add some or correct the settings")
        seen: set[str] = set()
        for sample in found:
            if sample.id in seen:
                raise UserError(f"dataset {place}: two {split} images have the id {sample.id!r}; rename or remove one")
            seen.add(sample.id)
    return samples


def _fit(image: "Image.Image", settings: DatasetSettings, resampling: "Image.Resampling") -> "np.ndarray":
    """Resize to the size of the settings, or to the larger ``resize`` with a central crop."""
    import numpy as np

    height, width = settings.size
    full_height, full_width = getattr(settings, "resize", None) or settings.size
    resized = image.resize((full_width, full_height), resampling)
    top, left = (full_height - height) // 2, (full_width - width) // 2
    return np.asarray(resized)[top : top + height, left : left + width]
