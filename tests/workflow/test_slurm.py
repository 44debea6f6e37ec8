"""The tiny study on a SLURM of this machine alone, with four pretended GPUs."""

import importlib.util
import os
import re
import shutil
import subprocess

import pytest
from conftest import REPOSITORY, Workspace

pytestmark = pytest.mark.slurm

# This cluster keeps no accounts of jobs, and is asked for states more often than a shared one should be.
LOCAL = ("--slurm-no-account", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2")
SLURM = ("--workflow-profile", "profiles/slurm", *LOCAL, "--seconds-between-status-checks", "2")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The cluster's folder, while it runs."""
    if shutil.which("slurmctld") is None or shutil.which("munged") is None:
        pytest.skip("there is no SLURM here; Debian has it as the packages slurm-wlm and munge")
    if os.getuid() != 0:
        pytest.skip("only root may start a SLURM")
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("Snakemake's executor for SLURM is missing: pip install -e '.[slurm]'")
    folder = tmp_path_factory.mktemp("slurm")
    script = REPOSITORY / "tests" / "slurm" / "one-node"
    subprocess.run([script, "start", folder], check=True)
    yield folder
    subprocess.run([script, "stop", folder], check=True)


def submissions(output: str) -> list[str]:
    """What was submitted: a rule's name for a job, names joined by ``+`` for a group, ``[]`` behind an array."""
    return sorted(re.findall(r"slurm_logs/(rule_\w+|group_)", output)) + re.findall("Submitted array job", output)


def test_results_are_those_of_a_local_run(cluster, finished, tmp_path, monkeypatch):
    study = Workspace(tmp_path, finished.settings)
    (tmp_path / "data").symlink_to(os.readlink(finished.folder / "data"))
    done = study.snakemake(*SLURM, "--slurm-keep-successful-logs")
    assert study.results() == finished.results()
    output = done.stdout + done.stderr
    assert submissions(output).count("group_") == 4, "two runs of two rounds: a submission each"
    assert "Submitted array job" in output, "shards"
    again = study.snakemake(*SLURM)
    assert "Nothing to be done" in again.stdout + again.stderr
