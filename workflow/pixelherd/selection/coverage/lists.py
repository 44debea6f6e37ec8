"""Stage 1 within an image: ordered lists of representative pixels (local MaxHerding).

Pixels are flat positions ``row · width + column``; −1 fills lists of images with fewer candidates.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from pixelherd.compute.randomness import numpy_generator, torch_generator
from pixelherd.datasets.classes import IGNORED
from pixelherd.datasets.dataset import labels_of
from pixelherd.features.maps import ImageMaps, MapSource, vectors_at
from pixelherd.selection.coverage.herding import max_herding, median_bandwidth
from pixelherd.selection.coverage.products import MapProducts
from pixelherd.storage.stores import create_array

if TYPE_CHECKING:
    from pixelherd.datasets.dataset import Split
    from pixelherd.selection.settings import ListSettings

MEMORY = 400 * 10**6
"""Bytes for kernel values of an image: fixed, so that results do not follow what is free."""

LEAST = 100
"""Vectors of an image behind its bandwidth: 1 % of 2,500 candidates would estimate it with a noise of 5 %."""


def candidate_pixels(labels: np.ndarray, key: str, image_id: str, settings: "ListSettings") -> np.ndarray:
    """Random pixels of an image, without replacement, ascending: ``[n]`` flat positions.

    Args:
        labels: ``[H, W]`` ground truth, read only to leave out ignored pixels (``avoid_ignored``).
        key: the candidate seed.
        image_id: so that every image has a sample of its own.
        settings: ``pixels`` (a number or ``all``) and ``avoid_ignored`` count.
    """
    allowed = np.arange(labels.size)
    if settings.avoid_ignored:
        allowed = allowed[labels.reshape(-1) != IGNORED]
    if settings.pixels == "all" or settings.pixels >= len(allowed):
        return allowed
    generator = numpy_generator(key, "candidates", image_id)
    return np.sort(generator.choice(allowed, settings.pixels, replace=False))


def local_list(
    maps: ImageMaps, labels: np.ndarray, key: str, image_id: str, settings: "ListSettings"
) -> tuple[np.ndarray, torch.Tensor]:
    """The ordered list of an image: K + reserve pixels by MaxHerding over its candidates.

    Returns:
        flat pixels ``[n]`` in greedy order (every shorter list is a prefix), and their vectors ``[n, D]`` float32.
    """
    pixels = candidate_pixels(labels, key, image_id, settings)
    if len(pixels) == 0:
        return pixels, torch.zeros(0, sum(m.shape[0] * m.shape[1] for m in maps.values()))
    products = MapProducts(maps, pixels, labels.shape)
    generator = torch_generator(key, "bandwidth", image_id)
    bandwidth = median_bandwidth(products, generator=generator, scale=settings.bandwidth, least=LEAST)
    herding = max_herding(products, settings.length, bandwidth=bandwidth, kernel=settings.kernel, memory=MEMORY)
    listed = pixels[herding.indices.numpy()]
    return listed, vectors_at(maps, listed, labels.shape)


def write_lists(
    folder: Path, positions: Iterable[int], split: "Split", maps_of: MapSource, key: str, settings: "ListSettings"
) -> None:
    """Fill a shard with its images' lists.

    Writes ``pixels.npy`` ``[n, K + reserve]`` int32 and ``vectors.npy`` ``[n, K + reserve, D]`` float16; places that an
    image does not fill hold −1 and zeros.
    """
    lists = [
        local_list(maps_of(image), labels_of(split, image), key, split.ids[image], settings) for image in positions
    ]
    shape = (len(lists), settings.length)
    pixels = create_array(folder, "pixels", shape, "int32")
    vectors = create_array(folder, "vectors", (*shape, lists[0][1].shape[1]), "float16")
    pixels[:] = -1
    for row, (listed, values) in enumerate(lists):
        pixels[row, : len(listed)] = listed
        vectors[row, : len(listed)] = values.numpy()
    pixels.flush()
    vectors.flush()
