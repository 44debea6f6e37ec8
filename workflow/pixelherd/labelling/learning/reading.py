"""What the model knows of a photograph: its maps, the pixels to choose among, and pictures for the page.

The encoder sees a photograph once. All lies in files named by the photograph's name, its file's size and time, and the
settings, so that a page that is opened again goes on at once.
"""

import io
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
import torch
from PIL import Image

from pixelherd.compute.randomness import numpy_generator
from pixelherd.datasets.prepare import prepared_image, shown
from pixelherd.datasets.samples import Sample
from pixelherd.features.maps import ImageMaps, compute_joined, vectors_at
from pixelherd.selection.coverage.lists import local_list
from pixelherd.selection.settings import ListSettings
from pixelherd.storage.files import hash_of, write_bytes

if TYPE_CHECKING:
    from pixelherd.datasets.settings import DatasetSettings
    from pixelherd.features.backbones.backbone import Backbone
    from pixelherd.features.settings import MapSettings

SHOWN, SMALL = 1600, 192
"""Longest sides of the pictures of a photograph that the page shows, large and small."""

QUALITY = 88
"""JPEG quality of these pictures."""

CANDIDATES = 1000
"""Random pixels of a photograph among which its list is chosen."""

SAMPLED = 64
"""Random pixels of a photograph by which the model tells how far its predictions move."""

POOL = 2000
"""Pixels, of all photographs together, that questions are chosen from."""

DAMAGED = (OSError, ValueError, EOFError, KeyError, BadZipFile)
"""What reading a damaged file of arrays may end with."""

LEAST, MOST = 4, 60
"""Pixels of a photograph's list, whatever the number of photographs."""


@dataclass(frozen=True)
class Known:
    """What is known of a photograph.

    Attributes:
        name: of the photograph.
        key: begins the names of its files.
        pixels: ``[n]`` flat positions, the most representative first.
        vectors: ``[n, D]`` float16 of these.
        sampled: ``[SAMPLED, D]`` float16 of random pixels.
    """

    name: str
    key: str
    pixels: np.ndarray
    vectors: np.ndarray
    sampled: np.ndarray


class Reader:
    """Reads photographs, or what was read of them before.

    Args:
        cache: folder of the files.
        images: settings of the photographs.
        settings: what maps depend on.
        backbones: the network, or those that the features join.
    """

    def __init__(
        self, cache: Path, images: "DatasetSettings", settings: "MapSettings", backbones: "list[Backbone]"
    ) -> None:
        self.cache, self.images, self.settings, self.backbones = cache, images, settings, backbones
        self._of = {"images": images.pixels(), "maps": settings.identity(), "files": 1}

    def key(self, sample: Sample) -> str:
        """Return what begins the names of a photograph's files."""
        state = os.stat(sample.path) if sample.path else None
        seen = [state.st_size, state.st_mtime_ns] if state else []
        return hash_of({"name": sample.id, "state": seen, **self._of})[:20]

    def read(self, sample: Sample, photographs: int) -> Known:
        """Return what is known of a photograph, which is read if nothing is.

        Args:
            sample: the photograph.
            photographs: how many there are: of many, each offers a few pixels.

        Raises:
            UserError: its file cannot be read.
        """
        key = self.key(sample)
        path = self.cache / f"{key}.npz"
        if path.is_file():
            with suppress(*DAMAGED):
                return self._known(sample, key)
        self._see(sample, key, min(max(2 * POOL // photographs, LEAST), MOST))
        return self._known(sample, key)

    def _known(self, sample: Sample, key: str) -> Known:
        with np.load(self.cache / f"{key}.npz") as arrays:
            return Known(sample.id, key, *(arrays[name] for name in ("pixels", "vectors", "sampled")))

    def maps(self, key: str) -> ImageMaps:
        """Return the maps of a photograph that was read."""
        with np.load(self.cache / f"{key}-maps.npz") as arrays:
            blocks = sorted(int(name) for name in arrays if name.isdecimal())
            covered = {block: tuple(arrays[f"{block}-covered"]) for block in blocks if f"{block}-covered" in arrays}
            return ImageMaps({block: torch.from_numpy(arrays[str(block)]) for block in blocks}, covered)

    def _see(self, sample: Sample, key: str, length: int) -> None:
        """Have the network see a photograph, and write what comes of it; the file that tells of it is the last."""
        image, _ = sample.load()
        picture = shown(self.images, image, SHOWN)
        write_bytes(self.cache / f"{key}.jpg", _jpeg(picture))
        picture.thumbnail((SMALL, SMALL), Image.Resampling.BILINEAR)
        write_bytes(self.cache / f"{key}-small.jpg", _jpeg(picture))
        pixels = np.asarray(prepared_image(image, self.images, Image.Resampling.BILINEAR))
        with torch.inference_mode():
            maps = compute_joined(self.backbones, pixels, self.settings)
        kept = {str(block): values.numpy() for block, values in maps.items()}
        kept |= {f"{block}-covered": np.array(covered) for block, covered in maps.covered.items()}
        write_bytes(self.cache / f"{key}-maps.npz", _archive(kept))
        size = pixels.shape[:2]
        settings = ListSettings(pixels=CANDIDATES, listed=length, reserve=0)
        listed, vectors = local_list(maps, np.zeros(size, np.uint8), "live", sample.id, settings)
        anywhere = numpy_generator("live", "sampled", sample.id).choice(size[0] * size[1], SAMPLED, replace=False)
        sampled = vectors_at(maps, anywhere, size)
        found = {"pixels": listed, "vectors": vectors.half().numpy(), "sampled": sampled.half().numpy()}
        write_bytes(self.cache / f"{key}.npz", _archive(found))


def _jpeg(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=QUALITY)
    return content.getvalue()


def _archive(arrays: dict[str, np.ndarray]) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()
