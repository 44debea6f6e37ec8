"""Native feature maps of images: made once by the frozen backbone, or again wherever they are needed.

Maps of an image are ``{block: [T, C, h, w]}`` in float16, base draw unless said otherwise. Both sources round to
float16, so ``maps: keep`` and ``maps: recompute`` give the same results.

Beside the maps lie the lengths of their pixels' vectors: single-stage methods look at every pixel under every draw in
every round, and every run at all test images; they would spend a fifth of that, or a sixth, on the same lengths.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from pixelherd.compute.devices import resolve
from pixelherd.errors import UserError
from pixelherd.features import interpolation
from pixelherd.features.backbones.manifest import identity, open_manifest
from pixelherd.features.perturbations import Perturbation, draw
from pixelherd.storage.records import read_record
from pixelherd.storage.shards import Shards
from pixelherd.storage.stores import open_array, open_zarr, read_manifest

if TYPE_CHECKING:
    from pixelherd.features.backbones.backbone import Backbone
    from pixelherd.features.backbones.description import Description
    from pixelherd.features.settings import MapSettings

BASE_DRAW = 0

COVERED = "covered"
"""Attribute of an array of maps that reach beyond the image: native rows and columns that it covers."""

ImageMaps = interpolation.NativeMaps


def network_input(image: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """An image ``[H, W, 3]`` uint8 as the network sees it: ``[1, 3, h, w]`` float32 in [-1, 1], resized bilinearly."""
    height, width = size
    if image.shape[:2] != (height, width):
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1


def compute(backbone: "Backbone", image: np.ndarray, settings: "MapSettings", number: int = BASE_DRAW) -> ImageMaps:
    """Native maps of one image under noise draw ``number``.

    Args:
        backbone: the frozen network.
        image: ``[H, W, 3]`` uint8.
        settings: what the maps depend on.
        number: 0 is the base draw, 1…M are for disagreement.

    Returns:
        ``{block: [T, C, h, w]}`` float16 on the CPU.

    Raises:
        UserError: an activation lies outside float16.
    """
    size, blocks = settings.image_size, settings.blocks
    perturbation = perturbation_of(backbone.description, settings, number)
    asked: dict[str, Any] = {"timesteps": settings.timesteps, "blocks": blocks, "window": settings.window}
    maps = backbone.maps(network_input(image, size), perturbation, **asked)
    limit = torch.finfo(torch.float16).max
    for block, values in maps.items():
        if values.abs().max() > limit:
            raise UserError(
                f"features: block {block} has activations beyond {limit:.0f}, float16's range",
                remedy="leave it out of `blocks`",
            )
    found = {block: values[0].half().cpu() for block, values in sorted(maps.items())}
    return ImageMaps(found, backbone.description.covered(size, blocks))


def compute_joined(
    backbones: "Sequence[Backbone]", image: np.ndarray, settings: "MapSettings", number: int = BASE_DRAW
) -> ImageMaps:
    """Native maps of one image by the backbone that features have, or by those of all that they join.

    Maps of each that is joined are divided by the root mean square of its vectors' lengths in the image, so that each
    counts alike, whatever the range of its activations and however many they are.

    Args:
        backbones: one for each of ``settings.each``.
        image: ``[H, W, 3]`` uint8.
        settings: what the maps depend on.
        number: as for :func:`compute`.

    Returns:
        As :func:`compute`; blocks of joined maps are numbered anew, in order.

    Raises:
        UserError: as :func:`compute`.
        ValueError: there are more or fewer backbones than settings.
    """
    pairs = zip(backbones, settings.each, strict=True)
    found = [compute(backbone, image, part, number) for backbone, part in pairs]
    if len(found) == 1:
        return found[0]
    lengths = [_length(part) for part in found]
    blocks = [(part, block, length) for part, length in zip(found, lengths, strict=True) for block in part]
    joined = {n: part[block].float() / length for n, (part, block, length) in enumerate(blocks)}
    covered = {n: part.covered[block] for n, (part, block, _) in enumerate(blocks) if block in part.covered}
    return ImageMaps(joined, covered).each(lambda values: values.half())


def _length(maps: ImageMaps) -> torch.Tensor:
    """The root mean square of the lengths of an image's vectors, by its native positions."""
    squares = [values.float().square().sum(dim=(0, 1)).mean() for values in maps.values()]
    return torch.stack(squares).sum().sqrt().clamp(min=interpolation.EPS)


def perturbation_of(
    description: "Description", settings: "MapSettings", number: int
) -> torch.Tensor | Perturbation | None:
    """Return what images are perturbed by in a draw: noise of the schedule, or else nothing in the base draw."""
    if description.noise is not None:
        return draw(settings.noise_seed, number, description.noise_shape(settings.image_size))
    if number == BASE_DRAW or settings.perturbation is None:
        return None
    return Perturbation(settings.perturbation, settings.noise_seed, number, description.padded(settings.image_size))


