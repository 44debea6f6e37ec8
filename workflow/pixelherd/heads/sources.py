"""Where the pixels of a batch come from: gathered vectors, or dense maps of which a vector per pixel is never built.

Only a handful of pixels are labelled, too few for batch statistics. So a batch holds *all* pixels known of its images,
labelled or not: the unlabelled ones (label 255) count in BatchNorm and not in the loss.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from pixelherd.datasets.classes import IGNORED
from pixelherd.datasets.dataset import Dataset
from pixelherd.datasets.pixels import LABEL_COLUMNS, read_pixels
from pixelherd.features import interpolation
from pixelherd.features.maps import MapSource
from pixelherd.storage.shards import LazyArray


class Batch(Protocol):
    """The n pixels of a few images."""

    labels: Tensor
    """int64 [n], 255 = ignored by the loss."""

    def project(self, first: nn.Linear) -> Tensor:
        """The head's first layer at the n pixels, float32 [n, h], differentiable in its weight and bias."""


class PixelSource(Protocol):
    """A training set, by image."""

    images: int
    """Number of images N."""

    counts: np.ndarray
    """Pixels of each label, ``[255]``."""

    def labelled(self, image: int) -> bool:
        """Whether the image has a pixel whose label counts."""

    def batch(self, images: Sequence[int]) -> Batch:
        """All pixels known of these images."""


def counts_of(labels: np.ndarray) -> np.ndarray:
    """Return the pixels of each label, int64 ``[255]``."""
    return np.bincount(np.asarray(labels).ravel(), minlength=IGNORED + 1)[:IGNORED]


@dataclass(frozen=True)
class Labelled:
    """Labelled pixels and their vectors.

    Attributes:
        vectors: ``[L, D]``, any float type; or ``[N, P, D]`` read where it is indexed by images, where every context
            pixel is labelled, and L = N·P.
        images: ``[L]`` the image of each, in [0, N).
        labels: ``[L]`` int64 the class of each; 255 = cannot tell.
    """

    vectors: np.ndarray | LazyArray
    images: np.ndarray
    labels: np.ndarray

    @property
    def dim(self) -> int:
        """Return the feature length D."""
        return (self.vectors if isinstance(self.vectors, np.ndarray) else self.vectors[[0]]).shape[-1]

    @property
    def count(self) -> int:
        """Return how many pixels have a class."""
        return int((self.labels != IGNORED).sum())

    def blocks(self, rows: int = 4096) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield where about so many rows begin and end, and their vectors ``[n, D]``."""
        count = len(self.labels)
        if isinstance(self.vectors, np.ndarray):
            for start in range(0, count, rows):
                part = slice(start, min(start + rows, count))
                yield part, self.vectors[part]
            return
        of_an_image = count // len(self.vectors)
        step = max(rows // of_an_image, 1)
        for first in range(0, len(self.vectors), step):
            images = range(first, min(first + step, len(self.vectors)))
            yield slice(first * of_an_image, images.stop * of_an_image), np.concatenate(self.vectors[images])


class VectorBatch:
    """Pixels as vectors [n, D]."""

    def __init__(self, vectors: Tensor, labels: Tensor):
        self.vectors, self.labels = vectors, labels

    def project(self, first: nn.Linear) -> Tensor:
        """Return the first layer's outputs ``[n, h]``, see :class:`Batch`."""
        return first(self.vectors)


class VectorSource:
    """Gathered vectors: context pixels without a label, and labelled pixels.

    The context stays on disk where it is memory-mapped. Reading a batch costs a tenth of the first layer's time, and
    jobs that train on the same context share its pages.

    Args:
        context: [N, P, D], any float type; None for labelled pixels alone.
        vectors: [L, D] features of the labelled pixels.
        images: [L] the image of each, in [0, N).
        labels: [L] the class of each; 255 = cannot tell, which counts like a context pixel.
        device: where batches are put.
    """

    def __init__(
        self,
        context: np.ndarray | LazyArray | None,
        vectors: np.ndarray,
        images: ArrayLike,
        labels: ArrayLike,
        device: torch.device | str = "cpu",
    ):
        images, labels = np.asarray(images, dtype=np.int64), np.asarray(labels, dtype=np.int64)
        if not len(vectors) == len(images) == len(labels):
            raise ValueError(f"{len(vectors)} vectors, {len(images)} images and {len(labels)} labels must be as many")
        self.images = int(images.max(initial=-1)) + 1 if context is None else len(context)
        if images.size and not 0 <= images.min() <= images.max() < self.images:
            raise ValueError(f"images of labelled pixels must be in [0, {self.images})")
        self._context, self._vectors, self._labels, self._device = context, vectors, labels, device
        self.counts = counts_of(labels)
        self._buffer = torch.empty(0, 0, device=device)
        order = np.argsort(images, kind="stable")
        self._rows = np.split(order, np.searchsorted(images[order], np.arange(1, self.images)))

    def labelled(self, image: int) -> bool:
        """Tell whether the image has a labelled pixel whose class is known."""
        return bool((self._labels[self._rows[image]] != IGNORED).any())

    def batch(self, images: Sequence[int]) -> VectorBatch:
        """Return the context pixels of these images, then their labelled ones.

        The batch lies in memory that the next one overwrites: fresh memory for each costs a fifth of the step.
        """
        rows = np.concatenate([self._rows[image] for image in images])
        parts = [] if self._context is None else list(self._context[list(images)])
        parts.append(self._vectors[rows])
        count = sum(map(len, parts))
        if len(self._buffer) < count:
            self._buffer = torch.empty(count, parts[0].shape[1], device=self._device)
        vectors = self._buffer[:count]
        for into, part in zip(vectors.split([len(part) for part in parts]), parts, strict=True):
            into.copy_(torch.from_numpy(part))
        labels = torch.full((count,), IGNORED)
        labels[count - len(rows) :] = torch.from_numpy(self._labels[rows])
        return VectorBatch(vectors, labels.to(self._device))


