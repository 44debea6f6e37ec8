"""Vectors of the labelled pixels, wherever they were chosen: in the union, among the context, or anywhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pixelherd.datasets.classes import IGNORED
from pixelherd.datasets.dataset import Dataset
from pixelherd.datasets.pixels import EXPECTED_COLUMNS, LABEL_COLUMNS, Pixels, read_pixels
from pixelherd.errors import UserError
from pixelherd.features.maps import MapSource, vectors_at
from pixelherd.heads.network import Head, log_probabilities
from pixelherd.heads.sources import Labelled, VectorSource
from pixelherd.selection.coverage.union import read_union
from pixelherd.storage.files import write_csv
from pixelherd.storage.shards import Shards
from pixelherd.storage.stores import load_arrays


def labelled_pixels(
    dataset: Dataset,
    labels: Sequence[Path | str],
    context_index: Path | str,
    union_manifest: Path | str | None,
    vectors_of: Sequence[Path | str] = (),
) -> Labelled:
    """Labelled pixels with their vectors.

    Args:
        dataset: the prepared dataset.
        labels: the ``labels.csv`` of the rounds so far; without any, every context pixel is labelled by the ground
            truth.
        context_index: index of the training shards.
        union_manifest: the union whose pixels were labelled; None if context pixels were (random selection).
        vectors_of: for each round the vectors of its labelled pixels, from :func:`labelled_vectors`, where any pixel
            may be labelled.

    Raises:
        UserError: a labelled pixel is not among those that vectors were kept of.
        ValueError: there are neither labels nor a ground truth.
    """
    shards = Shards.open(context_index)
    if not labels:
        return _context_pixels(dataset, shards)
    answered = read_pixels(labels, LABEL_COLUMNS, dataset.train.ids, dataset.size[1])
    if vectors_of:
        vectors = np.concatenate([load_arrays(path)["vectors"] for path in vectors_of])
    elif union_manifest:
        union = read_union(Path(union_manifest).parent)
        vectors = np.asarray(union.vectors[union.rows_of(answered.images, answered.flat)])
    else:
        places = zip(answered.images.tolist(), answered.flat.tolist(), strict=True)
        vectors = np.stack([_context_vector(shards, image, flat) for image, flat in places])
    return Labelled(vectors, answered.images, answered.values.astype(np.int64))


def _context_pixels(dataset: Dataset, shards: Shards) -> Labelled:
    if dataset.train.labels is None:
        raise ValueError("without labels the ground truth of the training images is learnt, and there is none")
    pixels = shards.all("context_pixels")
    truth = [np.asarray(dataset.train.labels[image]).reshape(-1)[flat] for image, flat in enumerate(pixels)]
    images = np.repeat(np.arange(len(pixels)), pixels.shape[1])
    return Labelled(shards.lazily("context"), images, np.concatenate(truth).astype(np.int64))


def unlabelled_pixels(
    dataset: Dataset, labels: Sequence[Path | str], context_index: Path | str, of_an_image: int
) -> Labelled:
    """Return context pixels that nobody was asked for, with their vectors, for self-training.

    Args:
        dataset: the prepared dataset.
        labels: the ``labels.csv`` of the rounds so far.
        context_index: index of the training shards.
        of_an_image: how many of an image's context pixels to look at, evenly spread over their list.
    """
    shards = Shards.open(context_index)
    answered = read_pixels(labels, LABEL_COLUMNS, dataset.train.ids, dataset.size[1])
    vectors, images = [], []
    for image in range(len(shards)):
        pixels = shards.image("context_pixels", image)
        places = np.unique(np.linspace(0, len(pixels) - 1, of_an_image).round().astype(int))
        free = places[~np.isin(pixels[places], answered.flat[answered.images == image])]
        vectors.append(shards.image("context", image)[free])
        images.append(np.full(len(free), image))
    where = np.concatenate(images)
    return Labelled(np.concatenate(vectors), where, np.full(len(where), IGNORED))


def answers_by_round(dataset: Dataset, paths: Sequence[Path | str]) -> list[Pixels]:
    """Return the answers of each round, of its ``labels.csv``."""
    return [read_pixels([path], LABEL_COLUMNS, dataset.train.ids, dataset.size[1]) for path in paths]


def write_expected(
    path: Path | str, dataset: Dataset, files: Mapping[str, Any], labels: Sequence[Pixels], heads: Sequence[Head]
) -> None:
    """Write what each round's answers were expected to be: by the head of the round before, from round 1 on.

    Args:
        path: the file.
        dataset: the prepared dataset.
        files: ``labels``, the ``labels.csv`` of all rounds, and where their vectors are, as :func:`labelled_pixels`
            takes them; without an index of the context nothing is expected.
        labels: the answers of each round.
        heads: of each round.
    """
    rows: list[tuple[object, ...]] = []
    if files.get("context"):
        places = files["context"], files.get("union"), files.get("vectors", ())
        vectors, start = np.asarray(labelled_pixels(dataset, files["labels"], *places).vectors), 0
        for number, answered in enumerate(labels):
            part = slice(start, start := start + len(answered))
            if number:
                best = log_probabilities(heads[number - 1], vectors[part]).exp().max(1)
                found = zip(answered.images, answered.flat, best.indices, best.values, strict=True)
                for image, flat, expected, confidence in found:
                    row, column = divmod(int(flat), dataset.size[1])
                    place = number, dataset.train.ids[image], row, column
                    rows.append((*place, int(expected), f"{float(confidence):.6f}"))
    write_csv(path, EXPECTED_COLUMNS, rows)


def vector_source(labelled: Labelled, context_index: Path | str, device: torch.device) -> VectorSource:
    """Gathered vectors: the context pixels of every training image, and the labelled pixels, in batches on a device."""
    context = Shards.open(context_index).lazily("context")
    if not isinstance(labelled.vectors, np.ndarray):
        raise ValueError("where every context pixel is labelled, none of them is without a label")
    return VectorSource(context, labelled.vectors, labelled.images, labelled.labels, device)


def labelled_vectors(dataset: Dataset, labels: Path | str, maps_of: MapSource) -> np.ndarray:
    """Vectors ``[n, D]`` float16 of a round's labelled pixels, in the order of its file; each image is read once."""
    answered = read_pixels([labels], LABEL_COLUMNS, dataset.train.ids, dataset.size[1])
    vectors: dict[int, np.ndarray] = {}
    for image in np.unique(answered.images).tolist():
        places = np.flatnonzero(answered.images == image)
        found = vectors_at(maps_of(image), answered.flat[places], dataset.size).half().numpy()
        vectors |= dict(zip(places.tolist(), found, strict=True))
    return np.stack([vectors[place] for place in range(len(answered))])


def _context_vector(shards: Shards, image: int, flat: int) -> np.ndarray:
    place = np.flatnonzero(shards.image("context_pixels", image) == flat)
    if len(place) == 0:
        raise UserError(
            f"labels: pixel {flat} of training image {image} is no context pixel",
            remedy="delete the run's folder, run again",
        )
    return shards.image("context", image)[place[0]]
