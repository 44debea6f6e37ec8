"""Raw images and masks: what a reader lists without opening a file, and how the files are then read."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from pixelherd.datasets.classes import IGNORED, Colour
from pixelherd.errors import UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".npy")

LOSSY = ("JPEG", "MPO")
"""Formats, as Pillow names them, in which no mask survives, whatever its suffix."""

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)

LARGEST = 2**29
"""Pixels of the largest image that is read. Pillow fears bombs from a third of it, but cameras have 200 megapixels."""

BAND = 2**22
"""Pixels of a mask that are turned into labels at once, so that a large one takes little memory."""


@dataclass(frozen=True)
class Sample:
    """A raw image, and its mask where there is one.

    Attributes:
        id: its name, which no other image of the split has.
        load: gives the image in RGB, and its labels [H, W] uint8 or None, both in their original size.
        labelled: whether ``load`` gives labels.
        path: the image's file, if it has one.
        mask: the mask's file, where a file of its own holds it.
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
        problem = f"image {image} is {pixels.width}x{pixels.height}"
        turned = orientation(image) > 1 and (height, width) == pixels.size
        raise UserError(
            f"{problem}{' as its EXIF orientation turns it' if turned else ''} but its mask {mask} is {width}x{height}"
            " (width x height)",
            remedy="turn the mask as the image is shown" if turned else "replace the one that is wrong",
        )
    return pixels, labels


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture, which may be larger than Pillow allows by itself.

    Raises:
        UserError: it has more than :data:`LARGEST` pixels.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(path) as image:
            if image.width * image.height > LARGEST:
                raise UserError(
                    f"{path} has {image.width * image.height / 1e6:,.0f} megapixels, more than the "
                    f"{LARGEST // 10**6} that are read",
                    remedy="cut it into tiles or make it smaller",
                )
            if image.format == "TIFF":
                image.filename = ""  # Pillow would map the file into memory, and garble it where EXIF turns it
            yield image
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def orientation(path: Path) -> int:
    """EXIF orientation of a picture, 1 to 8; 1, upright, where it has none or cannot be read. Decodes no pixel."""
    try:
        with opened(path) as image:
            # getexif would decode a whole PNG in search of it
            has_none = image.format == "PNG" and "exif" not in image.info
            found = 1 if has_none else image.getexif().get(ExifTags.Base.Orientation, 1)
    except (*UNREADABLE, UserError):
        return 1
    return found if found in range(1, 9) else 1


def read_image(path: Path) -> Image.Image:
    """An image file in RGB, upright as its EXIF orientation says.

    Raises:
        UserError: the file is unreadable, truncated or too large, or has more than 8 bits per channel.
    """
    try:
        with opened(path) as image:
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode.startswith(("I", "F")):
                raise UserError(
                    f"image {path} has more than 8 bits per channel (mode {image.mode})",
                    remedy="convert it to 8-bit RGB",
                )
            return image.convert("RGB")
    except UNREADABLE as error:
        raise unreadable("image", path, error) from None


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
    keys, values = (np.array(each) for each in zip(*sorted(table.items()), strict=True))
    codes = _code(keys) if colours else keys
    mask = read(path) if read else read_values(path, colours)
    labels = np.empty(mask.shape[:2], np.uint8)
    rows = max(1, BAND // max(1, mask.shape[1]))
    for first in range(0, len(mask), rows):
        band = mask[first : first + rows].astype(np.int64)
        band = _code(band) if colours else band
        place = np.searchsorted(codes, band).clip(max=len(codes) - 1)
        unlisted = codes[place] != band
        if strict and unlisted.any():
            row, column = np.argwhere(unlisted)[0]
            raise UserError(
                f"mask {path} holds {value_name(int(band[row, column]), colours)} (row {first + row}, column {column}),"
                " which belongs to no class",
                remedy=mend,
            )
        labels[first : first + rows] = np.where(unlisted, IGNORED, values[place])
    return labels


def read_values(path: Path, colours: bool) -> np.ndarray:
    """Values [H, W] or colours [H, W, 3] of a mask file, upright as its EXIF orientation says.

    Raises:
        UserError: the file is unreadable or too large, has values where colours are due or the reverse, or was stored
            with loss.
    """
    try:
        if path.suffix.lower() == ".npy":
            mask, mode = np.load(path, allow_pickle=False), "array"
        else:
            with opened(path) as image:
                if image.format in LOSSY:
                    raise UserError(
                        f"mask {path} is a {image.format} inside, which changes values",
                        remedy="convert it from the lossless original",
                    )
                ImageOps.exif_transpose(image, in_place=True)
                mode = image.mode
                mask = np.asarray(image.convert("RGB") if colours else image)
    except UNREADABLE as error:
        raise unreadable("mask", path, error) from None
    if not colours:
        mask = _grey(mask, mode)
    if mask.ndim != (3 if colours else 2) or mask.dtype.kind not in "uib" or (colours and mask.shape[2] != 3):
        wanted = (
            "a colour per pixel"
            if colours
            else "one whole number per pixel, none of them transparent; if it holds colours set `masks: colours`"
        )
        raise UserError(f"mask {path} (mode {mode}, shape {list(mask.shape)}) must hold {wanted}")
    return mask


def counted(mask: np.ndarray, colours: bool) -> dict[int, int]:
    """Pixels of each value of a mask, or of each colour by its single number (see :func:`value_name`)."""
    found, pixels = np.unique(_code(mask.astype(np.int64)) if colours else mask, return_counts=True)
    return dict(zip(found.tolist(), pixels.tolist(), strict=True))


def value_name(code: int, colours: bool) -> str:
    """What messages call a value, or a colour given as a single number."""
    return f"colour {[code >> 16, code >> 8 & 255, code & 255]}" if colours else f"value {code}"


def _grey(mask: np.ndarray, mode: str) -> np.ndarray:
    """Values [H, W] of a grey mask that was saved as RGB or with an opaque alpha channel; any other as it is."""
    if mask.ndim != 3 or mode not in ("RGB", "RGBA", "LA"):
        return mask
    opaque = mode == "RGB" or (mask[:, :, -1] == 255).all()
    shades = mask[:, :, : 1 if mode == "LA" else 3]
    return shades[:, :, 0] if opaque and (shades == shades[:, :, :1]).all() else mask


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
