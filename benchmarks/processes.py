"""Extract on two processes against one, one thread each: the speed-up, and what limits it.

Snakemake extracts a study's first shards with one core and with two, in turns; data and backbone are prepared before.
What keeps two from being twice as fast is split exactly: Snakemake before the first and after the last job, processors
without a job in between, and jobs that are slower beside each other. Then a shard's job is taken apart, alone and
beside neighbours: one that computes in registers (which slows it if processors are shared or clocked lower), one that
copies arrays (memory and its caches), and the job of another shard. Needs two processors and nothing else on them.

    python benchmarks/processes.py studies/camvid.yaml --set datasets.camvid.root=... --set features.ddpm.backbone=...
"""

import argparse
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir, contextmanager
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import yaml
from places import REPOSITORY, read_study, work_of

from pixelherd.study import stages
from pixelherd.study.study import Study

POLL_SECONDS = 0.05
SCRIPT = REPOSITORY / "workflow" / "scripts" / "extract.py"
NEIGHBOURS = {
    "nobody": None,
    "registers": "while True: pass",
    "memory": "import numpy\na, b = numpy.ones(2**24), numpy.ones(2**24)\nwhile True: numpy.copyto(a, b)",
    "another shard": None,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=YAML", help="change a key (a.b.c)")
    parser.add_argument("--shards", type=int, default=2, help="how many shards of training images (default: 2)")
    parser.add_argument("--repeats", type=int, default=2, help="of each side (default: 2)")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--take-apart", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.take_apart:
        return take_apart(read_study(options.study), *options.take_apart)
    settings = yaml.safe_load(options.study.read_text())
    for keys, value in (each.split("=", 1) for each in options.set):
        *place, key = keys.split(".")
        entry = settings
        for part in place:
            entry = entry[part]
        entry[key] = yaml.safe_load(value)
    for features in settings["features"].values():  # folders are named from where the command is given
        if isinstance(features["backbone"], str):
            features["backbone"] = str(Path(features["backbone"]).resolve())
    for dataset in settings["datasets"].values():
        if "root" in dataset:
            dataset["root"] = str(Path(dataset["root"]).resolve())
    settings |= {"threads": 1, "cache": "cache", "results": "results"}
    with working_folder(options.folder) as folder:
        (folder / "study.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        measure(folder, Study.read(settings), options)


@contextmanager
def working_folder(given: Path | None):
    if given is None:
        with tempfile.TemporaryDirectory(prefix="processes-") as temporary:
            yield Path(temporary)
    else:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()


def measure(folder: Path, study: Study, options: argparse.Namespace) -> None:
    """Both sides by turns, then a shard's job taken apart; prints what was found."""
    import pandas as pd  # which jobs do without

    dataset, features = next(iter(study.pairs()))
    with chdir(folder):
        work = work_of(study)
        targets = work.maps(dataset, features, "train")[: options.shards]
        made = [work.dataset(dataset), work.backbone(features)]
    names = [Path(manifest).parent.name for manifest in targets]
    run(folder, 1, made)

    sides: dict[int, list[dict]] = {1: [], 2: []}
    for number in range(options.repeats):
        for cores in (1, 2) if number % 2 == 0 else (2, 1):
            for manifest in targets:
                shutil.rmtree((folder / manifest).parent, ignore_errors=True)
            os.sync()  # what the last side has written must not slow this one
            sides[cores].append(run(folder, cores, targets))
    one, two = (min(sides[cores], key=lambda each: each["wall"]) for cores in (1, 2))
    threads = f"{len(names)} shards of {study.images_per_job} images, one thread a job, best of {options.repeats}"
    print(f"{threads}: {one['wall']:.1f} s on 1 core, {two['wall']:.1f} s on 2: {one['wall'] / two['wall']:.2f}×\n")
    table = pd.DataFrame(
        [
            {"cores": cores, "seconds": each["wall"], "before and after jobs": each["around"], "in jobs": each["jobs"]}
            | {"processors without a job": each["idle"], "longest job": max(each["spans"])}
            for cores, found in sides.items()
            for each in found
        ]
    )
    print(table.to_markdown(index=False, floatfmt=".1f"))
    lost = {
        "Snakemake before the first and after the last job": two["around"] - one["around"] / 2,
        "jobs slower beside each other": (two["jobs"] - one["jobs"]) / 2,
        "processors without a job": (two["idle"] - one["idle"]) / 2,
    }
    print(f"\nHalf of {one['wall']:.1f} s is {one['wall'] / 2:.1f} s. Two took longer by\n")
    print(pd.DataFrame(lost.items(), columns=["what", "seconds"]).to_markdown(index=False, floatfmt=".1f"))

    rows = []
    for neighbour, code in NEIGHBOURS.items():
        other = subprocess.Popen([sys.executable, "-c", code]) if code else None
        try:
            jobs = [apart(folder, name, made) for name in names[: 2 if neighbour == "another shard" else 1]]
            rows += [{"beside": neighbour} | json.loads(job.communicate()[0].splitlines()[-1]) for job in jobs]
        finally:
            if other:
                other.kill()
                other.wait()
        os.sync()
    table = pd.DataFrame(rows).groupby("beside", sort=False).mean()
    print("\nSeconds of a shard's job\n")
    print(table.to_markdown(floatfmt=".2f"))
    print("\nas multiples of those alone\n")
    print((table / table.loc["nobody"]).to_markdown(floatfmt=".2f"))


def run(folder: Path, cores: int, targets: list[str]) -> dict[str, Any]:
    """Let Snakemake make ``targets``.

    Returns:
        ``wall``, the seconds from its start to its end; ``spans``, those of each job's process, and their sum ``jobs``;
        ``around``, those before the first and after the last job; ``idle``, those that processors (added up) had no job
        in between.
    """
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--directory", str(folder)]
    command += ["--configfile", str(folder / "study.yaml"), "--", *targets]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")}
    seen: dict[int, tuple[float, float]] = {}
    with open(folder / "output.txt", "w") as output:
        start = time.time()
        process = psutil.Popen(command, cwd=REPOSITORY, env=environment, stdout=output, stderr=output)
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
            for child in process.children():
                try:
                    if any(".snakemake/scripts" in part for part in child.cmdline()):
                        seen[child.pid] = child.create_time(), time.time()
                except psutil.Error:
                    continue
        end = time.time()
    if process.returncode:
        sys.exit((folder / "output.txt").read_text()[-3000:])
    began, ended = (list(each) for each in zip(*seen.values(), strict=True)) if seen else ([start], [end])
    spans = [last - first for first, last in seen.values()]
    within = max(ended) - min(began)
    found = {"wall": end - start, "spans": spans, "jobs": sum(spans), "around": end - start - within}
    return found | {"idle": cores * within - sum(spans)}


def apart(folder: Path, shard: str, made: list[str]) -> subprocess.Popen:
    """Start a shard's job in a process that tells its phases; its store lies apart from the study's."""
    command = [sys.executable, __file__, "study.yaml", "--take-apart", shard, f"apart/{shard}/manifest.json", *made]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def take_apart(study: Study, shard: str, output: str, prepared: str, backbone: str) -> None:
    """Run the script of ``extract`` on a shard and print the seconds of its phases as JSON."""
    process = psutil.Process()
    dataset, network = next(iter(study.pairs()))
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    values = SimpleNamespace(
        input=SimpleNamespace(dataset=prepared, backbone=backbone),
        output=[output],
        log=[f"{output}.log"],
        wildcards=SimpleNamespace(shard=shard, split="train"),
        params=Params(
            settings=stages.maps(study, dataset, network).model_dump(mode="json"), threads=1, device=study.device
        ),
        resources={},
        rule="extract",
    )
    from pixelherd.compute import memory
    from pixelherd.features import extract, maps
    from pixelherd.storage import stores

    memory.keep_freed_memory()
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    import zarr  # noqa: F401

    seconds = {"start and imports": time.time() - process.create_time()}
    cpu = {}

    def timed(module: Any, name: str, phase: str) -> None:
        function: Callable = getattr(module, name)
        seconds[phase] = cpu[phase] = 0.0

        @wraps(function)
        def measured(*arguments: Any, **keywords: Any) -> Any:
            began, used = time.perf_counter(), time.process_time()
            try:
                return function(*arguments, **keywords)
            finally:
                seconds[phase] += time.perf_counter() - began
                cpu[phase] += time.process_time() - used

        setattr(module, name, measured)

    timed(maps, "open_manifest", "loading the network")
    timed(maps, "compute", "network")
    timed(extract, "vectors_at", "context vectors")
    timed(stores, "checksum_of", "checksums")
    timed(stores, "keep", "waiting for the disk")
    began = time.perf_counter()
    runpy.run_path(str(SCRIPT), init_globals={"snakemake": values})
    rest = time.perf_counter() - began - sum(each for phase, each in seconds.items() if phase in cpu)
    seconds |= {"Zarr and the rest": rest}
    seconds |= {"all": sum(seconds.values()), "network, of CPU": cpu["network"], "all, of CPU": time.process_time()}
    shutil.rmtree(Path(output).parent)
    print(json.dumps(seconds))


class Params(dict):
    """What Snakemake hands to a script as ``params``."""

    __getattr__ = dict.__getitem__


if __name__ == "__main__":
    main()
