"""Cityscapes (Cordts et al. 2016) with 19 classes, in its official folders.

``leftImg8bit/{train,val}/CITY/CITY_*_leftImg8bit.png`` (2048x1024) and
``gtFine/{train,val}/CITY/CITY_*_gtFine_labelIds.png``, or ``..._labelTrainIds.png``. Runs are evaluated on ``val``,
since the labels of Cityscapes' own test images are not published. Label ids become train ids and all others 255; the
authors' code takes label ids for labels. Images are resized to 512x256 (bilinear, labels nearest) and cropped to their
centre.
"""

from functools import partial
from pathlib import Path

from pixelherd.datasets.benchmarks.published import published
from pixelherd.datasets.classes import IGNORED, ClassInfo
from pixelherd.datasets.samples import Sample, matched, place, read_labels, read_pair
from pixelherd.datasets.settings import CityscapesSettings
from pixelherd.errors import UserError

CITYSCAPES = published("cityscapes")

FOLDERS = {"train": "train", "test": "val"}

IMAGE = "_leftImg8bit.png"


def classes(settings: CityscapesSettings) -> list[ClassInfo]:
    """The 19 classes in the order of the train ids."""
    return list(CITYSCAPES.classes)


def samples(settings: CityscapesSettings) -> dict[str, list[Sample]]:
    """The samples of both splits, sorted by city and name; an id is the image's name, which begins with its city.

    Raises:
        UserError: a folder is missing, an image has no mask or a mask no image.
    """
    root = CITYSCAPES.root(settings)
    suffix = f"_gtFine_{settings.labels}.png"
    train_ids = {label: label for label in range(len(CITYSCAPES.classes))} | {IGNORED: IGNORED}
    table = CITYSCAPES.table if settings.labels == "labelIds" else train_ids
    read = partial(read_labels, table=table, mend=CITYSCAPES.mend)
    found = {}
    for split, folder in FOLDERS.items():
        images, masks = (CITYSCAPES.part(root, part, folder) for part in ("leftImg8bit", "gtFine"))
        mask_files = _by_name(masks, suffix)
        if not mask_files:
            raise UserError(f"{masks} holds no */*{suffix}", remedy=f"{_advice(masks, settings)}")
        pairs = matched(
            _by_name(images, IMAGE),
            mask_files,
            partial(place, images, IMAGE),
            partial(place, masks, suffix),
        )
        found[split] = [
            Sample(Path(name).name, partial(read_pair, image, mask, read), path=image, mask=mask)
            for name, image, mask in pairs
        ]
    return found


def _by_name(folder: Path, suffix: str) -> dict[str, Path]:
    """Files by city and name, ``aachen/aachen_000000_000019``."""
    found = {path.relative_to(folder).as_posix().removesuffix(suffix): path for path in folder.glob(f"*/*{suffix}")}
    return dict(sorted(found.items()))


def _advice(masks: Path, settings: CityscapesSettings) -> str:
    other = "labelTrainIds" if settings.labels == "labelIds" else "labelIds"
    if _by_name(masks, f"_gtFine_{other}.png"):
        return f"it holds {other}, so set `labels: {other}`"
    return f"get gtFine from {CITYSCAPES.source}"
