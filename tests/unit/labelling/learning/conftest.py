"""Photographs of two halves, red and blue, and a reader whose features are the colours: nothing is to be loaded."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from pixelherd.datasets.samples import read_image
from pixelherd.datasets.settings import read_dataset
from pixelherd.features.maps import ImageMaps
from pixelherd.labelling.learning import reading
from pixelherd.labelling.learning.reading import Reader

SIZE = (32, 48)


class Photograph:
    """A photograph whose left part is red, and the rest blue.

    Args:
        path: its file.
        red: columns that are red.
    """

    def __init__(self, path: Path, red: int = SIZE[1] // 2) -> None:
        self.id, self.path = path.stem, path
        pixels = np.zeros((*SIZE, 3), np.uint8)
        pixels[:, :red, 0] = pixels[:, red:, 2] = 255
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)

    def load(self):
        """Read the file, as a sample does."""
        return read_image(self.path), None


@pytest.fixture
def seen() -> list[int]:
    """Grows by one with each photograph that the network sees."""
    return []


@pytest.fixture
def reader(tmp_path, monkeypatch, seen) -> Reader:
    """A reader; its network gives the colours of 4×4 pixels each, beside a constant."""

    def colours(backbones, pixels, settings):
        seen.append(1)
        blocks = torch.tensor(pixels).float().permute(2, 0, 1) / 255
        small = torch.nn.functional.avg_pool2d(blocks[None], 4)
        return ImageMaps({0: torch.cat([small, torch.full_like(small[:, :1], 0.2)], 1).half()})

    monkeypatch.setattr(reading, "compute_joined", colours)
    content = {"kind": "folder", "root": "photos", "train_images": ".", "size": list(SIZE)}
    images = read_dataset(content | {"classes": [{"name": "red"}, {"name": "blue"}]})
    return Reader(tmp_path / "live", images, SimpleNamespace(identity=lambda: {"of": "colours"}), [])
