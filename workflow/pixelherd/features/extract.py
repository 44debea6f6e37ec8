"""What a shard keeps of its images: native maps, context vectors, and vectors under noise draws."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pixelherd.compute.randomness import numpy_generator
from pixelherd.features import interpolation
from pixelherd.features.maps import COVERED, ComputedMaps, DrawSource, ImageMaps, vectors_at
from pixelherd.storage.shards import Shards
from pixelherd.storage.stores import create_array, create_chunks

if TYPE_CHECKING:
    from pixelherd.datasets.dataset import Split
    from pixelherd.features.settings import MapSettings


def context_pixels(image_id: str, settings: "MapSettings", size: tuple[int, int]) -> np.ndarray:
    """Uniform sample of an image's pixels, without replacement: ``[context]`` int32 flat positions, ascending."""
    pixels = size[0] * size[1]
    generator = numpy_generator(settings.noise_seed, "context", image_id)
    return np.sort(generator.choice(pixels, min(settings.context, pixels), replace=False)).astype(np.int32)


def store(folder: Path, images: int, maps_of: Callable[[int], ImageMaps], size: tuple[int, int]) -> None:
    """Store maps of ``images`` images, or of as many draws of images, a Zarr chunk per entry and block.

    Float16 activations hardly compress, so the chunks are written as they are. Beside them lie the lengths of vectors
    at the ``size`` (H, W) of the prepared images, ``norms.npy`` ``[images, H, W]`` float32.
    """
    import zarr

    arrays: dict[int, zarr.Array] = {}
    norms = create_array(folder, "norms", (images, *size), "float32")
    for image in range(images):
        maps = maps_of(image)
        norms[image] = interpolation.norms(maps, size).numpy()
        if not arrays:
            group = zarr.create_group(folder / "maps.zarr")
            for block, values in maps.items():
                shape = images, *values.shape
                arrays[block] = create_chunks(group, f"block-{block}", shape, "float16", compressed=False)
            for block, covered in maps.covered.items():
                arrays[block].attrs[COVERED] = list(covered)
        for block, values in maps.items():
            arrays[block][image] = values.numpy()
    norms.flush()


def write_features(
    folder: Path,
    positions: range,
    split: "Split",
    computed: ComputedMaps,
    size: tuple[int, int],
    *,
    training: bool,
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Fill a shard: native maps and norms (unless maps are recomputed) and, for training images, context vectors.

    Writes ``maps.zarr``, ``norms.npy`` ``[n, H, W]`` float32, ``context_pixels.npy`` ``[n, P]`` int32 and
    ``context.npy`` ``[n, P, D]`` float16.

    Args:
        folder: of the shard.
        positions: its n images in the split.
        split: whose images they are.
        computed: makes their maps.
        size: (H, W) of the prepared images.
        training: whether the images are training images.
        progress: called after each image.
    """
    context: dict[str, np.memmap] = {}
    settings = computed.settings

    def maps_of(offset: int) -> ImageMaps:
        position = positions[offset]
        maps = computed(position)
        if training:
            pixels = context_pixels(split.ids[position], settings, size)
            vectors = vectors_at(maps, pixels, size)
            if not context:
                count = len(positions)
                context["context_pixels"] = create_array(folder, "context_pixels", (count, len(pixels)), "int32")
                context["context"] = create_array(folder, "context", (count, *vectors.shape), "float16")
            context["context_pixels"][offset] = pixels
            context["context"][offset] = vectors.numpy()
        progress()
        return maps

    if settings.maps == "keep":
        store(folder, len(positions), maps_of, size)
    else:
        for offset in range(len(positions)):
            maps_of(offset)
    for array in context.values():
        array.flush()


def store_draws(
    folder: Path,
    positions: Sequence[int],
    perturbed: ComputedMaps,
    draws: int,
    size: tuple[int, int],
    *,
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Store maps of some images under noise draws 1…M, image by image: :func:`store` with M entries an image."""

    def maps_of(entry: int) -> ImageMaps:
        offset, before = divmod(entry, draws)
        maps = perturbed(positions[offset], 1 + before)
        if before == draws - 1:
            progress()
        return maps

    store(folder, len(positions) * draws, maps_of, size)


def write_draws(
    folder: Path,
    positions: range,
    lists: Shards,
    perturbed: DrawSource,
    draws: int,
    size: tuple[int, int],
    *,
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Fill a shard with vectors of noise draws 1…M at the listed pixels: ``draws.npy [n, listed, M, D]`` float16.

    Places of a list that its image does not fill stay 0.
    """
    array = None
    for offset, position in enumerate(positions):
        pixels = lists.image("pixels", position)
        for number in range(1, draws + 1):
            maps = perturbed(position, number)
            vectors = vectors_at(maps, pixels[pixels >= 0], size).numpy()
            if array is None:
                array = create_array(folder, "draws", (len(positions), len(pixels), draws, vectors.shape[1]), "float16")
            array[offset, : len(vectors), number - 1] = vectors
        progress()
    if array is not None:
        array.flush()
