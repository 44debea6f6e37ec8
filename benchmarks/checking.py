"""What does it cost to compare all that is read with its checksum, and to look at raw files and results in every call?

Stores of a finished study are read with and without comparing, by turns in one process: native maps image by image,
other arrays whole, manifests with the sizes of the files that they list. Each file has been read before and comes from
memory, so that comparing shows at its largest. Prints the best of ``--repeats``, and reads at most ``--most`` MB of a
kind. Then what a call of Snakemake looks at: first with no digest remembered, then warm.

With ``--runs`` all runs of the study are made anew from its cache, so many times each way by turns, into a folder of
their own: as they are made, and by a pixelherd that compares nothing of what it reads from cache and results.

    python benchmarks/checking.py studies/camvid.yaml
    python benchmarks/checking.py config.yaml --runs 3
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from places import REPOSITORY, read_study, source_of_runs, work_of
from tabulate import tabulate

from pixelherd.datasets import originals
from pixelherd.datasets.originals import Digests
from pixelherd.datasets.settings import DatasetSettings
from pixelherd.pipeline import seals, upkeep
from pixelherd.pipeline.inputs.work import Work
from pixelherd.storage import stores
from pixelherd.storage.records import read_record
from pixelherd.study.addresses import files_of_backbones

MAPS = f"{stores.DATA}/maps.zarr"

Read = Callable[[Path], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="study file whose runs are finished and whose cache is there")
    parser.add_argument("--repeats", type=int, default=5, help="of each side (default: 5)")
    parser.add_argument("--most", type=float, default=2000, help="MB of a kind that are read (default: 2000)")
    parser.add_argument("--runs", type=int, default=0, help="make all runs anew so many times each way, and stop")
    options = parser.parse_args()
    if options.runs:
        print(tabulate(list(whole_runs(options.study, options.runs)), RUN_HEADERS, "github", floatfmt=".1f"))
        return
    work = work_of(read_study(options.study))
    rows = [
        [name, *compared(list(first_of(paths, options.most * 1e6)), *sides, options.repeats)]
        for name, paths, *sides in cases(work)
        if paths
    ]
    if not rows:
        sys.exit("nothing of the study is in its cache")
    print(f"warm files, best of {options.repeats}\n")
    headers = ["read", "files", "MB", "seconds", "compared, seconds", "ratio"]
    print(tabulate(rows, headers, "github", floatfmt=("", ",.0f", ",.1f", ".4f", ".4f", ".2f")))
    with tempfile.TemporaryDirectory() as folder:
        rows = [[name, *looked(act, options.repeats)] for name, act in calls(work, Path(folder))]
        what = remembered(Path(folder) / "digests.json")
    print(f"\nwhat every call looks at: {what}; warm the best of {options.repeats}\n")
    print(tabulate(rows, ["looks at", "first, seconds", "warm, seconds"], "github", floatfmt=".4f"))


def cases(work: Work) -> Iterator[tuple[str, list[Path], Read, Read]]:
    """What is read, by its name: files or folders, and how each is read without comparing and with it."""
    study = work.study
    everything = existing(work.stores().values())
    arrays = {
        "context, norms": [path for pair in study.pairs() for path in work.maps(*pair, "train")],
        "draws": [path for pair, keys in work.listed_draws.items() for key in keys for path in work.draws(*pair, key)],
        "unions": dict.fromkeys(work.union(run) for run in study.runs() if study.needs_lists(run.method)),
    }
    yield (
        "native maps, Zarr",
        [path.parent / MAPS for path in everything if (path.parent / MAPS).is_dir()],
        *MAP_SIDES,
    )
    for name, of in arrays.items():
        found = [file for path in existing(of) for file in sorted(path.parent.glob("**/*.npy"))]
        yield f"{name}, .npy", found, *ARRAY_SIDES
    yield "manifests", everything, *MANIFEST_SIDES


def existing(paths: Iterable[str]) -> list[Path]:
    """Manifests of stores that are there."""
    return [path for path in map(Path, paths) if path.name == stores.MANIFEST and path.is_file()]


def first_of(paths: list[Path], most: float) -> Iterator[Path]:
    """The first of the paths, as far as they have so many bytes; at least one."""
    totals = itertools.accumulate(map(size, paths))
    return (path for number, (path, total) in enumerate(zip(paths, totals, strict=True)) if not number or total <= most)


def files_in(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def size(path: Path) -> int:
    return sum(file.stat().st_size for file in files_in(path))


def maps(path: Path) -> None:
    import zarr
    from zarr.storage import LocalStore

    image_by_image(zarr.open_group(LocalStore(path, read_only=True), mode="r"))


def maps_compared(path: Path) -> None:
    image_by_image(stores.open_zarr(path.parents[1], path.name))


def image_by_image(group) -> None:
    blocks = [array for _, array in group.arrays()]
    for image in range(blocks[0].shape[0]):
        for block in blocks:
            block[image]


def array(path: Path) -> np.ndarray:
    return np.array(np.load(path, mmap_mode="r"))


def array_compared(path: Path) -> np.ndarray:
    inside = "" if (path.parent / stores.MANIFEST).is_file() else stores.DATA
    return np.array(stores.open_array(path.parents[1] if inside else path.parent, path.stem, inside))


def manifest(path: Path) -> bool:
    files = json.loads(path.read_bytes())["files"]
    return all((path.parent / name).stat().st_size == recorded["bytes"] for name, recorded in files.items())


def manifest_compared(path: Path) -> dict:
    return stores.read_manifest(path.parent)


MAP_SIDES, ARRAY_SIDES, MANIFEST_SIDES = (maps, maps_compared), (array, array_compared), (manifest, manifest_compared)


def compared(paths: list[Path], plain: Read, checked: Read, repeats: int) -> list[float]:
    """Files, MB, best seconds of both sides, and their ratio; each side goes first in half of the repeats."""
    seconds: dict[Read, list[float]] = {plain: [], checked: []}
    for path in paths:  # files come into memory, and libraries are imported
        plain(path)
        checked(path)
    for number in range(repeats):
        for each in (plain, checked) if number % 2 == 0 else (checked, plain):
            stores._checked.cache_clear()  # a process compares a file once
            stores._checksums.cache_clear()
            seconds[each].append(elapsed(lambda each=each: [each(path) for path in paths]))
    without, with_it = (min(found) for found in seconds.values())
    files = [file for path in paths for file in files_in(path)]
    return [len(files), sum(map(size, files)) / 1e6, without, with_it, with_it / without]


RUN_HEADERS = ["results of", "seconds, best", "seconds, each"]

COMPARES_NOTHING = """
from pathlib import Path
from pixelherd.storage import records, stores

