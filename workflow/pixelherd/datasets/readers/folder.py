"""A user's own images: folders of images and masks with matching names, or text files that list the pairs."""

import codecs
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from pixelherd.datasets.classes import ClassInfo, default_colour
from pixelherd.datasets.readers.own.listing import Listing, as_spelt, listing, spelt_alike
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
        UserError: a folder, list or file is missing, all images of a folder are of kinds that are not read, an image
            has no mask or a mask no image, names are ambiguous, or an image belongs to both splits.
    """
    root = Path(settings.root).expanduser()
    if not root.is_dir():
        raise UserError(f"dataset folder {root} does not exist", remedy="set `root` to the folder of your images")
    read = partial(
        read_labels,
        table=settings.label_table(),
        colours=settings.masks == "colours",
        strict=settings.unlisted == "error",
        mend=_mend(settings),
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


def listings(settings: FolderSettings) -> list[Listing]:
    """List the folders of images and of masks that the settings name.

    Raises:
        UserError: a folder is missing or holds two files of the same name.
    """
    root = Path(settings.root).expanduser()
    kinds = {"images": (IMAGE_SUFFIXES, "image"), "masks": (MASK_SUFFIXES, "mask")}
    named = [(getattr(settings, f"{split}_{part}"), kinds[part]) for split in ("train", "test") for part in kinds]
    return [listing(root / folder, *kind) for folder, kind in named if folder is not None]


def _mend(settings: FolderSettings) -> str:
    """What to do about a value, or colour, of no class."""
    if settings.masks == "colours":
        return "make it the colour of a class, add it to `ignore`, set `unlisted: ignore`, or mend the mask"
    if any(entry.values for entry in settings.classes):
        return "add it to a class or to `ignore`, or set `unlisted: ignore`, or mend the mask"
    first, last, count = settings.classes[0].name, settings.classes[-1].name, len(settings.classes)
    return (
        f"add it to a class by `values` or to `ignore`, or mend the mask (classes without `values` have 0 to "
        f"{count - 1}: masks that count from 1 need `values: 1` for {first!r} to `values: {count}` for {last!r})"
    )


def _from_folders(root: Path, images: str, masks: str | None) -> Iterable[tuple[str, Path, Path | None]]:
    of_images = listing(root / images, IMAGE_SUFFIXES, "image")
    if of_images.other_kinds and not of_images.files:
        raise UserError(
            f"folder {of_images.folder} has no images of a kind that is read ({', '.join(IMAGE_SUFFIXES)}), but "
            f"{of_images.kinds()}",
            remedy="convert them to JPEG or PNG",
        )
    if masks is None:
        return [(name, image, None) for name, image in of_images.files.items()]
    of_masks = listing(root / masks, MASK_SUFFIXES, "mask")
    return matched(
        of_images.files,
        spelt_alike(of_masks.files, of_images.files),
        partial(_place, of_images, IMAGE_SUFFIXES),
        partial(_place, of_masks, MASK_SUFFIXES),
    )


def _place(where: Listing, suffixes: tuple[str, ...], name: str) -> str:
    """Where the file of a name should be, and what is there instead."""
    return f"{where.folder / name} ({', '.join(suffixes)}){where.others_of(name)}"


def _from_list(root: Path, name: str) -> Iterable[tuple[str, Path, Path | None]]:
    path = root / name
    if not path.is_file():
        raise UserError(f"list of images {path} does not exist", remedy="correct the path in the dataset's settings")
    found: list[tuple[str, Path, Path | None]] = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        parts = [part.strip() for part in line.split("\t")] if "\t" in line else line.split()
        if not parts:
            continue
        if len(parts) > 2:
            raise UserError(
                f"{path}, line {number}: must hold `image mask`, found {line.strip()!r}",
                remedy="put a tab between them where a path holds spaces",
            )
        image, mask = as_spelt(root / parts[0]), as_spelt(root / parts[1]) if len(parts) == 2 else None
        for what, file in (("image", image), ("mask", mask)):
            if file is not None and not file.is_file():
                mend = "write / instead of \\" if "\\" in line else "correct or remove the line"
                raise UserError(f"{path}, line {number}: {what} {file} does not exist", remedy=mend)
        if mask is not None and mask.suffix.lower() not in MASK_SUFFIXES:
            raise UserError(
                f"{path}, line {number}: mask {mask} must be one of {', '.join(MASK_SUFFIXES)}",
                remedy="convert it from the lossless original",
            )
        if found and (mask is None) != (found[0][2] is None):
            raise UserError(
                f"{path}, line {number}: either every image of a list has a mask or none has", remedy="complete it"
            )
        found.append((Path(parts[0]).with_suffix("").as_posix(), image, mask))
    return found


def _text(path: Path) -> str:
    """The text of a list in UTF-8, or in UTF-16 as PowerShell writes it, without the mark that Windows begins it with.

    Raises:
        UserError: it is in another encoding.
    """
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"list {path}, line {number}: is not in UTF-8", remedy="save it as UTF-8") from None
