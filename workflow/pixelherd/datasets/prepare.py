"""Datasets: from raw files, or from nothing for the demo, to arrays of images and labels.

A reader is a module with two functions: ``classes(settings)`` gives the :class:`ClassInfo` in label order, and
``samples(settings)`` the :class:`~pixelherd.datasets.samples.Sample` of each split without opening an image. To
add a dataset, write its settings in ``settings.py`` and its reader in ``readers``, and enter the reader in
:data:`READERS`. What is published about a benchmark (classes, colours, ids) stands in a data file, see
:mod:`pixelherd.datasets.benchmarks.published`.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pixelherd.datasets.benchmarks.published import published
from pixelherd.datasets.classes import IGNORED, ClassInfo
from pixelherd.datasets.dataset import ARRAYS
from pixelherd.datasets.settings import DatasetSettings, read_dataset
from pixelherd.errors import UserError
from pixelherd.storage.files import digest_of
from pixelherd.storage.stores import create_chunks, writing

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from pixelherd.datasets.originals import Originals
    from pixelherd.datasets.samples import Sample

READERS = {
    "demo": "pixelherd.datasets.readers.demo",
    "camvid": "pixelherd.datasets.readers.camvid",
    "cityscapes": "pixelherd.datasets.readers.cityscapes",
    "ade_bed": "pixelherd.datasets.readers.ade_bed",
    "pascal_context": "pixelherd.datasets.readers.pascal_context",
    "folder": "pixelherd.datasets.readers.folder",
}
"""The module that reads each kind of dataset, imported when it is needed."""


def published_counts(settings: DatasetSettings) -> dict[str, int] | None:
    """Images per split that a benchmark is known to have, or that its settings tell; None for other datasets."""
    if told := getattr(settings, "images", None):
        return told.model_dump()
    if settings.kind in ("demo", "folder"):
        return None
    known = published(settings.kind).images
    return dict(known) if known else None


def classes_of(settings: DatasetSettings) -> list[ClassInfo]:
    """The classes in label order."""
    return _reader(settings).classes(settings)


def read_classes(content: dict[str, Any]) -> list[ClassInfo]:
    """Return the classes of a dataset by its settings as JSON, in label order."""
    return classes_of(read_dataset(content))


def samples_of(settings: DatasetSettings) -> "dict[str, list[Sample]]":
    """The raw images of each split with their masks, whose ids differ. Opens no image.

    Every split has some, but a user's own images need no test split.

    Raises:
        UserError: raw files are missing, or do not fit together.
    """
    found_in = _reader(settings).samples(settings)
    for split, found in found_in.items():
        if not found and not (settings.kind == "folder" and split == "test"):
            raise UserError(
                f"dataset {_place(settings)}: the {split} split has no images",
                remedy="add some or correct the settings",
            )
        seen: set[str] = set()
        for sample in found:
            if sample.id in seen:
                raise UserError(
                    f"dataset {_place(settings)}: two {split} images have the id {sample.id!r}",
                    remedy="rename or remove one",
                )
            seen.add(sample.id)
    return found_in


def prepare(
    settings: DatasetSettings,
    folder: Path | str,
    progress: bool = True,
    originals: "Originals | None" = None,
) -> None:
    """Read, resize and store a dataset in ``folder``, for :meth:`Dataset.open`.

    Images are resized by Pillow's BILINEAR, which is antialiased, and labels by NEAREST.

    Args:
        settings: of the dataset.
        folder: where it is stored.
        progress: whether a bar is shown.
        originals: the images of each split in the order to store them in, with what their files must hold; by default
            those of the reader in its order.

    Raises:
        UserError: raw files are missing, unreadable, do not fit together, or hold labels outside the classes; or a
            split has masks without a single labelled pixel.
    """
    import zarr
    from PIL import Image
    from tqdm import tqdm

    from pixelherd.datasets.readers.own import doubts

    found_in = _in_order(samples_of(settings), originals or {}, settings)
    doubts.tell(settings, found_in)
    labelled = {split: any(sample.labelled for sample in found) for split, found in found_in.items()}
    height, width = settings.size
    facts = {
        "size": [height, width],
        "splits": {
            split: {"ids": [sample.id for sample in found], "labelled": is_labelled}
            for (split, found), is_labelled in zip(found_in.items(), labelled.values(), strict=True)
        },
    }
    with writing(folder, facts) as folder:
        group = zarr.open_group(folder / ARRAYS, mode="w", zarr_format=3)
        for split, found in found_in.items():
            shapes: dict[str, tuple[int, ...]] = {"images": (height, width, 3)}
            if labelled[split]:
                shapes["labels"] = (height, width)
            arrays = {
                name: create_chunks(group, f"{split}/{name}", (len(found), *shape), "uint8")
                for name, shape in shapes.items()
            }
            any_label = not labelled[split]
            bar = tqdm(found, desc=f"prepare {split}", unit="image", disable=None if progress else True)
            for number, sample in enumerate(bar):
                image, labels = sample.load()
                arrays["images"][number] = prepared_image(image, settings, Image.Resampling.BILINEAR)
                if labels is not None:
                    fitted = prepared_image(Image.fromarray(labels), settings, Image.Resampling.NEAREST)
                    arrays["labels"][number] = fitted
                    any_label = any_label or bool((fitted != IGNORED).any())
            if not any_label:
                raise UserError(
                    f"dataset {_place(settings)}: the {split} split has no labelled pixel, all its masks are ignored",
                    remedy=(" correct the masks or the settings"),
                )
        if labelled["train"]:
            doubts.tell_unused(settings, found_in["train"], zarr.open_array(folder / ARRAYS / "train/labels", mode="r"))
        _check_unchanged(found_in, originals or {})


def _in_order(
    found_in: "dict[str, list[Sample]]", originals: "Originals", settings: DatasetSettings
) -> "dict[str, list[Sample]]":
    """Samples in the order in which the session found them, which every address depends on."""
    ordered = dict(found_in)
    for split, listed in originals.items():
        by_id = {sample.id: sample for sample in found_in[split]}
        if by_id.keys() != {each[0] for each in listed}:
            raise UserError(f"dataset {_place(settings)} is changing", remedy="wait, then run the same command again")
        ordered[split] = [by_id[each[0]] for each in listed]
    return ordered


def _check_unchanged(found_in: "dict[str, list[Sample]]", originals: "Originals") -> None:
    """Compare raw files with what the session found: they may have changed while they were read."""
    for split, listed in originals.items():
        for sample, (_, *digests) in zip(found_in[split], listed, strict=True):
            for path, digest in zip((sample.path, sample.mask), digests, strict=True):
                if path and digest_of(path) != digest:
                    raise UserError(f"{path} changed while it was prepared", remedy="run the same command again")


def write_original_labels(settings: DatasetSettings, folder: Path | str, originals: "Originals | None" = None) -> None:
    """Store the test images' labels in the resolution of their files, for :meth:`OriginalLabels.open`.

    Where preparation crops, they are cropped to the same part of the image. ``originals`` are as of :func:`prepare`.

    Raises:
        UserError: as :func:`prepare`.
    """
    from PIL import Image

    found_in = _in_order(samples_of(settings), originals or {}, settings)
    found = found_in["test"]
    with writing(folder, {"images": len(found)}) as folder:
        for number, sample in enumerate(found):
            _, labels = sample.load()
            assert labels is not None, "test images have masks, as the settings of every dataset make sure"
            Image.fromarray(_crop_original(labels, settings)).save(folder / f"{number:06}.png")
        _check_unchanged({"test": found}, {"test": originals["test"]} if originals else {})


def shown(settings: DatasetSettings, image: "Image.Image", longest: int) -> "Image.Image":
    """The part of a raw image that the prepared one shows, as detailed as its file but at most ``longest`` pixels wide
    or high."""
    import numpy as np
    from PIL import Image

    part = Image.fromarray(_crop_original(np.asarray(image), settings))
    part.thumbnail((longest, longest), Image.Resampling.BICUBIC)
    return part


def extent(settings: DatasetSettings, size: tuple[int, int]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where the prepared image lies in a file of ``size`` (width, height): x and y of its upper left corner, and width
    and height of a prepared pixel."""
    (height, width), top, left = _crop_of(settings)
    across, down = size[0] / width, size[1] / height
    return (left * across, top * down), (across, down)