def open_zarr(folder, name):
    import zarr
    from zarr.storage import LocalStore
    return zarr.open_group(LocalStore(Path(folder) / stores.DATA / name, read_only=True), mode="r")

stores.check = records.check_digests = records.check_beside = lambda *given: None
stores.open_zarr = open_zarr
"""
"""What Python runs first, as its module `sitecustomize`, in a study that compares nothing."""


def whole_runs(study: Path, repeats: int) -> Iterator[list[object]]:
    """Seconds in which all results of a study are made from its cache, with comparing and without."""
    seconds: dict[str, list[float]] = {"pixelherd": [], "without comparing": []}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(COMPARES_NOTHING)
        package = str(REPOSITORY / "workflow")
        paths = {"pixelherd": package, "without comparing": os.pathsep.join([folder, package])}
        for number in range(repeats * 2):
            side = list(seconds)[(number + number // 2) % 2]  # with, without, without, with …
            command = ["snakemake", "--cores", "all", "--quiet", "-s", str(REPOSITORY / "Snakefile")]
            command += ["--configfile", str(study), "--config", f"results={folder}/results-{number}"]
            run = partial(made, command, {**os.environ, "PYTHONPATH": paths[side]})
            seconds[side].append(elapsed(run))
    for side, found in seconds.items():
        yield [side, min(found), ", ".join(f"{each:.1f}" for each in found)]


def made(command: list[str], environment: dict[str, str]) -> None:
    """Call Snakemake, whose words count only where it fails."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


def elapsed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def looked(act: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of the first time, and the best of those that follow."""
    return [elapsed(act), min(elapsed(act) for _ in range(repeats))]


def calls(work: Work, folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """What a call of Snakemake looks at before it does anything; digests are remembered in ``folder``."""
    study, digests = work.study, folder / "digests.json"
    for name, settings in study.datasets.items():
        record = folder / f"{name}.json"
        yield f"raw files of {name}", partial(look, settings, record, digests)
    yield "files of backbones", lambda: files_of_backbones(study, Digests(digests))
    yield "addresses of all stores", lambda: work_of(study).stores()
    source = source_of_runs()
    yield "source that makes runs", source_of_runs.__wrapped__  # once a process
    yield "which runs are finished", lambda: seals.pending_runs(study, source, work.addresses.run)
    yield "results that have changed", lambda: upkeep.changed_results(study.paths, study.runs())


def look(settings: DatasetSettings, record: Path, digests: Path) -> object:
    """Look at a dataset's raw files, as a process does that has not looked before."""
    return originals.look(settings, record, Digests(digests))


def remembered(digests: Path) -> str:
    """How many files' digests are remembered, and their size."""
    files = read_record(digests)["files"].values() if digests.is_file() else []
    return f"{len(files):,} raw files and files of backbones, {sum(each[0] for each in files) / 1e6:,.1f} MB"


if __name__ == "__main__":
    main()
