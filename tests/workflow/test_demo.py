"""The demo as a new user runs it: what it prints, and whether README says what comes out."""

import re
import subprocess
import sys

import pytest

from conftest import REPOSITORY

ROW = re.compile(r"^\| (\w+) +\| +(\d+) \| +(\d+) \| +([\d.]+) ± ([\d.]+) \|", re.MULTILINE)
"""Method, labelled pixels, seeds and mIoU of a row of the final table."""

POINTS = 3
"""Of mIoU, by which results may differ from README's on another machine: sums of floats differ, and what is asked."""

MOST_LINES = 25
"""On the console."""


def called(folder) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "snakemake", "--cores", "all", "-d", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_the_demo_runs_in_few_lines_and_readme_says_what_comes_out(tmp_path):
    done = called(tmp_path)
    printed = (done.stderr + done.stdout).splitlines()
    assert len(printed) <= MOST_LINES, "\n".join(printed)
    said = {method: row for method, *row in ROW.findall((REPOSITORY / "README.md").read_text())}
    found = {method: row for method, *row in ROW.findall((tmp_path / "results/tables/final.md").read_text())}
    assert said.keys() == found.keys() == {"edald", "coverage", "random"}
    for method, (pixels, seeds, miou, _) in found.items():
        assert [pixels, seeds] == said[method][:2]
        assert abs(float(miou) - float(said[method][2])) <= POINTS, f"{method}: {miou}, README says {said[method][2]}"
    assert (tmp_path / "results/tables/final.md").read_text() in done.stdout
    assert "Nothing to be done" in called(tmp_path).stderr