def _reader(settings: DatasetSettings) -> ModuleType:
    return import_module(READERS[settings.kind])


def _place(settings: DatasetSettings) -> str:
    return getattr(settings, "root", settings.kind)


def _crop_of(settings: DatasetSettings) -> tuple[tuple[int, int], int, int]:
    """(height, width) that images are resized to, and top and left of the part of ``settings.size`` that is kept."""
    full = getattr(settings, "resize", None) or settings.size
    return tuple(full), (full[0] - settings.size[0]) // 2, (full[1] - settings.size[1]) // 2


def prepared_image(image: "Image.Image", settings: DatasetSettings, resampling: "Image.Resampling") -> "np.ndarray":
    """Resize to the size of the settings, or to the larger ``resize`` with a central crop."""
    import numpy as np

    (full_height, full_width), top, left = _crop_of(settings)
    height, width = settings.size
    resized = image.resize((full_width, full_height), resampling)
    return np.asarray(resized)[top : top + height, left : left + width]


def _crop_original(labels: "np.ndarray", settings: DatasetSettings) -> "np.ndarray":
    """The part of original labels [H, W], or of an original image [H, W, 3], that the prepared image shows."""
    (full_height, full_width), top, left = _crop_of(settings)
    vertical, horizontal = labels.shape[0] / full_height, labels.shape[1] / full_width
    rows = slice(round(top * vertical), round((top + settings.size[0]) * vertical))
    columns = slice(round(left * horizontal), round((left + settings.size[1]) * horizontal))
    return labels[rows, columns]
