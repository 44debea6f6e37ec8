"""Benchmarks that take a finished study find in it what they measure."""

import os
import subprocess
import sys

import pytest

from conftest import REPOSITORY

CALLS = {
    "batchnorm_context": ("study.yaml --epochs 1 --out {out}", "difference"),
    "checking": ("study.yaml --repeats 1", "results that have changed"),
    "dense": ("--study study.yaml", "largest difference of logits"),
    "forks": ("--forks 2", "ms of a fork and its end"),
    "heads": ("study.yaml --labels 12 --seeds 2", "LayerNorm"),
    "herding": (
        "--study study.yaml --sizes 20 --dimensions 8 --picks 5 --sides pixelherd rescan --out {out}/herding.png",
        "picks the same: True",
    ),
    "images": ("--size 32 32 --images 1", "images a second"),
    "loop": ("study.yaml --train 2 --test 1 --epochs 1 --out {out}/loop.png", "| ratio"),
}
"""By benchmark: arguments of its smallest call, and what it prints at the end."""


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_a_benchmark_measures_a_finished_study(finished, tmp_path, name):
    arguments, printed = CALLS[name]
    command = [sys.executable, str(REPOSITORY / "benchmarks" / f"{name}.py"), *arguments.format(out=tmp_path).split()]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")}
    done = subprocess.run(command, cwd=finished.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and printed in done.stdout, done.stdout + done.stderr
