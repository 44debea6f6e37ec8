"""Masks as COCO writes them: each class of each mask as a compressed run-length encoding."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pixelherd.datasets.classes import ClassInfo
from pixelherd.storage.files import write_json


def write_coco(folder: Path | str, names: Sequence[str], classes: Sequence[ClassInfo]) -> None:
    """Write ``coco.json`` beside masks: each class of each mask as a compressed run-length encoding of COCO's.

    Args:
        folder: what :func:`~pixelherd.results.prediction.masks.predict_folder` wrote.
        names: of the images; those without a mask are left out.
        classes: in the order of their labels.
    """
    folder = Path(folder)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for name in names:
        path = folder / "masks" / f"{name}.png"
        if not path.is_file():
            continue
        with Image.open(path) as image:
            mask = np.asarray(image)
        height, width = mask.shape
        images.append({"id": len(images) + 1, "file_name": f"{name}.png", "height": height, "width": width})
        for label in np.unique(mask).tolist():
            of_class = mask == label
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": label + 1,
                    "segmentation": {"size": [height, width], "counts": run_lengths(of_class)},
                    "area": int(of_class.sum()),
                    "bbox": _box(of_class),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": label + 1, "name": each.name} for label, each in enumerate(classes)]
    write_json(folder / "coco.json", {"images": images, "annotations": annotations, "categories": categories})


def run_lengths(mask: np.ndarray) -> str:
    """Compress a mask ``[H, W]`` bool as COCO's API does: runs down the columns, each as its difference to the last but
    one, in characters of five bits."""
    flat = np.concatenate([[False], mask.T.ravel(), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
    if runs[-1] == 0:
        runs.pop()
    characters = []
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        more = True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            characters.append(chr(48 + bits + 32 * more))
    return "".join(characters)


def _box(mask: np.ndarray) -> list[int]:
    """Left, top, width and height of what a mask covers."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]
