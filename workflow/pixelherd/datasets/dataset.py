"""Prepared datasets: arrays of images and labels, opened when they are asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelherd.datasets.classes import ClassInfo
from pixelherd.storage.stores import DATA, check, open_zarr, read_manifest

if TYPE_CHECKING:
    import numpy as np
    import zarr


ARRAYS = "arrays.zarr"


@dataclass(frozen=True)
class OriginalLabels:
    """Labels of the test images in the resolution of their files; ``labels[number]`` is [H, W] uint8."""

    folder: Path

    @classmethod
    def open(cls, folder: Path | str) -> "OriginalLabels":
        """Open what :func:`write_original_labels` wrote.

        Raises:
            UserError: the folder is incomplete.
        """
        read_manifest(folder)
        return cls(Path(folder))

    def __getitem__(self, number: int) -> "np.ndarray":
        import numpy as np
        from PIL import Image

        name = f"{DATA}/{number:06}.png"
        check(self.folder, name)
        with Image.open(self.folder / name) as image:
            return np.array(image)


@dataclass(frozen=True)
class Split:
    """The images of a split in a fixed order. Arrays are opened when asked for: most jobs need the ids alone.

    Args:
        ids: name of each image.
        array: opens ``images`` or ``labels``.
    """

    ids: list[str]
    array: "Callable[[str], zarr.Array | None]"

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def images(self) -> "zarr.Array":
        """[N, H, W, 3] uint8, RGB; a chunk holds one image."""
        images = self.array("images")
        assert images is not None, "preparing stores the images of every split"
        return images

    @cached_property
    def labels(self) -> "zarr.Array | None":
        """[N, H, W] uint8, positions in the list of classes, 255 = ignored; None where the dataset has no masks."""
        return self.array("labels")


def labels_of(split: Split, image: int) -> "np.ndarray":
    """Labels [H, W] of an image, for those who ask which pixels are ignored: none is where there are no masks."""
    import numpy as np

    return np.zeros(split.images.shape[1:3], np.uint8) if split.labels is None else np.asarray(split.labels[image])


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset; ``size`` is (height, width)."""

    size: tuple[int, int]
    train: Split
    test: Split

    def truth(self, original: str | None) -> "zarr.Array | OriginalLabels | None":
        """Return the labels that predictions for test images are compared with.

        Args:
            original: the manifest of the labels in the resolution of their files; None for the prepared ones.
        """
        return OriginalLabels.open(Path(original).parent) if original else self.test.labels

    def facts(self, classes: Sequence[ClassInfo]) -> dict[str, Any]:
        """Return what tables and figures of a finished run need of its dataset and its classes, as JSON."""
        return {
            "classes": [{"name": each.name, "colour": list(each.colour)} for each in classes],
            "image_size": list(self.size),
            "images": {name: len(getattr(self, name)) for name in ("train", "test")},
            "masks": self.train.labels is not None,
        }

    @classmethod
    def open(cls, folder: Path | str) -> "Dataset":
        """Open what :func:`prepare` wrote.

        Raises:
            UserError: the folder is incomplete.
        """
        manifest = read_manifest(folder)
        splits = {
            split: Split(facts["ids"], partial(_array, Path(folder), split))
            for split, facts in manifest["splits"].items()
        }
        return cls(tuple(manifest["size"]), **splits)


def _array(folder: Path, split: str, name: str) -> "zarr.Array | None":
    import zarr

    found = open_zarr(folder, ARRAYS).get(f"{split}/{name}")
    return found if isinstance(found, zarr.Array) else None
