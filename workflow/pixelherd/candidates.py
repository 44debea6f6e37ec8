"""Stage 1, coverage: ordered lists within images, and the pool over the images (DESIGN: MaxHerding, local and global).

Pixels are flat positions ``row · width + column``; −1 fills lists of images with fewer candidates.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .errors import UserError
from .features import ImageMaps, MapSource, vectors_at
from .herding import Herding, max_herding, median_bandwidth
from .randomness import numpy_generator, torch_generator
from .shards import Shards
from .storage import create_array, open_array, read_manifest

IGNORED = 255


def candidate_pixels(labels: np.ndarray, key: str, image_id: str, settings: dict[str, Any]) -> np.ndarray:
    """Random pixels of an image, without replacement, ascending: ``[n]`` flat positions.

    Args:
        labels: ``[H, W]`` ground truth, read only to leave out ignored pixels (``avoid_ignored``).
        key: the candidate seed.
        image_id: so that every image has a sample of its own.
        settings: ``pixels`` (a number or ``all``) and ``avoid_ignored``.
    """
    allowed = np.arange(labels.size)
    if settings["avoid_ignored"]:
        allowed = allowed[labels.reshape(-1) != IGNORED]
    if settings["pixels"] == "all" or settings["pixels"] >= len(allowed):
        return allowed
    generator = numpy_generator(key, "candidates", image_id)
    return np.sort(generator.choice(allowed, settings["pixels"], replace=False))


def local_list(
    maps: ImageMaps, labels: np.ndarray, key: str, image_id: str, settings: dict[str, Any]
) -> tuple[np.ndarray, torch.Tensor]:
    """The ordered list of an image: K + reserve pixels by MaxHerding over its candidates.

    Returns:
        flat pixels ``[n]`` in greedy order (every shorter list is a prefix), and their vectors ``[n, D]`` float32.
    """
    pixels = candidate_pixels(labels, key, image_id, settings)
    length = settings["listed"] + settings["reserve"]
    if len(pixels) == 0:
        return pixels, torch.zeros(0, sum(m.shape[0] * m.shape[1] for m in maps.values()))
    vectors = vectors_at(maps, pixels, labels.shape)
    herding = max_herding(
        vectors, length, kernel=settings["kernel"], generator=torch_generator(key, "bandwidth", image_id)
    )
    order = torch.as_tensor(herding.indices)
    return pixels[order.numpy()], vectors[order]


def write_lists(
    folder: Path, positions: Iterable[int], split: Any, maps_of: MapSource, key: str, settings: dict[str, Any]
) -> None:
    """Fill a shard with its images' lists.

    Writes ``pixels.npy`` ``[n, K + reserve]`` int32 and ``vectors.npy`` ``[n, K + reserve, D]`` float16; places that an
    image does not fill hold −1 and zeros.
    """
    lists = [local_list(maps_of(image), split.labels[image], key, split.ids[image], settings) for image in positions]
    shape = (len(lists), settings["listed"] + settings["reserve"])
    pixels = create_array(folder, "pixels", shape, "int32")
    vectors = create_array(folder, "vectors", (*shape, lists[0][1].shape[1]), "float16")
    pixels[:] = -1
    for row, (listed, values) in enumerate(lists):
        pixels[row, : len(listed)] = listed
        vectors[row, : len(listed)] = values.numpy()
    pixels.flush()
    vectors.flush()


@dataclass(frozen=True)
class Union:
    """The listed pixels of all training images of a seed, one row each, images in order.

    Attributes:
        vectors: ``[n, D]`` float16, memory-mapped.
        images: ``[n]`` position of the training image.
        pixels: ``[n]`` flat pixel.
        ranks: ``[n]`` place in the image's list, from 0.
        bandwidth: σ of the kernel over the union.
    """

    vectors: np.ndarray
    images: np.ndarray
    pixels: np.ndarray
    ranks: np.ndarray
    bandwidth: float

    def rows_of(self, images: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Rows of given pixels ``[m]``.

        Raises:
            UserError: a pixel is in no list.
        """
        place = {pair: row for row, pair in enumerate(zip(self.images.tolist(), self.pixels.tolist(), strict=True))}
        wanted = list(zip(images.tolist(), pixels.tolist(), strict=True))
        for image, pixel in wanted:
            if (image, pixel) not in place:
                raise UserError(
                    f"labels: pixel {pixel} of training image {image} is in no list; delete the run's folder, run again"
                )
        return np.array([place[pair] for pair in wanted], dtype=np.int64)

    def offered(self, labelled: np.ndarray, listed: int) -> np.ndarray:
        """Rows that the images offer: of each list the first ``listed`` that are not among the ``labelled`` rows."""
        free = np.ones(len(self.pixels), dtype=bool)
        free[labelled] = False
        before = np.cumsum(free) - free  # unlabelled rows in front of each row, over all images
        first = np.searchsorted(self.images, self.images)
        return np.flatnonzero(free & (before - before[first] < listed))

    def herd(self, labelled: np.ndarray, listed: int, kernel: str, budget: int | float) -> tuple[np.ndarray, Herding]:
        """Global MaxHerding over what the images offer, coverage credited to the labelled rows.

        Args:
            labelled: rows labelled already.
            listed: K.
            kernel: name of the kernel.
            budget: a number of pixels, or the fraction of the offered ones to keep (a float).

        Returns:
            rows in greedy order, and the herding itself.

        Raises:
            UserError: the images offer nothing any more.
        """
        offered = self.offered(labelled, listed)
        if len(offered) == 0:
            raise UserError(
                "budget: all listed pixels are labelled; lower `budgets` or `rounds`, or raise `candidates.listed` or "
                "`candidates.reserve`"
            )
        count = max(1, round(budget * len(offered))) if isinstance(budget, float) else budget
        herding = max_herding(
            torch.from_numpy(np.asarray(self.vectors[offered])).float(),
            count,
            bandwidth=self.bandwidth,
            kernel=kernel,
            covered=torch.from_numpy(np.asarray(self.vectors[labelled])).float() if len(labelled) else None,
        )
        return offered[np.asarray(herding.indices)], herding


def write_union(folder: Path, lists: Shards, listed: int, key: str) -> float:
    """Gather the lists of all images into one memory-mapped union; returns the bandwidth of its first K places.

    Raises:
        UserError: no image has a candidate.
    """
    pixels = lists.all("pixels")
    images, ranks = np.nonzero(pixels >= 0)
    if len(images) == 0:
        raise UserError("candidates: no training image has a labelled pixel; set `candidates.avoid_ignored: false`")
    dimension = lists.image("vectors", 0).shape[-1]
    vectors = create_array(folder, "vectors", (len(images), dimension), "float16")
    ends = np.searchsorted(images, np.arange(len(pixels)), side="right")
    for image, (start, end) in enumerate(zip(np.r_[0, ends[:-1]], ends, strict=True)):
        vectors[start:end] = lists.image("vectors", image)[: end - start]
    vectors.flush()
    for name, values in (("images", images), ("ranks", ranks), ("pixels", pixels[images, ranks])):
        array = create_array(folder, name, values.shape, "int32")
        array[:] = values
        array.flush()
    offered = torch.from_numpy(np.asarray(vectors[ranks < listed]))
    return median_bandwidth(offered, generator=torch_generator(key, "bandwidth", "union"))


def read_union(folder: Path) -> Union:
    """Open what :func:`write_union` wrote."""
    bandwidth = read_manifest(folder)["bandwidth"]
    arrays = {name: open_array(folder, name) for name in ("vectors", "images", "pixels", "ranks")}
    return Union(**arrays, bandwidth=bandwidth)
