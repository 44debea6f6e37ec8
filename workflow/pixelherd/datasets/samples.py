"""Raw images and masks: what a reader lists without opening a file, and how the files are then read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pixelherd.datasets.classes import IGNORED, Colour
from pixelherd.errors import UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".npy")

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Sample:
    """A raw image, and its mask where there is one.

    Attributes:
        id: its name, which no other image of the split has.
        load: gives the image in RGB, and its labels [H, W] uint8 or None, both in their original size.
        labelled: whether ``load`` gives labels.
        path: the image's file, if it has one.
        mask: the file of its mask, if it has one.
    """

    id: str
    load: Callable[[], tuple[Image.Image, np.ndarray | None]]
    labelled: bool = True
    path: Path | None = None
    mask: Path | None = None


def matched(
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    image_of: Callable[[str], object],
    mask_of: Callable[[str], object],
) -> list[tuple[str, Path, Path]]:
    """Name, image and mask of everything that has both, in the order of the images.

    Args:
        images: image files by name.
        masks: mask files by name.
        image_of: where the image of a name should be, for messages.
        mask_of: where its mask should be.

    Raises:
        UserError: an image has no mask, or a mask no image.
    """
    for name, image in images.items():
        if name not in masks:
            raise UserError(f"image {image} has no mask {mask_of(name)}", remedy="add it or remove the image")
    for name, mask in masks.items():
        if name not in images:
            raise UserError(f"mask {mask} has no image {image_of(name)}", remedy="add it or remove the mask")
    return [(name, image, masks[name]) for name, image in images.items()]


def place(folder: Path, suffix: str, name: str) -> str:
    """Return where the file of a name should be, for :func:`matched`."""
    return f"{folder / name}{suffix}"


def read_pair(
    image: Path, mask: Path | None, read_mask: Callable[[Path], np.ndarray]
) -> tuple[Image.Image, np.ndarray | None]:
    """An image and the labels that ``read_mask`` finds in its mask, if it has one.

    Raises:
        UserError: one of them is unreadable, or their sizes differ.
    """
    pixels = read_image(image)
    if mask is None:
        return pixels, None
    labels = read_mask(mask)
    if labels.shape != (pixels.height, pixels.width):
        height, width = labels.shape
        raise UserError(
            f"image {image} is {pixels.width}x{pixels.height} but its mask {mask} is {width}x{height} (width x height)",
            remedy=(" replace the one that is wrong"),
        )
    return pixels, labels


def read_image(path: Path) -> Image.Image:
    """An image file in RGB, upright as its EXIF orientation says.

    Raises:
        UserError: the file is unreadable or truncated, or has more than 8 bits per channel.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            upright.load()
    except UNREADABLE as error:
        raise unreadable("image", path, error) from None
    if upright.mode.startswith(("I", "F")):
        raise UserError(
            f"image {path} has more than 8 bits per channel (mode {upright.mode})", remedy="convert it to 8-bit RGB"
        )
    return upright.convert("RGB")


def read_labels(
    path: Path,
    table: Mapping[int, int] | Mapping[int | Colour, int],
    *,
    colours: bool = False,
    strict: bool = True,
    read: Callable[[Path], np.ndarray] | None = None,
    mend: str = "add it to a class or to `ignore`, or set `unlisted: ignore`, or mend the mask",
) -> np.ndarray:
    """A mask file as labels.

    Args:
        path: image file, or ``.npy`` array [H, W] of integers.
        table: label of every pixel value, or of every RGB colour.
        colours: whether the keys of ``table`` are colours.
        strict: whether a value that ``table`` lacks is an error; otherwise it gives 255.
        read: gives the values [H, W] of a file of another kind.
        mend: what the user can do about a value that ``table`` lacks.

    Returns:
        The labels [H, W] uint8.

    Raises:
        UserError: the file is unreadable, has values where colours are due or the reverse, or holds an unlisted value.
    """
    keys, values = zip(*sorted(table.items()), strict=True)
    mask = read(path).astype(np.int64) if read else _read_mask(path, colours)
    if colours:
        codes = np.array([_code(np.array(key)) for key in keys])
        mask = _code(mask)
    else:
        codes = np.array(keys)
    place = np.searchsorted(codes, mask).clip(max=len(codes) - 1)
    unlisted = codes[place] != mask
    if strict and unlisted.any():
        row, column = np.argwhere(unlisted)[0]
        value = int(mask[row, column])
        found = f"colour {[value >> 16, value >> 8 & 255, value & 255]}" if colours else f"value {value}"
        raise UserError(
            f"mask {path} holds {found} (row {row}, column {column}), which belongs to no class", remedy=mend
        )
    labels = np.array(values, np.uint8)[place]
    labels[unlisted] = IGNORED
    return labels


def _read_mask(path: Path, colours: bool) -> np.ndarray:
    """Values [H, W] or colours [H, W, 3] of a mask file, as int64."""
    try:
        if path.suffix.lower() == ".npy":
            mask, mode = np.load(path, allow_pickle=False), "array"
        else:
            with Image.open(path) as image:
                mode = image.mode
                mask = np.asarray(image.convert("RGB") if colours else image)
    except UNREADABLE as error:
        raise unreadable("mask", path, error) from None
    if not colours and mask.ndim == 3 and mode == "RGB" and (mask == mask[:, :, :1]).all():
        mask = mask[:, :, 0]  # grey, saved as RGB
    if mask.ndim != (3 if colours else 2) or mask.dtype.kind not in "uib" or (colours and mask.shape[2] != 3):
        wanted = (
            "a colour per pixel" if colours else "one whole number per pixel; if it holds colours set `masks: colours`"
        )
        raise UserError(f"mask {path} (mode {mode}, shape {list(mask.shape)}) must hold {wanted}")
    return mask.astype(np.int64)


def _code(colours: np.ndarray) -> np.ndarray:
    """RGB colours [..., 3] as single numbers [...]."""
    return colours @ np.array([1 << 16, 1 << 8, 1])


def unreadable(what: str, path: Path, error: Exception) -> UserError:
    """The mistake behind ``error``, which reading an image or a mask raised."""
    if isinstance(error, FileNotFoundError):
        return UserError(f"{what} {path} does not exist", remedy="put it there or remove it from the list")
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(
        f"{what} {path} is unreadable or truncated ({reason})", remedy="replace it or remove it from the dataset"
    )
