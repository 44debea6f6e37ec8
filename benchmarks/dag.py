"""How long Snakemake plans the paper's grid, and how soon a finished study has nothing to do.

Four datasets with their published numbers of images, 12 methods, 5 seeds, 10 rounds, 16 images a job; no data, no
backbone. The finished study is pretended: sealed runs of empty files. Prints seconds (of the clock, and of the CPU,
which other work on the machine disturbs less) and peak memory.

    python benchmarks/dag.py

``--images 1000000`` plans one dataset of so many training images instead, with five methods, five seeds and 500 images
a job, and prints the plan too: what such a collection asks of Snakemake, and of disks.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from places import REPOSITORY, source_of_runs

from pixelherd.pipeline import seals
from pixelherd.study import stages
from pixelherd.study.study import Study

SCORES = ["edald", "dald", "power_dald", "entropy", "margin", "least_confidence", "bald", "ebald", "power_bald"]
METHODS = [*SCORES, "balentacq", "coverage", "random"]


def grid() -> dict:
    """The settings of the paper's study with 12 methods."""
    settings = yaml.safe_load((REPOSITORY / "studies" / "paper.yaml").read_text())
    return settings | {"methods": dict.fromkeys(METHODS), "images_per_job": 16}


def collection(images: int) -> dict:
    """The settings of a study of one large collection."""
    settings = yaml.safe_load((REPOSITORY / "studies" / "paper.yaml").read_text())
    large = {"kind": "ade_bed", "root": "data", "images": {"train": images, "test": 1000}}
    features = {"backbone": {"embedded": "efficientnet_lite2"}, "maps": "recompute"}
    return settings | {
        "datasets": {"large": large},
        "features": {"lite": features},
        "methods": dict.fromkeys(["edald", "margin", "entropy", "coverage", "random"]),
        "seeds": [0, 1, 2, 3, 4],
        "images_per_job": 500,
    }


def pretend_finished(folder: Path, study: Study) -> None:
    """Fill ``folder`` with sealed runs of empty files, and what is made of them."""
    for run in study.runs():
        place = folder / study.paths.run_folder(run)
        rounds = study.rounds_of(run.method)
        names = ["queries.csv", "scores.csv", "correlations.csv", "labels.csv", "head.safetensors", "training.csv"]
        for number in range(rounds):
            (place / f"round-{number}").mkdir(parents=True)
            for name in names:
                (place / f"round-{number}" / name).touch()
        for name in ("metrics.csv", "expected.csv", "thumbnails.npz"):
            (place / name).touch()
        seals.seal(place, run, stages.result(study, run), rounds, {}, source_of_runs())
    for path in re.findall(r"Missing output files: ([^;\n]+)", snakemake(folder, "-n")[0]):
        for each in path.split(", "):
            (folder / each).parent.mkdir(parents=True, exist_ok=True)
            (folder / each).touch()


def snakemake(folder: Path, *arguments: str) -> tuple[str, str]:
    """Output of a Snakemake in ``folder``, and what it took."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--directory", str(folder)]
    command = [*command, *arguments, "--configfile", str(folder / "study.yaml")]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")}
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout + done.stderr, f"{seconds:.1f} s ({used:.1f} s of CPU), {after.ru_maxrss / 1024:.0f} MB at most"


def planned(settings: dict, *more: str) -> None:
    """Plan a study of which nothing is there, and print what it took."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "study.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        for target in more:
            output, took = snakemake(folder, target)
            print(output, took, sep="\n")
        output, took = snakemake(folder, "-n", "--quiet", "rules")
        jobs = re.search(r"^total +(\d+)$", output, re.MULTILINE)[1]
        print(f"dry run of {int(jobs):,} jobs: {took}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, help="plan one collection of so many training images instead")
    if images := parser.parse_args().images:
        planned(collection(images), "plan")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "study.yaml").write_text(yaml.safe_dump(grid(), sort_keys=False))
        pretend_finished(folder, Study.read(grid()))
        output, took = snakemake(folder)
        assert "Nothing to be done" in output, output
        print(f"finished study: {took}")
    planned(grid())


if __name__ == "__main__":
    main()
