"""What a study's folders hold: whether all of it is as it was written, and what of the cache nothing uses any more."""

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from pixelherd.errors import UserError, suppressed
from pixelherd.features.backbones import manifest as backbones
from pixelherd.pipeline import seals
from pixelherd.storage.files import digest_of
from pixelherd.storage.records import check_digests, digests_in, read_record
from pixelherd.storage.stores import MANIFEST, PART, check, load_arrays, read_manifest
from pixelherd.study.addresses import LENGTH
from pixelherd.study.paths import BEGUN, KINDS, SEAL, Paths
from pixelherd.study.run import Run

ENDS_IN_ADDRESS = re.compile(rf".*-([0-9a-f]{{{LENGTH}}})")
ADDRESSED = re.compile(rf"(\d+-\d+|union-\d+|pictures|round-\d+)-[0-9a-f]{{{LENGTH}}}")
"""Folders of stores that may lack their manifest, and folders of a round."""

ENDINGS = (".json", ".npz", ".checkpoint")


def drop_incomplete(indices: Mapping[str, Iterable[str]]) -> None:
    """Delete indices of shards that are gone: Snakemake does not remake a shard behind an index that exists."""
    for index, shards in indices.items():
        if not all(Path(shard).is_file() for shard in shards):
            Path(index).unlink(missing_ok=True)


def remove(paths: Iterable[Path]) -> None:
    """Remove folders and files; those that are gone already are no matter."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def stores(cache: Path) -> list[Path]:
    """Return the folders of the cache that have a manifest, and its files of arrays and records, sorted."""
    found = []
    for folder, below, files in os.walk(cache):
        if MANIFEST in files:
            found.append(Path(folder))
            below.clear()
        else:
            found += [Path(folder) / name for name in below if name.endswith(PART)]
            below[:] = [name for name in below if not name.endswith(PART)]
            below[:] = [name for name in below if f"{name}.json" not in files]  # of a backbone
            found += [Path(folder) / name for name in files if name.endswith((".json", ".npz"))]
    return sorted(found)


def damages(paths: Paths, runs: Collection[Run], progress: Callable[[], object] = lambda: None) -> Iterator[UserError]:
    """Compare all of a study's cache and results with what was written; yields what is not so.

    Args:
        paths: of the study.
        runs: its runs.
        progress: called after each store.
    """
    for path in stores(Path(paths.cache)):
        with suppressed() as found:
            if not path.name.endswith(PART):  # nobody reads what a killed job has left
                _check_store(path)
        yield from found
        progress()
    yield from changed_results(paths, runs, everything=True)


def changed_results(paths: Paths, runs: Collection[Run], *, everything: bool = False) -> list[UserError]:
    """Return what has changed of the tables of runs, and of what was made of them, since pixelherd wrote it.

    Args:
        paths: of the study.
        runs: its runs.
        everything: whether heads and thumbnails are compared too, which make up almost all bytes.
    """
    found = []
    for run in runs:
        found += _changes_of(paths.run_folder(run), everything)
        with suppressed() as wrong:
            if (note := paths.run_folder(run) / BEGUN).is_file():
                read_record(note, run.path)
        found += wrong
    for record in map(Path, (paths.tables_digests, paths.report_digests)):
        with suppressed() as wrong:
            for name in digests_in(record):
                with suppressed() as changed:
                    check_digests(record, [name])
                found += changed
        found += wrong
    if Path(paths.record).is_file():
        with suppressed() as wrong:
            read_record(paths.record)
        found += wrong
    figures = Path(paths.figures).parent
    with suppressed() as wrong:
        if (figures / MANIFEST).is_file():
            _check_store(figures)
    return found + wrong


def _changes_of(folder: Path, everything: bool) -> list[UserError]:
    """What has changed of a run, finished or not: of all its files, or of its tables, which a call misses by itself."""
    sealed, found = seals.read_seal(folder), list[UserError]()
    if sealed is None:
        if (folder / SEAL).is_file():
            found.append(UserError(f"{folder / SEAL} is damaged", remedy="delete it and run the same command again"))
        for record in sorted(folder.glob("round-*/*.json")):
            with suppressed() as wrong:
                check_digests(record)
            found += wrong
        return found
    for name, digest in sealed["files"].items():
        path, is_table = folder / name, name.endswith(".csv")
        if is_table and everything and not path.is_file():
            found.append(UserError(f"{path} is missing", remedy="put it back, or run the study again"))
        elif (is_table or everything) and path.is_file() and digest_of(path) != digest:
            remedy = f"put back the file of then, or delete {folder / SEAL} and run the study again"
            found.append(UserError(f"{path} has changed since the run was finished", remedy=remedy))
    return found


def _check_store(path: Path) -> None:
    recorded = {} if path.suffix == ".npz" else read_record(path / MANIFEST if path.is_dir() else path, path.name)
    if "source" in recorded or (path.is_dir() and "path" in recorded):  # a backbone that was made
        backbones.check(recorded, path)
    elif path.is_dir():
        for name in read_manifest(path)["files"]:
            check(path, name)
    elif path.suffix == ".npz" and not {"confusions", "passes"} & {*path.parts}:  # damaged counts are computed again
        load_arrays(path)


def unused(cache: Path, used: Collection[Path], addresses: Collection[str]) -> dict[Path, int]:
    """Return what nothing uses of a cache, with its bytes; what pixelherd has not written is none of its business.

    Args:
        cache: folder of the cache.
        used: folders and files that are used.
        addresses: of runs, whose rounds leave things for each other.
    """
    found = {}
    for place in (cache / name for name in KINDS):
        for folder, below, files in os.walk(place):
            here = Path(folder)
            for name in [*below]:
                path = here / name
                is_store = (path / MANIFEST).is_file() or ADDRESSED.fullmatch(name) is not None or name.endswith(PART)
                is_store |= here.name == "backbones" and _address(name) is not None
                if path in used or is_store:
                    below.remove(name)
                if is_store and path not in used and _address(name) not in addresses:
                    found[path] = sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
            for path in (here / name for name in files if name.endswith(ENDINGS)):
                if path not in used and _address(path.stem.removesuffix("-sampled")) not in addresses:
                    found[path] = path.stat().st_size
    return dict(sorted(found.items()))


def _address(name: str) -> str | None:
    match = ENDS_IN_ADDRESS.fullmatch(name)
    return match and match[1]
