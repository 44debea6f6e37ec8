"""The raw files of a dataset as they are now: everything that is made of them is named by their content.

Whoever replaces a photograph, mends a mask or adds images so gets what the new files give, and what does not depend on
them stays. Files are read once for their digests, which are remembered as long as size and times of a file stay.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pixelherd.datasets.prepare import published_counts, samples_of
from pixelherd.datasets.settings import DatasetSettings
from pixelherd.errors import UserError
from pixelherd.storage.files import digest_of, hash_of
from pixelherd.storage.records import is_sound, read_record, write_record

DRAWN, ABSENT, NO_MASK = "drawn", "absent", ""
"""Instead of a digest: of an image that is no file, of a file that is not here yet, and of none."""


class Original(NamedTuple):
    """A raw image by its name, with the SHA-256 of its file and of its mask's."""

    id: str
    image: str
    mask: str


Originals = dict[str, list[Original]]
"""The raw images of each split, in order."""


class Digests:
    """SHA-256 of files, remembered in a record as long as size and times of a file stay.

    Args:
        record: where they are remembered.
    """

    def __init__(self, record: Path) -> None:
        self._record = record
        self._known: dict[str, list[Any]] = read_record(record)["files"] if is_sound(record) else {}

    def of(self, paths: Iterable[Path], subject: str) -> dict[Path, str]:
        """Return the digests of files, of which those that are new or changed are read.

        Args:
            paths: the files.
            subject: what they are of, to be shown as long as it takes.

        Raises:
            UserError: one of them cannot be read.
        """
        from tqdm import tqdm

        states = {path: self._known_state(path) or _state(path) for path in paths}
        new = [path for path, state in states.items() if self._known.get(str(path.absolute()), [])[:3] != state]
        with ThreadPoolExecutor() as pool:
            bar = tqdm(pool.map(_digest, new), f"read {subject}", len(new), unit="file", disable=None, delay=1)
            for path, digest in zip(new, bar, strict=True):
                self._known[str(path.absolute())] = [*states[path], digest]
        if new:
            with suppress(OSError):  # a folder that is read only: nothing will be made, and nothing is remembered
                write_record(self._record, {"files": self._known})
        return {path: self._known[str(path.absolute())][3] for path in states}

    def below(self, folder: Path) -> list[Path]:
        """Return the files of a folder and its subfolders, or a file itself; of what is gone, those that there were."""
        if folder.is_dir():
            return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        if folder.is_file() or str(folder.absolute()) in self._known:
            return [folder]
        return [path for path in map(Path, self._known) if path.is_relative_to(folder.absolute())]

    def _known_state(self, path: Path) -> list[int] | None:
        """The last state of a file that is gone; what was made of it lies in the cache, and needs it no more."""
        known = self._known.get(str(path.absolute()))
        return known[:3] if known and not path.exists() else None


def _state(path: Path) -> list[int]:
    try:
        state = os.stat(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror})", remedy="put it there, or mend its rights"
        ) from None
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns]


def _digest(path: Path) -> str:
    try:
        return digest_of(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})", remedy="mend its rights, or replace it") from None


def look(settings: DatasetSettings, record: Path, digests: Digests) -> tuple[Originals, list[str]]:
    """Find the raw images of a dataset, for :func:`remember`.

    Images that were added come after those that were there, so that these keep their places. Where there are no raw
    files, those are taken that were there before, or else so many unknown ones as the benchmark is known to have.

    Returns:
        the images, and what has changed since the last look, in words.

    Raises:
        UserError: raw files are missing, cannot be read, or do not fit together.
    """
    before = remembered(settings, record)
    if not _is_here(settings):
        found = before or _published(settings)
        if found:
            return found, []
    samples = samples_of(settings)
    files = [path for found in samples.values() for each in found for path in (each.path, each.mask) if path]
    known_digests = digests.of(files, getattr(settings, "root", settings.kind))
    found = {
        split: [
            Original(
                each.id,
                known_digests[each.path] if each.path else DRAWN,
                known_digests[each.mask] if each.mask else DRAWN if each.labelled else NO_MASK,
            )
            for each in listed
        ]
        for split, listed in samples.items()
    }
    if settings.kind == "folder":
        found = {split: _in_order(listed, before.get(split, [])) for split, listed in found.items()}
    return found, _changes(before, found)


def remember(settings: DatasetSettings, record: Path, found: Originals) -> None:
    """Remember what :func:`look` found, if it was there; a folder that is read only remembers nothing."""
    if any(each.image == ABSENT for listed in found.values() for each in listed):
        return
    with suppress(OSError):
        write_record(record, {"files": hash_of(settings.files()), "splits": found})


def counts(settings: DatasetSettings, record: Path) -> tuple[dict[str, int], bool]:
    """Return the number of images of each split, and whether training images have masks; reads and writes no file.

    Raises:
        UserError: raw files are missing, or do not fit together.
    """
    found = {} if _is_here(settings) else remembered(settings, record) or _published(settings)
    if found:
        return {split: len(listed) for split, listed in found.items()}, any(each.mask for each in found["train"])
    samples = samples_of(settings)
    return {split: len(each) for split, each in samples.items()}, any(each.labelled for each in samples["train"])


def _is_here(settings: DatasetSettings) -> bool:
    root = getattr(settings, "root", None)
    return root is None or Path(root).expanduser().exists()


def _published(settings: DatasetSettings) -> Originals:
    """So many unknown images as a benchmark is known to have."""
    known = published_counts(settings) or {}
    return {split: [Original(str(number), ABSENT, ABSENT) for number in range(count)] for split, count in known.items()}


def remembered(settings: DatasetSettings, record: Path) -> Originals:
    """Return what was remembered last of the same files; nothing where there is nothing."""
    if not is_sound(record):
        return {}
    content = read_record(record)
    if content.get("files") != hash_of(settings.files()):
        return {}
    return {split: [Original(*each) for each in listed] for split, listed in content["splits"].items()}


def _in_order(found: list[Original], before: list[Original]) -> list[Original]:
    places = {original.id: place for place, original in enumerate(before)}
    return sorted(found, key=lambda original: places.get(original.id, len(places)))  # sorting is stable


def _changes(before: Originals, now: Originals) -> list[str]:
    """Return what is different, a phrase for each kind of change; nothing at the first look."""
    changes = []
    for split in before:
        old, new = ({each.id: each for each in found.get(split, [])} for found in (before, now))
        both = old.keys() & new.keys()
        kinds = {
            "replaced": [name for name in both if old[name].image != new[name].image],
            "with another mask": [name for name in both if old[name].mask != new[name].mask],
            "added": new.keys() - old.keys(),
            "gone": old.keys() - new.keys(),
        }
        for kind, names in kinds.items():
            if names:
                shown = ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
                changes.append(f"{len(names)} {split} image{'s' if len(names) > 1 else ''} {kind} ({shown})")
    return changes