def vectors_at(maps: ImageMaps, pixels: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """Normalised vectors ``[n, D]`` float32 at flat pixel positions of an ``H×W`` image."""
    flat = torch.as_tensor(np.asarray(pixels, dtype=np.int64))
    return interpolation.vectors(maps, flat // size[1], flat % size[1], size)


class StoredMaps:
    """Maps of a split's images as ``extract`` stored them.

    Args:
        path: the index of the split's shards, or the manifest of one shard.
    """

    forwards = 0

    def __init__(self, path: Path | str):
        self._shards = Shards.open(path)

    def __call__(self, image: int) -> ImageMaps:
        """Return the maps of an image, by its position in the split."""
        return read_stored(*self._shards.place(image))

    def norms(self, image: int) -> torch.Tensor:
        """``interpolation.norms`` of an image's maps at the size of prepared images, ``[H, W]`` float32."""
        return _stored_norms(*self._shards.place(image))


class StoredDraws:
    """Maps of a shard's images under noise draws 1…M, as :func:`pixelherd.features.extract.store_draws` stored them.

    Args:
        manifest: of the shard.
    """

    forwards = 0

    def __init__(self, manifest: Path | str):
        self._shards, self._draws = Shards.open(manifest), read_manifest(Path(manifest).parent)["draws"]

    def __call__(self, image: int, number: int) -> ImageMaps:
        """Return the maps of an image under draw ``number``, from 1."""
        return read_stored(*self._entry(image, number))

    def norms(self, image: int, number: int) -> torch.Tensor:
        """As of :class:`StoredMaps`, under a noise draw."""
        return _stored_norms(*self._entry(image, number))

    def _entry(self, image: int, number: int) -> tuple[Path, int]:
        folder, offset = self._shards.place(image)
        return folder, offset * self._draws + number - 1


class ComputedMaps:
    """Maps of a split's images under any noise draw, made anew by the backbone at every call; threads take turns.

    Args:
        backbones: the frozen network, or those of features that join others.
        images: ``[N, H, W, 3]`` uint8, indexed by position.
        settings: what the maps depend on.
    """

    def __init__(self, backbones: "Sequence[Backbone]", images: Any, settings: "MapSettings"):
        self._backbones, self._images, self.settings = backbones, images, settings
        self._turn = Lock()

    @property
    def forwards(self) -> int:
        """Network evaluations so far."""
        return sum(each.forwards for each in self._backbones)

    def __call__(self, image: int, number: int = BASE_DRAW) -> ImageMaps:
        """Return the maps of an image under draw ``number``, 0 being the base draw."""
        with self._turn:
            return compute_joined(self._backbones, self._images[image], self.settings, number)

    def norms(self, image: int, number: int = BASE_DRAW) -> None:
        """Nothing: they are computed with the maps they belong to."""


MapSource = StoredMaps | ComputedMaps

DrawSource = StoredDraws | ComputedMaps


def open_maps(stored: str | None, backbone: str | None, images: Any, settings: "MapSettings", device: str) -> MapSource:
    """Maps of a split's images by position: stored ones where there are, else the backbone's.

    Args:
        stored: an index of shards or a shard's manifest.
        backbone: the backbone's manifest, for ``maps: recompute``.
        images: image array of the split.
        settings: what the maps depend on.
        device: the study's device.
    """
    if stored:
        return StoredMaps(stored)
    return _computed(backbone, images, settings, device)


def open_draws(
    stored: str | None, backbone: str | None, images: Any, settings: "MapSettings", device: str
) -> DrawSource:
    """Maps of a split's images by position and noise draw 1…M: stored ones where there are, else the backbone's.

    Args: as of :func:`open_maps`.
    """
    if stored:
        return StoredDraws(stored)
    return _computed(backbone, images, settings, device)


def network_of(stored: str | None, backbone: str | None) -> str | None:
    """Return the SHA-256 of the network that maps are of; None for maps that were stored without it.

    Args: as of :func:`open_maps`.
    """
    if stored:
        folder, _ = Shards.open(stored).place(0)
        return read_manifest(folder).get("network")
    return identity(read_record(backbone)) if backbone else None


def _computed(backbone: str | None, images: Any, settings: "MapSettings", device: str) -> ComputedMaps:
    if backbone is None:
        raise ValueError("maps that are not stored need a backbone")
    return open_computed(backbone, images, settings, device)


def open_computed(backbone: str, images: Any, settings: "MapSettings", device: str) -> ComputedMaps:
    """Maps of a split's images under any draw, by the backbone of a manifest.

    Args: as of :func:`open_maps`.
    """
    return ComputedMaps(open_manifest(backbone, device=resolve(device)), images, settings)


def read_stored(folder: Path, offset: int) -> ImageMaps:
    """Maps of one image of a shard folder that :func:`store` filled."""
    group = _open_group(folder)
    maps, covered = {}, {}
    for block in sorted(int(name.removeprefix("block-")) for name in group):
        array = group[f"block-{block}"]
        maps[block] = torch.from_numpy(array[offset])
        if COVERED in array.attrs:
            rows, columns = array.attrs[COVERED]
            covered[block] = rows, columns
    return ImageMaps(maps, covered)


def _stored_norms(folder: Path, offset: int) -> torch.Tensor:
    return torch.from_numpy(np.array(open_array(folder, "norms")[offset]))


@cache
def _open_group(folder: Path) -> dict[str, Any]:
    return {name: array for name, array in open_zarr(folder, "maps.zarr").arrays()}
