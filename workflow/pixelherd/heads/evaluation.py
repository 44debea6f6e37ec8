"""Evaluation of a run: one pass over the test images for all its heads."""

import io
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pixelherd.datasets.classes import IGNORED
from pixelherd.datasets.dataset import OriginalLabels, Split
from pixelherd.datasets.pixels import Pixels
from pixelherd.datasets.prepare import ClassInfo
from pixelherd.errors import UserError
from pixelherd.features.maps import MapSource
from pixelherd.heads import dense
from pixelherd.heads.metrics import confusion, ious, mean_class_accuracy, miou, pixel_accuracy
from pixelherd.heads.network import Head, load, read_metadata
from pixelherd.storage.files import digest_of, write_bytes, write_csv

HEADS_AT_ONCE = 32
"""Heads whose logits of an image are held at a time."""


class Confusions:
    """Confusion matrices of heads over one shard of test images, kept in a file between evaluations.

    Where the network has to run again for every evaluation, pending runs share a pass over the test images, and what a
    pass has found is never computed again: matrices are kept by the content of the head.

    Args:
        path: the file; need not exist.
        key: what the matrices depend on besides head and images; a file with another key counts as empty.
    """

    def __init__(self, path: Path | str, key: str):
        self._path, self._key = Path(path), key
        self._matrices: dict[str, np.ndarray] = {}
        try:
            with np.load(self._path) as file:
                if str(file["key"]) == key:
                    self._matrices = {name: file[name] for name in file.files if name != "key"}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            pass  # missing or damaged: computed again

    def __contains__(self, head: Path | str) -> bool:
        return digest_of(Path(head)) in self._matrices

    def __getitem__(self, head: Path | str) -> np.ndarray:
        """The matrix ``[C, C]`` int64 of a head's file.

        Raises:
            UserError: there is none.
        """
        return self.of(head, digest_of(Path(head)))

    def of(self, head: Path | str, digest: str) -> np.ndarray:
        """:meth:`__getitem__` of a head whose digest is known, for many shards hold matrices of the same heads."""
        if digest not in self._matrices:
            raise UserError(f"{self._path} lacks {head}", remedy="delete the cache's folder `passes`, and run again")
        return self._matrices[digest]

    def add(self, found: Mapping[Path | str, np.ndarray]) -> None:
        """Keep matrices by the files of their heads; the file is replaced whole."""
        self._matrices |= {digest_of(Path(head)): matrix for head, matrix in found.items()}
        content = io.BytesIO()
        arrays: dict[str, Any] = {"key": np.array(self._key), **self._matrices}
        np.savez_compressed(content, **arrays)
        write_bytes(self._path, content.getvalue())


def added_up(shards: Iterable[Confusions], heads: Sequence[str]) -> np.ndarray:
    """Return the confusion matrices of heads over all shards, ``[heads, C, C]`` int64.

    Raises:
        UserError: a shard lacks a head.
    """
    shards, digests = list(shards), {head: digest_of(Path(head)) for head in heads}
    return np.stack([np.sum([shard.of(*each) for shard in shards], axis=0) for each in digests.items()])


def load_heads(paths: Sequence[Path | str], identity: str) -> list[Head]:
    """The heads of a run's rounds.

    Args:
        paths: their files.
        identity: ``Study.identity`` of the run, which every head holds since its training.

    Raises:
        UserError: a head is damaged, or was trained with other settings.
    """
    for path in paths:
        if read_metadata(path).get("run") != identity:
            raise UserError(
                f"{path} was trained with other settings", remedy=f"delete {Path(path).parents[1]} and run again"
            )
    return [load(path) for path in paths]


def confusions(
    heads: Sequence[Head],
    images: Iterable[int],
    maps_of: MapSource,
    truth: np.ndarray | OriginalLabels,
    classes: int,
    *,
    workers: int = 1,
    progress: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """Confusion matrices of every head over the images: ``[heads, C, C]`` int64, rows are the ground truth.

    Counts add up whatever the order, so ``workers`` do not change them.

    Args:
        heads: trained heads, sharing one pass over the maps.
        images: positions in the split.
        maps_of: native maps by position.
        truth: ``[N, H, W]`` labels, 255 ignored; or ``[H, W]`` by position, of sizes of their own. Predictions are made
            at the size of the labels.
        classes: C.
        workers: images looked at together, each with numerical threads of its own.
        progress: called after each image.
    """

    def of_image(image: int) -> np.ndarray:
        target, maps, found = truth[image], maps_of(image), []
        for start in range(0, len(heads), HEADS_AT_ONCE):
            for logits in dense.predict(maps, heads[start : start + HEADS_AT_ONCE], target.shape):
                found.append(confusion(target, logits.argmax(0).to(torch.uint8).cpu().numpy(), classes))
        return np.stack(found)

    total = np.zeros((len(heads), classes, classes), dtype=np.int64)
    with ThreadPool(workers) as pool:
        for matrices in pool.imap_unordered(of_image, images):
            total += matrices
            progress()
    return total


def run_confusions(
    heads: Sequence[Head],
    test: Split,
    maps_of: MapSource | None,
    truth: Any,
    classes: int,
    workers: int,
) -> np.ndarray:
    """Return :func:`confusions` over the whole test split, with a bar that shows how far they are.

    A split without images has no maps, and matrices of zeros.
    """
    if maps_of is None:
        return np.zeros((len(heads), classes, classes), dtype=np.int64)
    with tqdm(total=len(test), desc="evaluate", unit="image", disable=None) as bar:
        return confusions(heads, range(len(test)), maps_of, truth, classes, workers=workers, progress=bar.update)


def write_metrics(
    path: Path | str, matrices: np.ndarray, labelled: Sequence[int], classes: Sequence[ClassInfo]
) -> None:
    """Write ``metrics.csv``: one row a round, values in [0, 1], empty for a class absent from target and prediction.

    Where there are no test images the matrices are 0, and all values empty.

    Args:
        path: the file.
        matrices: ``[rounds, C, C]`` confusion matrices.
        labelled: labelled pixels so far, by round.
        classes: names for the columns ``iou_<slug>``.
    """
    columns = ["round", "labelled_pixels", "miou", "pixel_accuracy", "mean_class_accuracy"]
    rows = []
    for number, (matrix, pixels) in enumerate(zip(matrices, labelled, strict=True)):
        values = [miou(matrix), pixel_accuracy(matrix), mean_class_accuracy(matrix), *ious(matrix)]
        rows.append([number, pixels, *("" if np.isnan(value) else f"{value:.6f}" for value in values)])
    write_csv(path, columns + [f"iou_{each.slug}" for each in classes], rows)


def labelled_pixels(labels: Sequence[Pixels], truth: np.ndarray | None) -> list[int]:
    """Pixels with a class, "cannot tell" left out, up to each round.

    Args:
        labels: the answers of each round; none at all for the reference, which labels every pixel.
        truth: ``[N, H, W]`` labels of the training images; only the reference needs them.

    Raises:
        ValueError: there are neither answers nor labels.
    """
    if not labels:
        if truth is None:
            raise ValueError("without answers the labels of the training images are counted, and there are none")
        counts = [int(np.count_nonzero(np.asarray(truth[image]) != IGNORED)) for image in range(truth.shape[0])]
        return [sum(counts)]
    return np.cumsum([int((each.values != IGNORED).sum()) for each in labels]).tolist()
