"""Masks of a folder of images, in files; what is there already is kept."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pixelherd.datasets.readers.own.listing import listing
from pixelherd.datasets.samples import IMAGE_SUFFIXES, read_image
from pixelherd.errors import UserError
from pixelherd.results.prediction.predictor import Predictor
from pixelherd.storage.files import digest_of, digest_of_text, write_bytes, write_csv

STAMP = "pixelherd"
"""Key of the text in a mask's PNG that says what it was made of."""

OPACITY = 0.5
"""Of the class colours over an image."""


def predict_folder(
    predictor: Predictor,
    images: dict[str, Path],
    folder: Path | str,
    *,
    confidence: bool = False,
    progress: Callable[[], object] = lambda: None,
) -> int:
    """Write masks of many images; what is there already, made from the same image by the same head, is kept.

    ``masks/{name}.png`` holds the class of every pixel, with the class colours as its palette; ``overlays/{name}.jpg``
    the image under these colours; ``confidence/{name}.png`` the probability of the predicted class, 255 for 1;
    ``classes.csv`` what the numbers mean.

    Args:
        predictor: head and features.
        images: files by name.
        folder: where to write.
        confidence: whether to write confidence maps.
        progress: called after each image.

    Returns:
        how many images were predicted, not kept.

    Raises:
        UserError: images are unreadable; all others are done.
    """
    folder, made, unreadable = Path(folder), 0, []
    rows = [(label, each.name, *each.colour) for label, each in enumerate(predictor.classes)]
    write_csv(folder / "classes.csv", ("label", "name", "red", "green", "blue"), rows)
    for name, path in images.items():
        stamp = digest_of_text(json.dumps([predictor.digest, digest_of(path)]))
        mask, overlay = folder / "masks" / f"{name}.png", folder / "overlays" / f"{name}.jpg"
        sure = folder / "confidence" / f"{name}.png"
        files = [mask, overlay, sure] if confidence else [mask, overlay]
        # an overlay is never without its mask, which goes first and comes last; a confidence map may be of another head
        if not all(file.is_file() for file in files) or any(stamp_of(file) != stamp for file in files[::2]):
            try:
                image = read_image(path)
            except UserError as error:
                unreadable.append(str(error))
            else:
                for old in (mask, sure):
                    old.unlink(missing_ok=True)
                _write(predictor, image, stamp, files)
                made += 1
        progress()
    if unreadable:
        raise UserError(f"{len(unreadable)} of {len(images)} images have no mask: {'; '.join(unreadable)}")
    return made


def new_images(folder: Path | str, written: Path | str) -> dict[str, Path]:
    """The images of a folder and its subfolders, by their paths without suffix.

    Args:
        folder: the images.
        written: where masks shall be written.

    Raises:
        UserError: there is no such folder, no image in it, or what is written would count as new images.
    """
    folder, written = Path(folder), Path(written)
    if written.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"predict.folder: {written} is in the folder of images {folder}, so masks would be taken for images next "
            "time",
            remedy="name a folder outside",
        )
    found = listing(folder, IMAGE_SUFFIXES, "image")
    if not found.files:
        others = f" of a kind that is read, but {found.kinds()}" if found.other_kinds else ""
        raise UserError(f"predict.images: there are no images in {folder}{others}", remedy="name another folder")
    return found.files


def stamp_of(written: Path) -> str | None:
    """What a mask or confidence map says that it was made of; None for a file that is not ours, or is damaged."""
    try:
        with Image.open(written) as image:
            return image.info.get(STAMP)
    except (OSError, SyntaxError, ValueError):
        return None


def _write(predictor: Predictor, image: Image.Image, stamp: str, files: Sequence[Path]) -> None:
    """The files of one image, the mask, which says that they are complete, last."""
    best, labels = (each.cpu().numpy() for each in predictor.probabilities(image).max(0))
    colours = np.array([each.colour for each in predictor.classes], np.uint8)
    text = PngInfo()
    text.add_text(STAMP, stamp)
    if len(files) > 2:
        _save(Image.fromarray(np.round(255 * best).astype(np.uint8)), files[2], "PNG", pnginfo=text)
    painted = OPACITY * colours[labels] + (1 - OPACITY) * np.asarray(image)
    _save(Image.fromarray(np.round(painted).astype(np.uint8)), files[1], "JPEG", quality=90)
    mask = Image.fromarray(labels.astype(np.uint8))
    mask.putpalette(colours.ravel().tolist())
    _save(mask, files[0], "PNG", pnginfo=text)


def _save(image: Image.Image, path: Path, kind: str, **options: Any) -> None:
    content = io.BytesIO()
    image.save(content, kind, **options)
    write_bytes(path, content.getvalue())
