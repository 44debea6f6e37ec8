"""Which images a run's pictures show, and the small arrays they are drawn from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pixelherd.annotation.contradictions import contradictions
from pixelherd.datasets.classes import IGNORED
from pixelherd.datasets.dataset import Dataset, Split
from pixelherd.datasets.pixels import LABEL_COLUMNS, Pixels, read_pixels
from pixelherd.features.maps import ImageMaps, MapSource, read_stored
from pixelherd.heads import dense
from pixelherd.heads.network import Head
from pixelherd.heads.settings import LinearSettings
from pixelherd.selection import acquisition
from pixelherd.selection.labelled import labelled_pixels

CONTRADICTED = 12
"""Contradicted answers that are pictured, those against which the model is surest."""


def pictured(images: int, count: int) -> list[int]:
    """Choose ``count`` positions spread evenly over a split of ``images``; all of them where there are fewer."""
    count = min(count, images)
    return [round((2 * index + 1) * images / (2 * count) - 0.5) for index in range(count)]


def most_queried(queried: np.ndarray, images: int, count: int, without: Sequence[int] = ()) -> list[int]:
    """Choose the ``count`` images that most pixels were queried of, most first, ties to the first image.

    Args:
        queried: ``[L]`` position of the image of each queried pixel.
        images: images of the split.
        count: how many to choose; fewer where there are fewer.
        without: positions to leave out, since they are pictured anyway.
    """
    queries = np.bincount(queried, minlength=images)
    order = np.argsort(-queries, kind="stable").tolist()
    return [position for position in order if position not in without][:count]


def pictured_groups(
    dataset: Dataset, maps: Mapping[str, MapSource], labels: Sequence[Pixels], count: int
) -> dict[str, tuple[Split, MapSource | None, list[int]]]:
    """Choose the images that a run's pictures show.

    Args:
        dataset: the prepared dataset.
        maps: native maps by split; a split without images has none.
        labels: the run's answers, a round each; the reference has none.
        count: images of each group.

    Returns:
        ``train`` and ``test`` images spread over their splits, and the most ``queried`` ones: by name the split, its
        maps and the positions of the images.
    """
    groups: dict[str, tuple[Split, MapSource | None, list[int]]] = {}
    for name in ("train", "test"):
        split = getattr(dataset, name)
        groups[name] = split, maps.get(name), pictured(len(split), count)
    queried: list[int] = []
    if labels:
        asked = np.concatenate([each.images for each in labels])
        queried = most_queried(asked, len(dataset.train), count, groups["train"][2])
    return groups | {"queried": (dataset.train, maps.get("train"), queried)}


def contradicted(
    dataset: Dataset, files: Mapping[str, Any], classes: int, settings: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Find the answers of a person that contradict the model, and the images of the first of them.

    Args:
        dataset: the prepared dataset.
        files: ``labels``, the ``labels.csv`` of all rounds, and where their vectors are: ``context``, ``union`` and
            ``vectors``, as :func:`pixelherd.selection.labelled.labelled_pixels` takes them. Without an index of the
            context nothing is compared.
        classes: number of classes.
        settings: all that affects the run's results. Where masks answered nothing is compared; of the heads' settings
            none is taken if they are of another kind than the linear one.

    Returns:
        ``contradicted_ids [n]``, ``_pixels [n, 4]`` (row, column, label, predicted class), ``_confidence [n]``,
        ``_images [k, H, W, 3]`` of the first k, and ``_told``, how many answers were compared.
    """
    answers, context = files["labels"], files.get("context")
    if not context or "oracle" not in settings:
        return {}
    labelled = labelled_pixels(dataset, answers, context, files.get("union"), files.get("vectors", ()))
    training = settings["training"]
    head = LinearSettings(**{key: training[key] for key in ("l2", "class_balance") if key in training})
    found = contradictions(labelled, classes, head)
    asked = read_pixels(answers, LABEL_COLUMNS, dataset.train.ids, dataset.size[1])
    flat, images, labels = (each[found.places] for each in (asked.flat, asked.images, asked.values))
    pixels = np.stack([*np.divmod(flat, dataset.size[1]), labels, found.predicted], axis=1)
    shown = [dataset.train.images[image] for image in images[:CONTRADICTED]]
    return {
        "contradicted_ids": np.array([dataset.train.ids[image] for image in images], dtype=np.str_),
        "contradicted_pixels": pixels.astype(np.int32),
        "contradicted_confidence": found.confidence.astype(np.float32),
        "contradicted_images": _stack(shown, (*dataset.size, 3)),
        "contradicted_told": np.array(found.told),
    }


