"""Evaluation of a run: one pass over the test images for all its heads."""

import io
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pixelherd.compute.devices import resolve
from pixelherd.datasets.classes import IGNORED
from pixelherd.datasets.dataset import OriginalLabels, Split
from pixelherd.datasets.pixels import Pixels
from pixelherd.datasets.prepare import ClassInfo
from pixelherd.errors import UserError
from pixelherd.features.maps import MapSource
from pixelherd.heads import dense
from pixelherd.heads.metrics import (
    Tally,
    calibration_error,
    ious,
    mean_class_accuracy,
    miou,
    pixel_accuracy,
)
from pixelherd.heads.network import Head, load, read_metadata
from pixelherd.storage.files import digest_of, write_bytes, write_csv
from pixelherd.storage.records import read_record

BINS_OF = " bins"


class Tallies:
    """Counts of heads over one shard of test images, kept in a file between evaluations.

    Where the network has to run again for every evaluation, pending runs share a pass over the test images, and what a
    pass has found is never computed again: counts are kept by the content of the head.

    Args:
        path: the file; need not exist.
        key: what the counts depend on besides head and images; a file with another key counts as empty.
    """

    def __init__(self, path: Path | str, key: str):
        self._path, self._key = Path(path), f"{key} {Path(path).stem}"
        self._kept: dict[str, Tally] = {}
        try:
            with np.load(self._path) as file:
                if str(file["key"]) == self._key:
                    found = [name.removesuffix(BINS_OF) for name in file.files if name.endswith(BINS_OF)]
                    self._kept = {name: Tally(file[name], file[name + BINS_OF]) for name in found}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            pass  # missing or damaged: computed again

    def __contains__(self, head: Path | str) -> bool:
        return digest_of(Path(head)) in self._kept

    def __getitem__(self, head: Path | str) -> Tally:
        """The counts of a head's file.

        Raises:
            UserError: there are none.
        """
        return self.of(head, digest_of(Path(head)))

    def of(self, head: Path | str, digest: str) -> Tally:
        """:meth:`__getitem__` of a head whose digest is known, for many shards hold counts of the same heads."""
        if digest not in self._kept:
            raise UserError(f"{self._path} lacks {head}", remedy="delete the cache's folder `passes`, and run again")
        return self._kept[digest]

    def add(self, found: Mapping[Path | str, Tally]) -> None:
        """Keep counts by the files of their heads; the file is replaced whole."""
        self._kept |= {digest_of(Path(head)): tally for head, tally in found.items()}
        content = io.BytesIO()
        arrays: dict[str, Any] = {"key": np.array(self._key)}
        for name, tally in self._kept.items():
            arrays |= {name: tally.matrix, name + BINS_OF: tally.bins}
        np.savez_compressed(content, **arrays)
        write_bytes(self._path, content.getvalue())


def added_up(shards: Iterable[Tallies], heads: Sequence[str]) -> Tally:
    """Return the counts of heads over all shards.

    Raises:
        UserError: a shard lacks a head.
    """
    shards, digests = list(shards), {head: digest_of(Path(head)) for head in heads}
    found = []
    for head, digest in digests.items():
        first, *others = (shard.of(head, digest) for shard in shards)
        found.append(sum(others, first))
    return Tally.stack(found)


def of_passes(index: Path | str, key: str, heads: Sequence[str]) -> Tally:
    """Return the counts of heads over all passes that an index names.

    Args:
        index: record of the passes' files.
        key: of what all of them counted, as of :class:`Tallies`.
        heads: files of the heads.

    Raises:
        UserError: a pass lacks a head.
    """
    return added_up([Tallies(path, key) for path in read_record(index)["files"]], heads)


def load_heads(paths: Sequence[Path | str], identity: str, device: str = "cpu") -> list[Head]:
    """The heads of a run's rounds.

    Args:
        paths: their files.
        identity: ``Study.identity`` of the run, which every head holds since its training.
        device: the study's device.

    Raises:
        UserError: a head is damaged, or was trained with other settings.
    """
    for number, path in enumerate(paths):
        found = read_metadata(path)
        if found.get("run") != identity or found.get("round", str(number)) != str(number):
            raise UserError(
                f"{path} was trained with other settings, or in another round",
                remedy=f"delete {Path(path).parents[1]} and run again",
            )
    return [load(path).to(resolve(device)) for path in paths]


def tally(
    heads: Sequence[Head],
    images: Iterable[int],
    maps_of: MapSource,
    truth: np.ndarray | OriginalLabels,
    classes: int,
    *,
    workers: int = 1,
    progress: Callable[[], object] = lambda: None,
) -> Tally:
    """Count the pixels of the images by how every head predicts them.

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

    def of_image(image: int) -> Tally:
        target, known = truth[image], maps_of.norms(image)
        fits = known is not None and known.shape == target.shape  # labels may have sizes of their own
        return dense.tally(maps_of(image), heads, target, classes, lengths=known if fits else None)

    total = Tally.nothing(len(heads), classes)
    with ThreadPool(workers) as pool:
        for each in pool.imap_unordered(of_image, images):
            total += each
            progress()
    return total


def tally_run(
    heads: Sequence[Head],
    test: Split,
    maps_of: MapSource | None,
    truth: Any,
    classes: int,
    workers: int,
) -> Tally:
    """Return :func:`tally` over the whole test split, with a bar that shows how far it is.

    A split without images has no maps, and counts of zero.
    """
    if maps_of is None:
        return Tally.nothing(len(heads), classes)
    with tqdm(total=len(test), desc="evaluate", unit="image", disable=None) as bar:
        return tally(heads, range(len(test)), maps_of, truth, classes, workers=workers, progress=bar.update)


def write_metrics(path: Path | str, counts: Tally, labelled: Sequence[int], classes: Sequence[ClassInfo]) -> None:
    """Write ``metrics.csv``: one row a round, values in [0, 1], empty for a class absent from target and prediction.

    Where there are no test images the counts are 0, and all values empty.

    Args:
        path: the file.
        counts: of the heads of all rounds.
        labelled: labelled pixels so far, by round.
        classes: names for the columns ``iou_<slug>``.
    """
    columns = ["round", "labelled_pixels", "miou", "pixel_accuracy", "mean_class_accuracy", "calibration_error"]
    rows = []
    for number, pixels in zip(range(len(counts)), labelled, strict=True):
        matrix, bins = counts[number].matrix, counts[number].bins
        values = [miou(matrix), pixel_accuracy(matrix), mean_class_accuracy(matrix), calibration_error(bins)]
        values += [*ious(matrix)]
        rows.append([number, pixels, *("" if np.isnan(value) else f"{value:.6f}" for value in values)])
    write_csv(path, columns + [f"iou_{each.slug}" for each in classes], rows)


def labelled_pixels(labels: Sequence[Pixels], heads: Sequence[Path | str]) -> list[int]:
    """Pixels with a class, "cannot tell" left out, up to each round.

    Args:
        labels: the answers of each round; none at all for the reference, whose head says how many pixels it learnt.
        heads: the files of the heads.

    Raises:
        UserError: the reference's head does not say it.
    """
    if labels:
        return np.cumsum([int((each.values != IGNORED).sum()) for each in labels]).tolist()
    counts = [read_metadata(head).get("labelled_pixels") for head in heads]
    if None in counts:
        raise UserError(
            f"{heads[0]} does not say how many pixels it learnt, so an older pixelherd made it",
            remedy=f"delete {Path(heads[0]).parents[1]} and run again",
        )
    return [int(str(count)) for count in counts]
