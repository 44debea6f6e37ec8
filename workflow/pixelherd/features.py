"""Native feature maps of images: made once by the frozen backbone, or again wherever they are needed.

Maps of an image are ``{block: [T, C, h, w]}`` in float16, base draw unless said otherwise. Both sources round to
float16, so ``maps: keep`` and ``maps: recompute`` give the same results.

Beside the maps of training images lie the lengths of their pixels' vectors, a 200th of the maps: single-stage methods
look at every pixel under every draw in every round, and would spend a fifth of it on the same lengths.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from . import dense
from .backbones import open_manifest
from .backbones.noise import draw
from .devices import resolve
from .errors import UserError
from .randomness import numpy_generator
from .shards import Shards
from .storage import create_array, open_array, read_manifest

if TYPE_CHECKING:
    from .backbones.unet import Backbone

BASE_DRAW = 0
ImageMaps = dict[int, torch.Tensor]


def network_input(image: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """An image ``[H, W, 3]`` uint8 as the network sees it: ``[1, 3, h, w]`` float32 in [-1, 1], resized bilinearly."""
    height, width = size
    if image.shape[:2] != (height, width):
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1


def compute(backbone: "Backbone", image: np.ndarray, settings: dict[str, Any], number: int = BASE_DRAW) -> ImageMaps:
    """Native maps of one image under noise draw ``number``.

    Args:
        backbone: the frozen network.
        image: ``[H, W, 3]`` uint8.
        settings: feature settings of the study (``image_size``, ``noise_seed``, ``timesteps``, ``blocks``).
        number: 0 is the base draw, 1…M are for disagreement.

    Returns:
        ``{block: [T, C, h, w]}`` float16 on the CPU.

    Raises:
        UserError: an activation lies outside float16.
    """
    size = tuple(settings["image_size"])
    noise = draw(settings["noise_seed"], number, size)
    maps = backbone.maps(network_input(image, size), noise, timesteps=settings["timesteps"], blocks=settings["blocks"])
    limit = torch.finfo(torch.float16).max
    for block, values in maps.items():
        if values.abs().max() > limit:
            raise UserError(
                f"features: block {block} has activations beyond {limit:.0f}, float16's range; leave it out of `blocks`"
            )
    return {block: values[0].half().cpu() for block, values in sorted(maps.items())}


def context_pixels(image_id: str, settings: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """Uniform sample of an image's pixels, without replacement: ``[context]`` int32 flat positions, ascending."""
    pixels = size[0] * size[1]
    generator = numpy_generator(settings["noise_seed"], "context", image_id)
    return np.sort(generator.choice(pixels, min(settings["context"], pixels), replace=False)).astype(np.int32)