class DenseBatch:
    """Pixels as native feature maps, which the first layer is applied to before they are up-sampled."""

    def __init__(self, maps: Sequence[interpolation.Maps], norms: list[Tensor], size: tuple[int, int], labels: Tensor):
        self.maps, self.norms, self.size, self.labels = maps, norms, size, labels

    def project(self, first: nn.Linear) -> Tensor:
        """Return the first layer's outputs ``[n, h]``, see :class:`Batch`; no vector is ever built."""
        projected = [
            interpolation.project(maps, first.weight, self.size, norms)
            for maps, norms in zip(self.maps, self.norms, strict=True)
        ]
        return torch.cat(projected) + first.bias


class DenseSource:
    """Every pixel of every image.

    Args:
        maps: gives the native maps of an image, {block: [T, C, h, w]}; called once per batch that the image is in.
        labels: uint8 [N, H, W], 255 = unlabelled or ignored.
        size: (H, W).
        device: where batches are put.
    """

    def __init__(
        self,
        maps: Callable[[int], interpolation.Maps],
        labels: np.ndarray,
        size: tuple[int, int],
        device: torch.device | str = "cpu",
    ):
        if tuple(labels.shape[1:]) != tuple(size):
            raise ValueError(f"labels have size {tuple(labels.shape[1:])}, not {tuple(size)}")
        self.images = len(labels)
        self.counts = sum((counts_of(each) for each in labels), np.zeros(IGNORED, np.int64))
        self._maps, self._labels, self._size, self._device = maps, labels, (size[0], size[1]), device
        self._norms: dict[int, Tensor] = {}

    def labelled(self, image: int) -> bool:
        """Tell whether the image has a pixel with a class."""
        return bool((np.asarray(self._labels[image]) != IGNORED).any())

    def batch(self, images: Sequence[int]) -> DenseBatch:
        """Return every pixel of these images, row by row and image by image."""
        found = (interpolation.NativeMaps.of(self._maps(image)) for image in images)
        maps = [each.each(lambda values: values.to(self._device)) for each in found]
        for image, blocks in zip(images, maps, strict=True):
            if image not in self._norms:
                self._norms[image] = interpolation.norms(blocks, self._size).cpu()
        norms = [self._norms[image].to(self._device) for image in images]
        labels = np.concatenate([np.asarray(self._labels[image]).ravel() for image in images]).astype(np.int64)
        return DenseBatch(maps, norms, self._size, torch.from_numpy(labels).to(self._device))


def dense_source(
    dataset: Dataset, labels: Sequence[Path | str], maps_of: MapSource, device: torch.device
) -> tuple[DenseSource, int]:
    """Every pixel of every training image, labelled where ``labels`` say so; all by the ground truth without any.

    Returns:
        the source, and D.

    Raises:
        ValueError: there are neither labels nor a ground truth.
    """
    if not labels:
        if dataset.train.labels is None:
            raise ValueError("without labels the ground truth of the training images is learnt, and there is none")
        truth = np.asarray(dataset.train.labels[:])
    else:
        answered = read_pixels(labels, LABEL_COLUMNS, dataset.train.ids, dataset.size[1])
        truth = np.full((len(dataset.train), *dataset.size), IGNORED, dtype=np.uint8)
        truth.reshape(len(truth), -1)[answered.images, answered.flat] = answered.values
    dim = sum(values.shape[0] * values.shape[1] for values in maps_of(0).values())
    return DenseSource(maps_of, truth, dataset.size, device), dim
