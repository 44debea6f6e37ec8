"""ADE-Bed: the bedrooms of ADE20K (Zhou et al. 2017) with 30 classes, in one of two layouts.

``archive``, as the authors of the paper distribute it: ``real/{train,test}/NAME.jpg`` (256x256) beside ``NAME.npy``
with labels 0..29 and 255. ``challenge``, built from the folder ADEChallengeData2016: the images to which
``sceneCategories.txt`` gives the scene bedroom, its training images for training and its validation images for
testing; ``annotations/{training,validation}/NAME.png`` holds numbers of ``objectInfo150.txt``, 0 for anything else. The
classes are found there by name. The two need not have the same images, and these are resized here without a crop, so
their results do not compare.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pixelherd.datasets.benchmarks.published import published
from pixelherd.datasets.classes import IGNORED, ClassInfo
from pixelherd.datasets.samples import IMAGE_SUFFIXES, Sample, matched, place, read_labels, read_pair
from pixelherd.datasets.settings import AdeBedSettings
from pixelherd.errors import UserError

ADE_BED = published("ade_bed")

CHALLENGE_SPLITS = {"train": ("ADE_train_", "training"), "test": ("ADE_val_", "validation")}


def classes(settings: AdeBedSettings) -> list[ClassInfo]:
    """The 30 classes in the label order of the authors' archive."""
    return list(ADE_BED.classes)


def samples(settings: AdeBedSettings) -> dict[str, list[Sample]]:
    """The samples of both splits, sorted by name.

    Raises:
        UserError: a folder or file is missing, an image has no mask or a mask no image, or one of the text files of
            ADEChallengeData2016 is not as published.
    """
    root = ADE_BED.root(settings)
    return _from_archive(root) if settings.layout == "archive" else _from_challenge(root)


def _from_archive(root: Path) -> dict[str, list[Sample]]:
    if not (root / "real").is_dir() and (root / "sceneCategories.txt").is_file():
        raise UserError(
            f"{root} is ADEChallengeData2016 and not the authors' archive", remedy="set `layout: challenge`"
        )
    table = {label: label for label in range(len(ADE_BED.classes))} | {IGNORED: IGNORED}
    found = {}
    for split in ("train", "test"):
        folder = ADE_BED.part(root, "real", split)
        files = sorted(folder.iterdir())
        images = {file.stem: file for file in files if file.suffix.lower() in IMAGE_SUFFIXES}
        masks = {file.stem: file for file in files if file.suffix == ".npy"}
        pairs = matched(images, masks, partial(place, folder, ".jpg"), partial(place, folder, ".npy"))
        found[split] = _samples(pairs, table)
    return found


def _from_challenge(root: Path) -> dict[str, list[Sample]]:
    if not (root / "sceneCategories.txt").is_file() and (root / "real").is_dir():
        raise UserError(f"{root} is the authors' archive and not ADEChallengeData2016", remedy="set `layout: archive`")
    _check_numbers(ADE_BED.part(root, "objectInfo150.txt"))
    names = _bedrooms(ADE_BED.part(root, "sceneCategories.txt"))
    found = {}
    for split, (prefix, folder) in CHALLENGE_SPLITS.items():
        places = {part: ADE_BED.part(root, part, folder) for part in ("images", "annotations")}
        wanted = sorted(name for name in names if name.startswith(prefix))
        images = {name: places["images"] / f"{name}.jpg" for name in wanted}
        masks = {name: places["annotations"] / f"{name}.png" for name in wanted}
        pairs = matched(
            {name: path for name, path in images.items() if path.is_file()},
            {name: path for name, path in masks.items() if path.is_file()},
            images.get,
            masks.get,
        )
        missing = [name for name in wanted if not images[name].is_file()]
        if missing:
            raise UserError(f"{images[missing[0]]}, listed in sceneCategories.txt, is missing", remedy=ADE_BED.mend)
        found[split] = _samples(pairs, ADE_BED.table)
    return found


def _samples(pairs: list[tuple[str, Path, Path]], table: Mapping[int, int]) -> list[Sample]:
    read = partial(read_labels, table=table, mend=ADE_BED.mend)
    return [Sample(name, partial(read_pair, image, mask, read), path=image, mask=mask) for name, image, mask in pairs]


def _check_numbers(path: Path) -> None:
    """Look each class up by name in ``objectInfo150.txt``, and compare its number with the one that it should have.

    Columns stand between tabs, and Idx and Name count. A name column holds alternatives (``windowpane, window``); a
    class is the row that has it as one of them.
    """
    lines = [line.split("\t") for line in path.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    header = [cell.strip() for cell in lines[0]] if lines else []
    if not {"Idx", "Name"} <= set(header):
        raise UserError(f"{path} does not begin with a line of columns such as Idx and Name", remedy=ADE_BED.mend)
    number_of: dict[str, int] = {}
    for row, cells in enumerate(lines[1:], 2):
        try:
            number, names = int(cells[header.index("Idx")]), cells[header.index("Name")]
        except (IndexError, ValueError):
            raise UserError(
                f"{path}, line {row}: has not the columns {', '.join(header)}", remedy=ADE_BED.mend
            ) from None
        for name in re.split("[,;]", names):
            number_of.setdefault(name.strip(), number)
    for info, expected in zip(ADE_BED.classes, ADE_BED.ids, strict=True):
        found = number_of.get(info.name)
        if found != expected:
            place = "is not listed" if found is None else f"has the number {found}"
            raise UserError(f"{path}: {info.name} {place}, and should have {expected}", remedy=ADE_BED.mend)


def _bedrooms(path: Path) -> list[str]:
    names = []
    for row, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
        parts = line.split()
        if parts and len(parts) != 2:
            raise UserError(
                f"{path}, line {row}: must hold a name and a scene, found {line.strip()!r}", remedy=ADE_BED.mend
            )
        if parts and parts[1] == ADE_BED.scene:
            names.append(parts[0])
    return names
