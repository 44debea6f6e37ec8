"""Pascal-Context (Mottaghi et al. 2014) with 33 classes, on the images of the PASCAL VOC 2010 devkit.

``VOCdevkit/VOC2010/JPEGImages/NAME.jpg``, the splits ``VOCdevkit/VOC2010/ImageSets/Main/{train,val}.txt``, and
``trainval/NAME.mat``, whose ``LabelMap`` [H, W] uint16 holds ids of ``labels.txt``. Runs are evaluated on ``val``. The
classes are those of the authors; every other id, up to 459, becomes 255. Where ``labels.txt`` lies in the raw folder or
in ``trainval``, the names at the ids are checked.
"""

import zlib
from functools import partial
from pathlib import Path

import numpy as np

from pixelherd.datasets.benchmarks.published import published
from pixelherd.datasets.classes import ClassInfo
from pixelherd.datasets.samples import UNREADABLE, Sample, matched, read_labels, read_pair, unreadable
from pixelherd.datasets.settings import PascalContextSettings
from pixelherd.errors import UserError

PASCAL_CONTEXT = published("pascal_context")

LISTS = {"train": "train.txt", "test": "val.txt"}


def classes(settings: PascalContextSettings) -> list[ClassInfo]:
    """The 33 classes in label order."""
    return list(PASCAL_CONTEXT.classes)


def samples(settings: PascalContextSettings) -> dict[str, list[Sample]]:
    """The samples of both splits in the order of the lists.

    Raises:
        UserError: a folder, a list or a listed file is missing, a ``.mat`` file has no image, or ``labels.txt`` gives
            other ids to the classes.
    """
    root = PASCAL_CONTEXT.root(settings)
    devkit = PASCAL_CONTEXT.part(root, "VOCdevkit", "VOC2010")
    images, maps = PASCAL_CONTEXT.part(devkit, "JPEGImages"), PASCAL_CONTEXT.part(root, "trainval")
    _check_ids(root)
    image_files = {path.stem: path for path in images.glob("*.jpg")}
    map_files = {path.stem: path for path in sorted(maps.glob("*.mat"))}
    read = partial(read_labels, table=PASCAL_CONTEXT.table, read=_label_map, mend=PASCAL_CONTEXT.mend)
    listed = {split: _names(PASCAL_CONTEXT.part(devkit, "ImageSets", "Main", file)) for split, file in LISTS.items()}
    for split, names in listed.items():
        for name in names:
            if name not in image_files:
                raise UserError(
                    f"{images / name}.jpg, listed in {LISTS[split]}, is missing", remedy=PASCAL_CONTEXT.mend
                )
    wanted = {name for names in listed.values() for name in names}
    pairs = matched(
        {name: image_files[name] for names in listed.values() for name in names},
        {name: path for name, path in map_files.items() if name in wanted or name not in image_files},
        lambda name: images / f"{name}.jpg",
        lambda name: maps / f"{name}.mat",
    )
    sample_of = {
        name: Sample(name, partial(read_pair, image, mat, read), path=image, mask=mat) for name, image, mat in pairs
    }
    return {split: [sample_of[name] for name in names] for split, names in listed.items()}


def _names(path: Path) -> list[str]:
    """The names of a list of the devkit, one per line (some lists have a flag behind it)."""
    return [line.split()[0] for line in path.read_text("utf-8", errors="replace").splitlines() if line.strip()]


def _label_map(path: Path) -> np.ndarray:
    """The ids [H, W] of a ``.mat`` file."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path, variable_names=["LabelMap"])
    except (*UNREADABLE, MatReadError, TypeError, NotImplementedError, zlib.error) as error:
        raise unreadable("mask", path, error) from None
    ids = content.get("LabelMap")
    if ids is None or ids.ndim != 2 or ids.dtype.kind not in "ui":
        raise UserError(f"mask {path} has no LabelMap of one whole number per pixel", remedy=PASCAL_CONTEXT.mend)
    return ids


def _check_ids(root: Path) -> None:
    """Compare the names at the classes' ids in ``labels.txt`` (``397: table``), where it is there."""
    for path in (root / "labels.txt", root / "trainval" / "labels.txt"):
        if not path.is_file():
            continue
        name_of = {}
        for line in path.read_text("utf-8", errors="replace").splitlines():
            number, _, name = line.partition(":")
            if number.strip().isdigit():
                name_of[int(number)] = name.strip()
        for info, expected in zip(PASCAL_CONTEXT.classes, PASCAL_CONTEXT.ids, strict=True):
            if (found := name_of.get(expected)) != info.name:
                raise UserError(
                    f"{path}: id {expected} is {found!r} and should be {info.name!r}", remedy=PASCAL_CONTEXT.mend
                )
