"""Files of a folder as people have them: those that count, and those that are left out and why."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pixelherd.errors import UserError

_CAMERA_RAW = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".raw", ".rw2")
_PHOTOS = (".avif", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpeg", ".jpg", ".jxl", ".png", ".webp")
_OTHERS = (".ai", ".bmp", ".dcm", ".eps", ".nii", ".pdf", ".pgm", ".pnm", ".ppm", ".psd", ".svg", ".tga", ".tif")
_FILMS = (".avi", ".mkv", ".mov", ".mp4")

PICTURES = frozenset([*_CAMERA_RAW, *_PHOTOS, *_OTHERS, ".tiff", ".xcf", *_FILMS])
"""Suffixes of pictures: who has such files among the images expects them to count."""

PROGRAMS = frozenset({"__macosx", "thumbs", "thumbnails", "#recycle", "$recycle.bin", "lost+found"})
"""Folders, in small letters, that programs fill with copies and thumbnails, besides those that begin with . or @."""


@dataclass
class Listing:
    """The files of a folder and its subfolders.

    Attributes:
        folder: the folder.
        files: files that count, by their paths in the folder without suffix, sorted.
        other_kinds: pictures of kinds that are not read, if no file of their name counts.
        programs: subfolders that programs fill, see :data:`PROGRAMS`; nothing in them counts.
        again: linked folders that are in the listing by another path.
        broken: links to nothing.
    """

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    other_kinds: list[Path] = field(default_factory=list)
    programs: list[Path] = field(default_factory=list)
    again: list[Path] = field(default_factory=list)
    broken: list[Path] = field(default_factory=list)

    def name_of(self, path: Path) -> str:
        """Return the path of a file in the folder without its suffix."""
        return path.relative_to(self.folder).with_suffix("").as_posix()

    def kinds(self) -> str:
        """Say which kinds are not read: ``4 .heic, 1 .pdf``; nothing where there are none."""
        counts = Counter(path.suffix.lower() for path in self.other_kinds)
        return ", ".join(f"{count} {suffix}" for suffix, count in sorted(counts.items()))

    def others_of(self, name: str) -> str:
        """Say which files of a name are not read, in brackets to end with; nothing where there are none."""
        found = [path.name for path in self.other_kinds if self.name_of(path) == name]
        return f" ({', '.join(found)} is of a kind that is not read)" if found else ""


def listing(folder: Path, suffixes: tuple[str, ...], what: str) -> Listing:
    """List a folder and its subfolders, linked ones too, each of them once.

    Args:
        folder: the folder.
        suffixes: suffixes of files that count, in small letters.
        what: what the files are, for messages.

    Raises:
        UserError: there is no such folder, or two files have the same name.
    """
    if not folder.is_dir():
        raise UserError(
            f"folder of {what}s {folder} does not exist", remedy="correct the path in the dataset's settings"
        )
    found = Listing(folder)
    for path in _walk(folder, found):
        if path.name.startswith("."):
            continue
        if path.suffix.lower() not in suffixes:
            if path.suffix.lower() in PICTURES and path.is_file():
                found.other_kinds.append(path)
        elif path.is_file():
            _enter(found, path, what)
        elif path.is_symlink():
            found.broken.append(path)
    found.files = dict(sorted(found.files.items()))
    found.other_kinds = [path for path in found.other_kinds if found.name_of(path) not in found.files]
    return found


def _enter(found: Listing, path: Path, what: str) -> None:
    name = found.name_of(path)
    if name in found.files:
        raise UserError(
            f"{what}s {found.files[name]} and {path} have the same name {name!r}", remedy="rename or remove one"
        )
    found.files[name] = path


def _walk(folder: Path, found: Listing) -> Iterator[Path]:
    """Files and broken links below a folder. Links to folders are followed last: a folder keeps its own path."""
    seen, starts = set(), [folder]
    for start in starts:  # grows
        for place, folders, files in os.walk(start, onerror=_unreadable):
            real = Path(place).resolve()
            if real in seen:
                found.again.append(Path(place))
                folders.clear()
                continue
            seen.add(real)
            inner = [Path(place, name) for name in sorted(folders)]
            found.programs += [path for path in inner if _is_of_a_program(path)]
            kept = [path for path in inner if not _is_of_a_program(path)]
            starts += [path for path in kept if path.is_symlink()]
            folders[:] = [path.name for path in kept if not path.is_symlink()]
            yield from (Path(place, name) for name in sorted(files))


def _unreadable(error: OSError) -> None:
    raise UserError(
        f"folder {error.filename} cannot be read ({error.strerror})", remedy="make it readable or remove it"
    )


def _is_of_a_program(folder: Path) -> bool:
    return folder.name.startswith((".", "@")) or folder.name.lower() in PROGRAMS


def composed(text: str) -> str:
    """Return a text with é as one character (NFC); macOS writes names with two (NFD), which look the same."""
    return unicodedata.normalize("NFC", text)


def spelt_alike(masks: Mapping[str, Path], images: Iterable[str]) -> dict[str, Path]:
    """Return the masks with the names of their images, where both differ in their Unicode form alone."""
    images = list(images)
    spelling = {composed(name): name for name in images if name not in masks}
    known = set(images)
    return {name if name in known else spelling.get(composed(name), name): path for name, path in masks.items()}


def as_spelt(path: Path) -> Path:
    """Return a path as its folders spell it, where that differs in its Unicode form alone; otherwise the path."""
    if path.exists() or path == path.parent:
        return path
    folder = as_spelt(path.parent)
    if folder.is_dir():
        for name in sorted(os.listdir(folder)):
            if composed(name) == composed(path.name):
                return folder / name
    return path
