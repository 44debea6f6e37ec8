"""What does a run take whose features are gathered, with jobs that are forked of a warm process, and without?

    python benchmarks/warm.py STUDY --run camvid/photo/margin/budget-37/seed-0

makes one run of a study, whose cache is there, anew into a folder of its own, so many times each way by turns: as it is
made, and with a process for each job that imports its libraries itself. Prints seconds of the whole call, the best and
each, and the seconds that its jobs note by stage (without Snakemake, and what happens before they begin) in the best.
"""

import argparse
import json
import os
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path

from checking import elapsed, made
from places import REPOSITORY, read_study
from tabulate import tabulate

ALONE = """
from pixelherd.compute import forkserver
forkserver.start = lambda *given, **named: None
"""
"""What Python runs first, as its module `sitecustomize`, where no job is forked."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="study file whose cache is there")
    parser.add_argument("--run", help="DATASET/FEATURES/METHOD/budget-BUDGET/seed-SEED (default: the first)")
    parser.add_argument("--repeats", type=int, default=2, help="of each way (default: 2)")
    parser.add_argument("--cores", type=int, default=2, help="of Snakemake (default: 2)")
    options = parser.parse_args()
    run = options.run or next(iter(read_study(options.study).runs())).path
    found: dict[str, list[tuple[float, Path]]] = {"forked": [], "alone": []}
    with tempfile.TemporaryDirectory(prefix="pixelherd-") as folder:
        (Path(folder) / "sitecustomize.py").write_text(ALONE)
        package = str(REPOSITORY / "workflow")
        paths = {"forked": package, "alone": os.pathsep.join([folder, package])}
        for number in range(2 * options.repeats):
            side, results = list(found)[(number + number // 2) % 2], Path(folder) / f"results-{number}"
            command = ["snakemake", f"{results}/runs/{run}/run.json", "--cores", str(options.cores), "--quiet", "all"]
            command += ["-s", str(REPOSITORY / "Snakefile"), "--configfile", str(options.study)]
            command += ["--config", f"results={results}"]
            seconds = elapsed(partial(made, command, {**os.environ, "PYTHONPATH": paths[side]}))
            found[side].append((seconds, results))
        best = {side: min(tries) for side, tries in found.items()}
        stages = {side: by_stage(results) for side, (_, results) in best.items()}
    print(f"{run}, {options.cores} cores\n")
    rows = [[side, best[side][0], ", ".join(f"{each:.1f}" for each, _ in tries)] for side, tries in found.items()]
    print(tabulate(rows, ["jobs", "seconds, best", "seconds, each"], "github", floatfmt=".1f"))
    print(f"\nratio {best['alone'][0] / best['forked'][0]:.1f}; seconds that jobs note:\n")
    rows = [[stage, *stages["forked"][stage], stages["alone"][stage][1]] for stage in stages["forked"]]
    print(tabulate(rows, ["stage", "jobs", "forked", "alone"], "github", floatfmt=".1f"))


def by_stage(results: Path) -> dict[str, tuple[int, float]]:
    """Jobs and the sum of their seconds by stage."""
    seconds = defaultdict[str, list[float]](list)
    for path in sorted((results / "costs" / "jobs").rglob("*.json")):
        note = json.loads(path.read_text())
        seconds[note["stage"]].append(note["seconds"])
    return {stage: (len(each), sum(each)) for stage, each in seconds.items()}


if __name__ == "__main__":
    main()