def vectors_at(maps: ImageMaps, pixels: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """Normalised vectors ``[n, D]`` float32 at flat pixel positions of an ``H×W`` image."""
    flat = torch.as_tensor(np.asarray(pixels, dtype=np.int64))
    return dense.vectors(maps, flat // size[1], flat % size[1], size)


class StoredMaps:
    """Maps of a split's images as ``extract`` stored them: an index's, or one shard's."""

    forwards = 0

    def __init__(self, path: Path | str):
        self._shards = Shards.open(path)

    def __call__(self, image: int) -> ImageMaps:
        return read_stored(*self._shards.place(image))

    def norms(self, image: int) -> torch.Tensor:
        """``dense.norms`` of a training image's maps at the size of its labels, ``[H, W]``."""
        return _stored_norms(*self._shards.place(image))


class StoredDraws:
    """Maps of a shard's images under noise draws 1…M, as :func:`store_draws` stored them."""

    forwards = 0

    def __init__(self, manifest: Path | str):
        self._shards, self._draws = Shards.open(manifest), read_manifest(Path(manifest).parent)["draws"]

    def __call__(self, image: int, number: int) -> ImageMaps:
        return read_stored(*self._entry(image, number))

    def norms(self, image: int, number: int) -> torch.Tensor:
        """As of :class:`StoredMaps`, under a noise draw."""
        return _stored_norms(*self._entry(image, number))

    def _entry(self, image: int, number: int) -> tuple[Path, int]:
        folder, offset = self._shards.place(image)
        return folder, offset * self._draws + number - 1


class ComputedMaps:
    """Maps of a split's images under any noise draw, made anew by the backbone at every call; threads take turns."""

    def __init__(self, backbone: "Backbone", images: Any, settings: dict[str, Any]):
        self._backbone, self._images, self._settings = backbone, images, settings
        self._turn = Lock()

    @property
    def forwards(self) -> int:
        """Network evaluations so far."""
        return self._backbone.forwards

    def __call__(self, image: int, number: int = BASE_DRAW) -> ImageMaps:
        with self._turn:
            return compute(self._backbone, self._images[image], self._settings, number)

    def norms(self, image: int, number: int = BASE_DRAW) -> None:
        """Nothing: they are computed with the maps they belong to."""


MapSource = StoredMaps | ComputedMaps
DrawSource = StoredDraws | ComputedMaps


def open_maps(
    stored: str | None, backbone: str | None, images: Any, settings: dict[str, Any], device: str
) -> MapSource:
    """Maps of a split's images by position: stored ones where there are, else the backbone's.

    Args:
        stored: an index of shards or a shard's manifest.
        backbone: the backbone's manifest, for ``maps: recompute``.
        images: image array of the split.
        settings: feature settings of the study.
        device: the study's device.
    """
    if stored:
        return StoredMaps(stored)
    return ComputedMaps(open_manifest(backbone, device=resolve(device)), images, settings)


def open_draws(
    stored: str | None, backbone: str | None, images: Any, settings: dict[str, Any], device: str
) -> DrawSource:
    """Maps of a split's images by position and noise draw 1…M: stored ones where there are, else the backbone's.

    Args: as of :func:`open_maps`.
    """
    if stored:
        return StoredDraws(stored)
    return ComputedMaps(open_manifest(backbone, device=resolve(device)), images, settings)


def store(folder: Path, images: int, maps_of: Callable[[int], ImageMaps], size: tuple[int, int] | None = None) -> None:
    """Store maps of ``images`` images, or of as many draws of images, a Zarr chunk per entry and block.

    Float16 activations hardly compress, so the chunks are written as they are. With the ``size`` (H, W) of the images'
    labels also ``norms.npy`` ``[images, H, W]`` float32.
    """
    import zarr

    group = None
    norms = create_array(folder, "norms", (images, *size), "float32") if size else None
    for image in range(images):
        maps = maps_of(image)
        if norms is not None:
            norms[image] = dense.norms(maps, size).numpy()
        if group is None:
            group = zarr.create_group(folder / "maps.zarr")
            for block, values in maps.items():
                shape = tuple(values.shape)
                group.create_array(
                    f"block-{block}",
                    shape=(images, *shape),
                    chunks=(1, *shape),
                    dtype="float16",
                    compressors=None,
                    config={"write_empty_chunks": True},
                )
        for block, values in maps.items():
            group[f"block-{block}"][image] = values.numpy()
    if norms is not None:
        norms.flush()


def read_stored(folder: Path, offset: int) -> ImageMaps:
    """Maps of one image of a shard folder that :func:`store` filled."""
    group = _open_group(folder)
    blocks = sorted(int(name.removeprefix("block-")) for name in group)
    return {block: torch.from_numpy(group[f"block-{block}"][offset]) for block in blocks}


def _stored_norms(folder: Path, offset: int) -> torch.Tensor:
    return torch.from_numpy(np.array(open_array(folder, "norms")[offset]))


@cache
def _open_group(folder: Path) -> dict[str, Any]:
    import zarr

    return {name: array for name, array in zarr.open_group(folder / "maps.zarr", mode="r").arrays()}


def extract(
    folder: Path,
    positions: range,
    split: Any,
    backbone: "Backbone",
    settings: dict[str, Any],
    size: tuple[int, int],
    *,
    training: bool,
    progress: Callable,
) -> None:
    """Fill a shard: native maps (unless they are recomputed) and, for training images, norms and context vectors.

    Writes ``maps.zarr``, ``norms.npy`` ``[n, H, W]`` float32, ``context_pixels.npy`` ``[n, P]`` int32 and
    ``context.npy`` ``[n, P, D]`` float16.
    """
    context: dict[str, np.ndarray] = {}

    def maps_of(offset: int) -> ImageMaps:
        position = positions[offset]
        maps = compute(backbone, split.images[position], settings)
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

    if settings["maps"] == "keep":
        store(folder, len(positions), maps_of, size if training else None)
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
    progress: Callable,
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
    array.flush()
