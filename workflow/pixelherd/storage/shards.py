"""Shards: consecutive images that one job handles, in one folder; an index makes a whole split of them."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from pixelherd.errors import UserError
from pixelherd.storage.files import digest_of
from pixelherd.storage.records import read_record, write_record
from pixelherd.storage.stores import MANIFEST, open_array, read_manifest


def ranges(images: int, images_per_job: int) -> list[str]:
    """Names of the shards of ``images`` images: zero-padded ``first-last``."""
    firsts = range(0, images, images_per_job)
    return [f"{first:05d}-{min(first + images_per_job, images) - 1:05d}" for first in firsts]


def images_of(shard: str) -> range:
    """Positions in the split of a shard's images; what follows them in its name is no matter."""
    first, last = shard.split("-")[:2]
    return range(int(first), int(last) + 1)


def write_index(path: Path | str, shards: list[Path | str]) -> None:
    """Write the index of a split: its shard folders in order, each with the digest of its manifest.

    Raises:
        UserError: a shard is incomplete.
    """
    entries = []
    for shard in map(Path, shards):
        read_manifest(shard)
        entries.append({"shard": shard.name, "manifest": digest_of(shard / MANIFEST)})
    write_record(path, {"shards": entries})


class Shards:
    """Arrays over the images of a split, read from the shards behind an index, or from one shard by its manifest.

    Images are named by their position in the split.
    """

    def __init__(self, folders: Sequence[Path]):
        for folder in folders:
            read_manifest(folder)
        self._folders = folders
        self._places = {
            image: (folder, offset) for folder in folders for offset, image in enumerate(images_of(folder.name))
        }
        self._open = lru_cache(maxsize=None)(open_array)

    @classmethod
    def open(cls, path: Path | str) -> "Shards":
        """The shards behind an index, or the one shard that a manifest belongs to.

        Raises:
            UserError: a shard is incomplete, or another than the index names.
        """
        path = Path(path)
        if path.name == MANIFEST:
            return cls([path.parent])
        folders = []
        for entry in read_record(path)["shards"]:
            folder = path.parent / entry["shard"]
            if (folder / MANIFEST).is_file() and digest_of(folder / MANIFEST) != entry["manifest"]:
                raise UserError(f"{folder} is not what {path} names", remedy="delete both and run again")
            folders.append(folder)
        return cls(folders)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._places)

    def place(self, image: int) -> tuple[Path, int]:
        """The shard folder of an image and its position in there."""
        return self._places[image]

    def image(self, array: str, image: int) -> np.ndarray:
        """What ``array`` holds for one image, memory-mapped."""
        folder, offset = self._places[image]
        return self._open(folder, array)[offset]

    def all(self, array: str) -> np.ndarray:
        """``array`` of all images, in memory, ``[images, …]``."""
        return np.concatenate([self._open(folder, array) for folder in self._folders])

    def lazily(self, array: str) -> "LazyArray":
        """``array`` of all images, read where it is indexed."""
        return LazyArray(self, array)


class LazyArray:
    """An array over images that stays on disk: ``array[[3, 1]]`` reads two images."""

    def __init__(self, shards: Shards, name: str):
        self._shards, self._name = shards, name

    def __len__(self) -> int:
        return len(self._shards)

    def __getitem__(self, images: Sequence[int]) -> np.ndarray:
        return np.stack([self._shards.image(self._name, image) for image in images])
