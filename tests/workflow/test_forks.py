"""Jobs of a real call of Snakemake are forks, of which there is no trace but that no Python of theirs starts."""

import os
import subprocess
import sys

import pytest

from conftest import Workspace

RECORD = """
import os, sys
if ".snakemake/scripts" in os.path.abspath(sys.argv[0] if sys.argv else ""):
    with open({place!r}, "a") as file:
        print(os.path.basename(sys.argv[0]).split(".")[1], file=file)
"""
"""What Python runs first, as its module `sitecustomize`; argv is there by then, and forks never run it."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks of numerical libraries are safe on Linux alone")
def test_most_jobs_start_no_python(finished: Workspace, tmp_path):
    study = finished.empty(tmp_path / "study")
    (tmp_path / "sitecustomize.py").write_text(RECORD.format(place=str(tmp_path / "started")))
    call = study.call("runs")
    call["env"] |= {"PYTHONPATH": os.pathsep.join([str(tmp_path), call["env"]["PYTHONPATH"]])}
    subprocess.run(**call, check=True, capture_output=True)
    costs = study.results_folder / "costs/jobs"
    jobs = [path.relative_to(costs).parts[0] for path in costs.rglob("*.json")]
    started = (tmp_path / "started").read_text().split()
    assert started, "those that come before the server is ready are seen"
    for stage in ("fit", "score", "evaluate"):
        assert jobs.count(stage) > 2 * started.count(stage), f"{stage}: {started}"
