"""What a study's folders hold: whether all of it is as it was written, and what of the cache nothing uses any more."""

import os
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from pixelherd.errors import UserError
from pixelherd.pipeline import seals
from pixelherd.storage.files import digest_of
from pixelherd.storage.records import check_digests, read_record
from pixelherd.storage.stores import MANIFEST, check, load_arrays, read_manifest
from pixelherd.study.addresses import LENGTH
from pixelherd.study.paths import SEAL

ADDRESSED = re.compile(rf".*-([0-9a-f]{{{LENGTH}}})")


def stores(cache: Path) -> list[Path]:
    """Return the folders of the cache that have a manifest, and its files of arrays and records, sorted."""
    found = []
    for folder, below, files in os.walk(cache):
        if MANIFEST in files:
            found.append(Path(folder))
            below.clear()
        else:
            found += [Path(folder) / name for name in files if name.endswith((".json", ".npz"))]
    return sorted(found)


def damages(cache: Path, runs: Collection[Path], progress: Callable[[], object] = lambda: None) -> Iterator[UserError]:
    """Compare all of a cache, and all files of runs, with what was written; yields what is not so.

    Args:
        cache: folder of the cache.
        runs: folders of runs.
        progress: called after each store and run.
    """
    for checked, where in [(_check_store, stores(cache)), (_check_run, sorted(runs))]:
        for path in where:
            try:
                checked(path)
            except UserError as error:
                yield error
            progress()


def _check_store(path: Path) -> None:
    if path.is_dir():
        for name in read_manifest(path).get("files", {}):
            if (path / name).is_file() and name != MANIFEST:
                check(path, name)
    elif path.suffix == ".npz" and "confusions" not in path.parts:  # damaged counts are computed again
        load_arrays(path)
    elif path.suffix == ".json":
        read_record(path)


def _check_run(folder: Path) -> None:
    sealed = seals.read_seal(folder)
    if sealed is None:
        if (folder / SEAL).is_file():
            raise UserError(f"{folder / SEAL} is damaged", remedy="delete it and run the same command again")
        for record in sorted(folder.glob("round-*/*.json")):
            check_digests(record)
        return
    for name, digest in sealed["files"].items():
        path = folder / name
        if path.is_file() and digest_of(path) != digest:
            raise UserError(
                f"{path} has changed since the run was finished",
                remedy=f"put back the file of then, or delete {folder / SEAL} and run the study again",
            )


def unused(cache: Path, used: Collection[Path], addresses: Collection[str]) -> dict[Path, int]:
    """Return what nothing uses of a cache, with its bytes.

    Args:
        cache: folder of the cache.
        used: folders and files that are used.
        addresses: of runs, whose rounds leave things for each other.
    """
    found = {}
    for folder, below, files in os.walk(cache):
        here = Path(folder)
        for name in [*below]:
            path = here / name
            if path in used or _address(name) in addresses:
                below.remove(name)
            elif _address(name) or (path / MANIFEST).is_file():
                below.remove(name)
                found[path] = sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
        for name in files:
            path = here / name
            if path not in used and _address(path.stem.removesuffix("-sampled")) not in addresses:
                found[path] = path.stat().st_size
    return dict(sorted(found.items()))


def _address(name: str) -> str | None:
    match = ADDRESSED.fullmatch(name)
    return match and match[1]
