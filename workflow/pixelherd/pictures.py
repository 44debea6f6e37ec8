"""Which images a run's pictures show, and the small arrays they are drawn from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import acquisition, dense
from .datasets.classes import IGNORED
from .features import ImageMaps, MapSource, read_stored
from .head import Head


def pictured(images: int, count: int) -> list[int]:
    """Positions of ``count`` images spread evenly over a split of ``images``; all of them where there are fewer."""
    count = min(count, images)
    return [round((2 * index + 1) * images / (2 * count) - 0.5) for index in range(count)]


def most_queried(queried: np.ndarray, images: int, count: int, without: Sequence[int] = ()) -> list[int]:
    """Positions of the ``count`` images that most pixels were queried of, most first, ties to the first image.

    Args:
        queried: ``[L]`` position of the image of each queried pixel.
        images: images of the split.
        without: positions to leave out, since they are pictured anyway.
    """
    queries = np.bincount(queried, minlength=images)
    order = np.argsort(-queries, kind="stable").tolist()
    return [position for position in order if position not in without][:count]


def predict(head: Head, maps: ImageMaps, size: tuple[int, int]) -> np.ndarray:
    """Class of every pixel: ``[H, W]`` uint8."""
    return dense.predict(maps, [head], size)[0].argmax(0).to(torch.uint8).cpu().numpy()


def edald_map(
    head: Head, base: ImageMaps, perturbed: Sequence[ImageMaps], size: tuple[int, int], weight: float
) -> np.ndarray:
    """eDALD of every pixel: ``[H, W]`` float16, natural logs.

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
    """Entropy of the prediction of every pixel: ``[H, W]`` float16, natural logs."""
    scores = acquisition.score("entropy", None, base=dense.log_probabilities(maps, [head], size)[0])
    return scores.reshape(size).half().cpu().numpy()


def write_thumbnails(
    path: Path,
    head: Head,
    groups: dict[str, tuple[Any, MapSource, Sequence[int]]],
    size: tuple[int, int],
    perturbed: tuple[Path, int, int] | None,
    weight: float,
) -> None:
    """Write what the pictures of a run show, as ``thumbnails.npz``.

    For each group ``*_ids [k]``, ``*_images [k, H, W, 3]``, ``*_truth`` (only ignored pixels where the split has no
    masks) and ``*_prediction [k, H, W]`` uint8; and how unsure the head is, as ``train_edald [k, H, W]`` float16 with
    ``perturbed``, else as ``train_entropy``.

    Args:
        path: the file.
        head: the run's last head.
        groups: ``train`` and ``test`` images spread over their splits and the most ``queried`` ones: by name the split,
            its maps and the positions of the images.
        size: (H, W).
        perturbed: folder of the draws stored for the images of group ``train``, how many of each are stored, and M.
        weight: λ of the eDALD map.
    """
    arrays = {}
    for name, (split, maps_of, positions) in groups.items():
        maps = [maps_of(position) for position in positions]
        arrays[f"{name}_ids"] = np.array([split.ids[position] for position in positions], dtype=np.str_)
        arrays[f"{name}_images"] = _stack([split.images[position] for position in positions], (*size, 3))
        truth = [np.full(size, IGNORED) if split.labels is None else split.labels[position] for position in positions]
        arrays[f"{name}_truth"] = _stack(truth, size)
        arrays[f"{name}_prediction"] = _stack([predict(head, each, size) for each in maps], size)
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


def _stack(values: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """``[k, *shape]`` uint8, also of no image."""
    return np.array(values, dtype=np.uint8).reshape(len(values), *shape)