def edald_map(
    head: Head, base: ImageMaps, perturbed: Sequence[ImageMaps], size: tuple[int, int], weight: float
) -> np.ndarray:
    """Compute the eDALD of every pixel: ``[H, W]`` float16, natural logs.

    Args:
        head: a trained head.
        base: maps of the base draw.
        perturbed: maps of draws 1…M.
        size: (H, W).
        weight: λ.
    """
    of_base, *samples = (dense.log_probabilities(maps, [head], size)[0] for maps in (base, *perturbed))
    scores = acquisition.score("edald", torch.stack(samples, 1), base=of_base, weight=weight)
    return scores.reshape(size).half().cpu().numpy()


def entropy_map(head: Head, maps: ImageMaps, size: tuple[int, int]) -> np.ndarray:
    """Compute the entropy of the prediction of every pixel: ``[H, W]`` float16, natural logs."""
    scores = acquisition.score("entropy", None, base=dense.log_probabilities(maps, [head], size)[0])
    return scores.reshape(size).half().cpu().numpy()


def write_thumbnails(
    path: Path,
    head: Head,
    groups: Mapping[str, tuple[Split, MapSource | None, Sequence[int]]],
    size: tuple[int, int],
    perturbed: tuple[Path, int, int] | None,
    weight: float,
    others: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write what the pictures of a run show, as ``thumbnails.npz``.

    For each group ``*_ids [k]``, ``*_images [k, H, W, 3]``, ``*_truth`` (only ignored pixels where the split has no
    masks) and ``*_prediction [k, H, W]`` uint8; and how unsure the head is, as ``train_edald [k, H, W]`` float16 with
    ``perturbed``, else as ``train_entropy``.

    Args:
        path: the file.
        head: the run's last head.
        groups: from :func:`pictured_groups`.
        size: (H, W).
        perturbed: folder of the draws stored for the images of group ``train``, how many of each are stored, and M.
        weight: λ of the eDALD map.
        others: arrays beside these, from :func:`contradicted`.
    """
    arrays: dict[str, Any] = dict(others or {})
    for name, (split, maps_of, positions) in groups.items():
        maps = [maps_of(position) for position in positions] if maps_of else []
        arrays[f"{name}_ids"] = np.array([split.ids[position] for position in positions], dtype=np.str_)
        arrays[f"{name}_images"] = _stack([split.images[position] for position in positions], (*size, 3))
        truth = [np.full(size, IGNORED) if split.labels is None else split.labels[position] for position in positions]
        arrays[f"{name}_truth"] = _stack(truth, size)
        arrays[f"{name}_prediction"] = _stack([dense.classes(each, head, size) for each in maps], size)
        if name == "train" and perturbed:
            folder, stored, used = perturbed
            edald = [
                edald_map(
                    head, base, [read_stored(folder, index * stored + number) for number in range(used)], size, weight
                )
                for index, base in enumerate(maps)
            ]
            arrays["train_edald"] = np.array(edald, dtype=np.float16)
        elif name == "train":
            arrays["train_entropy"] = np.array([entropy_map(head, each, size) for each in maps], dtype=np.float16)
    np.savez_compressed(path, **arrays)


def _stack(values: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
    """``[k, *shape]`` uint8, also of no image."""
    return np.array(values, dtype=np.uint8).reshape(len(values), *shape)
