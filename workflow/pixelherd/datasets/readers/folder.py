"""A user's own images: folders of images and masks with matching names, or text files that list the pairs."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from pixelherd.datasets.classes import ClassInfo, default_colour
from pixelherd.datasets.samples import IMAGE_SUFFIXES, MASK_SUFFIXES, Sample, matched, read_labels, read_pair
from pixelherd.datasets.settings import FolderSettings
from pixelherd.errors import UserError


def classes(settings: FolderSettings) -> list[ClassInfo]:
    """The classes in label order; those without a colour get one of the colour map of PASCAL VOC."""
    return [
        ClassInfo(entry.name, entry.colour or default_colour(label)) for label, entry in enumerate(settings.classes)
    ]


def samples(settings: FolderSettings) -> dict[str, list[Sample]]:
    """The samples of both splits, of which test may be empty: from folders sorted by id, from a list in its order.

    An id is the image's path without its suffix, relative to the folder of images or, from a list, to the root.

    Raises:
        UserError: a folder, list or file is missing, an image has no mask or a mask no image, names are ambiguous, or
            an image belongs to both splits.
    """
    root = Path(settings.root).expanduser()
    if not root.is_dir():
        raise UserError(f"dataset folder {root} does not exist", remedy="set `root` to the folder of your images")
    read = partial(
        read_labels,
        table=settings.label_table(),
        colours=settings.masks == "colours",
        strict=settings.unlisted == "error",
    )
    found = {}
    for split in ("train", "test"):
        images, masks, pairs = (getattr(settings, f"{split}_{part}") for part in ("images", "masks", "list"))
        if pairs is not None:
            listed = _from_list(root, pairs)
        else:
            listed = [] if images is None else _from_folders(root, images, masks)
        found[split] = [
            Sample(name, partial(read_pair, image, mask, read), labelled=mask is not None, path=image, mask=mask)
            for name, image, mask in listed
        ]
    if not all(sample.labelled for sample in found["test"]):
        raise UserError(
            f"{root / str(settings.test_list)}: test images need masks", remedy="write `image mask` in every line"
        )
    train, test = ({sample.path for sample in found[split] if sample.path} for split in ("train", "test"))
    shared = train & test
    if shared:
        raise UserError(f"{min(shared)} is both a training and a test image", remedy="take it out of one of them")
    return found


def _from_folders(root: Path, images: str, masks: str | None) -> Iterable[tuple[str, Path, Path | None]]:
    image_folder = root / images
    image_files = files_by_id(image_folder, IMAGE_SUFFIXES, "image")
    if masks is None:
        return [(name, image, None) for name, image in image_files.items()]
    mask_folder = root / masks
    mask_files = files_by_id(mask_folder, MASK_SUFFIXES, "mask")
    return matched(
        image_files,
        mask_files,
        lambda name: f"{image_folder / name} ({', '.join(IMAGE_SUFFIXES)})",
        lambda name: f"{mask_folder / name} ({', '.join(MASK_SUFFIXES)})",
    )


def files_by_id(folder: Path, suffixes: tuple[str, ...], what: str) -> dict[str, Path]:
    """Files of a folder and its subfolders by their paths without suffix, sorted.

    Raises:
        UserError: there is no such folder, or two files have the same name.
    """
    if not folder.is_dir():
        raise UserError(
            f"folder of {what}s {folder} does not exist", remedy="correct the path in the dataset's settings"
        )
    found: dict[str, Path] = {}
    for path in folder.rglob("*"):
        if path.suffix.lower() not in suffixes or path.name.startswith(".") or not path.is_file():
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise UserError(
                f"{what}s {found[name]} and {path} have the same name {name!r}", remedy="rename or remove one"
            )
        found[name] = path
    return dict(sorted(found.items()))


def _from_list(root: Path, name: str) -> Iterable[tuple[str, Path, Path | None]]:
    path = root / name
    if not path.is_file():
        raise UserError(f"list of images {path} does not exist", remedy="correct the path in the dataset's settings")
    found: list[tuple[str, Path, Path | None]] = []
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
        parts = [part.strip() for part in line.split("\t")] if "\t" in line else line.split()
        if not parts:
            continue
        if len(parts) > 2:
            raise UserError(
                f"{path}, line {number}: must hold `image mask`, found {line.strip()!r}",
                remedy=(" put a tab between them where a path holds spaces"),
            )
        image, mask = root / parts[0], root / parts[1] if len(parts) == 2 else None
        for what, file in (("image", image), ("mask", mask)):
            if file is not None and not file.is_file():
                raise UserError(
                    f"{path}, line {number}: {what} {file} does not exist", remedy="correct or remove the line"
                )
        if mask is not None and mask.suffix.lower() not in MASK_SUFFIXES:
            raise UserError(
                f"{path}, line {number}: mask {mask} must be one of {', '.join(MASK_SUFFIXES)}",
                remedy=(" convert it from the lossless original"),
            )
        if found and (mask is None) != (found[0][2] is None):
            raise UserError(
                f"{path}, line {number}: either every image of a list has a mask or none has", remedy="complete it"
            )
        found.append((Path(parts[0]).with_suffix("").as_posix(), image, mask))
    return found
