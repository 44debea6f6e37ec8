"""Stage 1 over the images: the union of their lists, and the pool that global MaxHerding keeps of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from pixelherd.compute.randomness import torch_generator
from pixelherd.errors import UserError
from pixelherd.selection.coverage import NEIGHBOURS, UNION
from pixelherd.selection.coverage.herding import Herding, herd, median_bandwidth
from pixelherd.selection.coverage.pairs import Neighbours, Pairs
from pixelherd.selection.coverage.products import VectorProducts
from pixelherd.selection.coverage.similarities import Similarities
from pixelherd.selection.settings import ListSettings
from pixelherd.storage.shards import Shards
from pixelherd.storage.stores import create_array, open_array, read_manifest

POOL_MEMORY = 4 * 10**9
"""Bytes for kernel values of a union: fixed, so that results do not follow what is free."""


@dataclass(frozen=True)
class Shared:
    """What every round of a seed shares of the kernel over the ``m`` pixels that are offered without labels.

    Attributes:
        rows: ``[m]`` their union rows, ascending.
        kernel: name of the kernel.
        listed: K.
        opening: the herding that starts without labels, as far as one pixel an image.
        neighbours: of the m pixels.
        centre: ``[D]`` float32, their mean vector, from which all rounds take inner products: kernel values are then
            the same in every round, to the last bit.
    """

    rows: np.ndarray
    kernel: str
    listed: int
    opening: Herding
    neighbours: Neighbours
    centre: np.ndarray


@dataclass(frozen=True)
class Union:
    """The listed pixels of all training images of a seed, one row each, images in order.

    Attributes:
        vectors: ``[n, D]`` float16, memory-mapped.
        images: ``[n]`` position of the training image.
        pixels: ``[n]`` flat pixel.
        ranks: ``[n]`` place in the image's list, from 0.
        bandwidth: σ of the kernel over the union.
        open_shared: opens what is :attr:`shared`.
    """

    vectors: np.ndarray
    images: np.ndarray
    pixels: np.ndarray
    ranks: np.ndarray
    bandwidth: float
    open_shared: Callable[[], Shared] | None = None

    @cached_property
    def shared(self) -> Shared | None:
        """What herding the first K places of all lists has in common with every round; None where nothing is known.

        It is opened, and with it compared with its checksums, by those alone who herd.
        """
        return self.open_shared() if self.open_shared else None

    def rows_of(self, images: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Rows of given pixels ``[m]``.

        Raises:
            UserError: a pixel is in no list.
        """
        wide = 1 + max(int(each.max(initial=0)) for each in (self.pixels, pixels))
        places, wanted = self.images.astype(np.int64) * wide + self.pixels, images.astype(np.int64) * wide + pixels
        order = np.argsort(places)
        rows = order[np.searchsorted(places, wanted, sorter=order).clip(max=len(order) - 1)]
        if len(absent := np.flatnonzero(places[rows] != wanted)):
            raise UserError(
                f"labels: pixel {pixels[absent[0]]} of training image {images[absent[0]]} is in no list",
                remedy="delete the run's folder, run again",
            )
        return rows

    def offered(self, labelled: np.ndarray, listed: int) -> np.ndarray:
        """Rows that the images offer: of each list the first ``listed`` that are not among the ``labelled`` rows."""
        free = np.ones(len(self.pixels), dtype=bool)
        free[labelled] = False
        before = np.cumsum(free) - free  # unlabelled rows in front of each row, over all images
        first = np.searchsorted(self.images, self.images)
        return np.flatnonzero(free & (before - before[first] < listed))

    def herd(
        self,
        labelled: np.ndarray,
        listed: int,
        kernel: str,
        budget: int | float,
        weigh: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> tuple[np.ndarray, Herding]:
        """Global MaxHerding over what the images offer, coverage credited to the labelled rows.

        Args:
            labelled: rows labelled already.
            listed: K.
            kernel: name of the kernel.
            budget: a number of pixels, or the fraction of the offered ones to keep (a float).
            weigh: weights ``[m]`` of the terms of the mean, for the offered rows ``[m]``; all alike without it.

        Returns:
            rows in greedy order, and the herding itself.

        Raises:
            UserError: the images offer nothing any more.
        """
        offered = self.offered(labelled, listed)
        if len(offered) == 0:
            raise UserError(
                "budget: all listed pixels are labelled",
                remedy=("lower `budgets` or `rounds`, or raise `candidates.listed` or `candidates.reserve`"),
            )
        count = max(1, round(budget * len(offered))) if isinstance(budget, float) else budget
        shared = self.shared if self.shared and (self.shared.kernel, self.shared.listed) == (kernel, listed) else None
        if shared and not weigh and not len(labelled) and count <= len(shared.opening.indices):
            opening = Herding(shared.opening.indices[:count], shared.opening.coverage[:count])
            return offered[opening.indices.numpy()], opening
        neighbours = centre = None
        if shared:
            centre = shared.centre
            places = np.searchsorted(shared.rows, offered).clip(max=len(shared.rows) - 1)
            neighbours = shared.neighbours.at(np.where(shared.rows[places] == offered, places, -1))
        products = VectorProducts(self.vectors[offered], centre)
        similarities = Similarities(products, self.bandwidth, kernel, POOL_MEMORY, neighbours)
        weights = weigh(offered) if weigh else None
        herding = herd(similarities, count, covered=self.vectors[labelled] if len(labelled) else None, weights=weights)
        return offered[herding.indices.numpy()], herding


def write_union(folder: Path, lists: Shards, listed: int, settings: ListSettings, key: str) -> float:
    """Gather the lists of all images into one memory-mapped union, with what every pool shares of the kernel.

    Args:
        folder: where its arrays are written.
        lists: the training images' lists.
        listed: K; several may share the lists.
        settings: of the lists; ``kernel`` and ``bandwidth`` count.
        key: the candidate seed.

    Returns:
        the bandwidth of the first K places.

    Raises:
        UserError: no image has a candidate.
    """
    pixels = lists.all("pixels")
    images, ranks = np.nonzero(pixels >= 0)
    if len(images) == 0:
        raise UserError(
            "candidates: no training image has a labelled pixel", remedy="set `candidates.avoid_ignored: false`"
        )
    dimension = lists.image("vectors", 0).shape[-1]
    vectors = create_array(folder, "vectors", (len(images), dimension), "float16")
    ends = np.searchsorted(images, np.arange(len(pixels)), side="right")
    for image, (start, end) in enumerate(zip(np.r_[0, ends[:-1]], ends, strict=True)):
        vectors[start:end] = lists.image("vectors", image)[: end - start]
    vectors.flush()
    for name, values in (("images", images), ("ranks", ranks), ("pixels", pixels[images, ranks])):
        _write(folder, name, values.astype(np.int32))
    rows = np.flatnonzero(ranks < listed)
    generator = torch_generator(key, "bandwidth", "union")
    bandwidth = median_bandwidth(vectors[rows], generator=generator, scale=settings.bandwidth)
    shared = share(vectors, rows, listed, settings.kernel, bandwidth, len(pixels))
    _write(folder, "centre", shared.centre)
    _write(folder, "opening", shared.opening.indices.numpy())
    _write(folder, "opening_coverage", shared.opening.coverage.numpy())
    _write(folder, "neighbour_thresholds", shared.neighbours.thresholds)
    _write(folder, "neighbour_starts", shared.neighbours.pairs.starts.astype(np.int64))
    _write(folder, "neighbour_terms", shared.neighbours.pairs.terms.astype(np.int32))
    _write(folder, "neighbour_values", shared.neighbours.pairs.values)
    return bandwidth


def share(vectors: np.ndarray, rows: np.ndarray, listed: int, kernel: str, bandwidth: float, images: int) -> Shared:
    """Compute what every round of a seed shares.

    Args:
        vectors: of the whole union, ``[n, D]``.
        rows: those that are offered without labels, ascending.
        listed: K.
        kernel: name of the kernel.
        bandwidth: σ.
        images: how many pixels the opening has.
    """
    products = VectorProducts(vectors[rows])
    similarities = Similarities(products, bandwidth, kernel, POOL_MEMORY)
    opening = herd(similarities, images)
    return Shared(rows, kernel, listed, opening, similarities.neighbours(NEIGHBOURS), products.centre.numpy())


def read_union(folder: Path) -> Union:
    """Open what :func:`write_union` wrote."""
    manifest = read_manifest(folder)
    pixels = {name: open_array(folder, name, inside="") for name in ("vectors", "images", "pixels", "ranks")}

    def shared() -> Shared:
        arrays = {name: open_array(folder, name, inside="") for name in UNION if name not in pixels}
        neighbours = [arrays[f"neighbour_{name}"] for name in ("thresholds", "starts", "terms", "values")]
        opening, coverage = (torch.from_numpy(np.array(arrays[name])) for name in ("opening", "opening_coverage"))
        return Shared(
            rows=np.flatnonzero(pixels["ranks"] < manifest["listed"]),
            kernel=manifest["kernel"],
            listed=manifest["listed"],
            opening=Herding(opening, coverage),
            neighbours=Neighbours(neighbours[0], Pairs(*neighbours[1:])),
            centre=arrays["centre"],
        )

    return Union(**pixels, bandwidth=manifest["bandwidth"], open_shared=shared)


def _write(folder: Path, name: str, values: np.ndarray) -> None:
    array = create_array(folder, name, values.shape, values.dtype.name)
    array[:] = values
    array.flush()
