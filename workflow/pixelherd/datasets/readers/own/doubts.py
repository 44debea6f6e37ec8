"""What makes one doubt a user's own images though each file can be read: seen in all of them together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pixelherd.datasets.classes import Colour
from pixelherd.datasets.readers.folder import listings
from pixelherd.datasets.readers.own.census import Census, few
from pixelherd.datasets.samples import UNREADABLE, Sample, counted, opened, orientation, read_values
from pixelherd.datasets.settings import DatasetSettings, FolderSettings
from pixelherd.errors import UserError, say

if TYPE_CHECKING:
    import zarr


@dataclass(frozen=True)
class Doubt:
    """What may be a mistake.

    Attributes:
        aspect: what it is about, in a word.
        detail: what was found.
        mend: what to do if it is a mistake; empty where it hardly is one.
    """

    aspect: str
    detail: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.detail}; {self.mend}" if self.mend else self.detail


def tell(settings: DatasetSettings, found_in: Mapping[str, Sequence[Sample]]) -> None:
    """Tell what makes one doubt a user's own images, before they are read.

    Raises:
        UserError: as :func:`check_palettes`.
    """
    if isinstance(settings, FolderSettings):
        samples = [sample for found in found_in.values() for sample in found]
        for each in [*left_out(settings), *turned(samples)]:
            if each.mend:
                say(f"dataset {settings.root}: {each}")
        check_palettes(settings, samples)


def tell_unused(settings: DatasetSettings, train: Iterable[Sample], labels: "zarr.Array") -> None:
    """Tell which classes have no pixel in a user's own training images.

    Args:
        settings: the dataset's settings.
        train: the training images.
        labels: their prepared labels [N, H, W].

    Raises:
        UserError: as :func:`unused`.
    """
    if isinstance(settings, FolderSettings):
        found: Counter[int] = Counter()
        for number in range(labels.shape[0]):
            found.update(counted(np.asarray(labels[number]), colours=False))
        for each in unused(settings, train, found):
            say(f"dataset {settings.root}: {each}")


def left_out(settings: FolderSettings) -> list[Doubt]:
    """Find files and folders that do not count though somebody put them there."""
    doubts = []
    for each in listings(settings):
        reasons = [
            (each.kinds(), "files of kinds that are not read", "convert them to PNG or JPEG"),
            (few(each.broken), "links to nothing", "mend or remove them"),
            (few(each.again), "linked folders that count by another path", ""),
            (few(each.programs), "folders that programs fill", ""),
        ]
        doubts += [
            Doubt("files", f"{each.folder}: left out are {what} ({which})", mend)
            for which, what, mend in reasons
            if which
        ]
    return doubts


def turned(samples: Iterable[Sample]) -> list[Doubt]:
    """Find images that their EXIF orientation turns, where nothing tells whether their masks are turned, too.

    A mask of the image as it is shown and one of the image as it is stored have the same size if the image is turned
    upside down or mirrored, or is square.
    """
    found = [
        sample.path for sample in samples if sample.mask and sample.path and _may_be_turned(sample.path, sample.mask)
    ]
    if not found:
        return []
    many = "images are turned by their EXIF orientation, their masks are not"
    one = "image is turned by its EXIF orientation, its mask is not"
    detail = f"{len(found)} {many if len(found) > 1 else one} ({few(found)})"
    return [Doubt("orientation", detail, "look whether these masks fit the images as they are shown")]


def _may_be_turned(image: Path, mask: Path) -> bool:
    how = orientation(image)
    if how == 1 or orientation(mask) == how:
        return False
    with opened(image) as stored:
        return how < 5 or stored.width == stored.height


def check_palettes(settings: FolderSettings, samples: Iterable[Sample]) -> None:
    """Check that masks with palettes number their colours alike, if their numbers count.

    Raises:
        UserError: two masks have the same colour in use at different positions of their palettes.
    """
    if settings.masks == "colours":
        return
    masks = (sample.mask for sample in samples)
    palettes = {path: palette for path in masks if path and (palette := _palette(path))}
    if len(set(palettes.values())) < 2:
        return
    known: dict[Colour, tuple[int, Path]] = {}
    for path, palette in palettes.items():
        for colour, index in _numbered(palette, counted(read_values(path, False), False)).items():
            other, first = known.setdefault(colour, (index, path))
            if other != index:
                raise UserError(
                    f"masks {first} and {path} have palettes that contradict each other: {list(colour)} is value "
                    f"{other} in one and {index} in the other",
                    remedy="set `masks: colours` and give each class its `colour`, or save the masks without palettes",
                )


def _palette(path: Path) -> tuple[Colour, ...]:
    """The colours of a mask's palette; none where it has none or cannot be read. Decodes no pixel."""
    try:
        with opened(path) as image:
            if image.mode != "P":
                return ()
            values = iter(image.getpalette("RGB") or [])
            return tuple(zip(values, values, values, strict=True))
    except UNREADABLE:
        return ()


def _numbered(palette: Sequence[Colour], used: Iterable[int]) -> dict[Colour, int]:
    """Position of each colour in use, without colours at several of them, which tell nothing."""
    places = [(palette[index], index) for index in used if index < len(palette)]
    times = Counter(colour for colour, _ in places)
    return {colour: index for colour, index in places if times[colour] == 1}


def unused(settings: FolderSettings, train: Iterable[Sample], pixels: Mapping[int, int]) -> list[Doubt]:
    """Find classes without a pixel in the training masks, and whether their pixels seem to have another value.

    Args:
        settings: the dataset's settings.
        train: training images; their masks are read if a class has no pixel.
        pixels: by label, how many pixels were found.

    Raises:
        UserError: the masks seem to count from 1, or one class alone has pixels, beside a value that none has.
    """
    missing = [label for label in range(len(settings.classes)) if not pixels.get(label)]
    if not missing:
        return []
    census = Census.of(settings, [sample.mask for sample in train if sample.mask])
    census.check_counted_from_one()
    census.check_one_class()
    lost = [label for label in missing if census.labels[label]]
    never = [label for label in missing if not census.labels[label]]
    doubts = []
    if never:
        detail = f"{census.none_of(never)}{census.strangers_told()}"
        doubts.append(Doubt("classes", detail, "look whether `classes` names the values of the masks"))
    if lost:
        height, width = settings.size
        detail = f"{census.none_of(lost)} once they have {width}x{height} pixels, though the files have some"
        doubts.append(Doubt("classes", detail, "set a larger `size`"))
    return doubts
