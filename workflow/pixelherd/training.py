"""What a head is trained on: the labels so far, and the unlabelled pixels that BatchNorm's statistics need.

The training itself is in :mod:`pixelherd.head`.
"""

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import numpy as np
import torch

from .candidates import IGNORED, read_union
from .datasets import Dataset
from .errors import UserError
from .features import MapSource, vectors_at
from .head import DenseSource, VectorSource
from .queries import LABEL_COLUMNS, read
from .shards import Shards
from .storage import write_text


def vector_source(
    dataset: Dataset,
    labels: Sequence[Path | str],
    context_index: Path | str,
    union_manifest: Path | str | None,
    device: torch.device,
    vectors_of: Sequence[Path | str] = (),
) -> tuple[VectorSource, int]:
    """Gathered vectors: the context pixels of every training image, and the labelled pixels.

    Args:
        dataset: the prepared dataset.
        labels: the ``labels.csv`` of the rounds so far.
        context_index: index of the training shards.
        union_manifest: the union whose pixels were labelled; None if context pixels were (random selection).
        device: where batches are put.
        vectors_of: for each round the vectors of its labelled pixels, from :func:`labelled_vectors`, where any pixel
            may be labelled.

    Returns:
        the source, and D.

    Raises:
        UserError: a labelled pixel is not among those that vectors were kept of.
    """
    answered = read(labels, LABEL_COLUMNS, dataset.train.ids, dataset.size[1])
    shards = Shards.open(context_index)
    if vectors_of:
        vectors = np.concatenate([np.load(path) for path in vectors_of])
    elif union_manifest:
        union = read_union(Path(union_manifest).parent)
        vectors = np.asarray(union.vectors[union.rows_of(answered.images, answered.flat)])
    else:
        places = zip(answered.images.tolist(), answered.flat.tolist(), strict=True)
        vectors = np.stack([_context_vector(shards, image, flat) for image, flat in places])
    context = shards.lazily("context")
    source = VectorSource(context, vectors, answered.images, answered.values.astype(np.int64), device)
    return source, vectors.shape[1]


def labelled_vectors(dataset: Dataset, labels: Path | str, maps_of: MapSource) -> np.ndarray:
    """Vectors ``[n, D]`` float16 of a round's labelled pixels, in the order of its file; each image is read once."""
    answered = read([labels], LABEL_COLUMNS, dataset.train.ids, dataset.size[1])
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
            f"labels: pixel {flat} of training image {image} is no context pixel; delete the run's folder, run again"
        )
    return shards.image("context", image)[place[0]]


def dense_source(
    dataset: Dataset, labels: Sequence[Path | str], maps_of: MapSource, device: torch.device
) -> tuple[DenseSource, int]:
    """Every pixel of every training image, labelled where ``labels`` say so; all by the ground truth without any.

    Returns:
        the source, and D.
    """
    if not labels:
        truth = dataset.train.labels[:]
    else:
        answered = read(labels, LABEL_COLUMNS, dataset.train.ids, dataset.size[1])
        truth = np.full((len(dataset.train), *dataset.size), IGNORED, dtype=np.uint8)
        truth.reshape(len(truth), -1)[answered.images, answered.flat] = answered.values
    dim = sum(values.shape[0] * values.shape[1] for values in maps_of(0).values())
    return DenseSource(maps_of, truth, dataset.size, device), dim


def write_log(path: Path | str, log: Sequence[dict]) -> None:
    """Write the log of :func:`pixelherd.head.train` as ``training.csv``, a row per epoch."""
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(log[0])
    for row in log:
        table.writerow([f"{value:.9g}" if isinstance(value, float) else value for value in row.values()])
    write_text(path, text.getvalue())
