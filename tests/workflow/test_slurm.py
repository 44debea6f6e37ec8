"""The tiny study on a SLURM of this machine alone, with four pretended GPUs."""

import importlib.util
import os
import re
import shutil
import subprocess
import time

import pytest

from conftest import REPOSITORY, Workspace

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]  # there is one cluster

RUN = "street/ddpm/random/budget-4/seed-0"

# This cluster keeps no accounts of jobs.
SLURM = ("--workflow-profile", "profiles/slurm", "--slurm-no-account", "--slurm-status-command", "squeue")


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


def test_a_study_gives_the_results_of_a_local_run(cluster, finished, tmp_path):
    # each job sees the runs that were pending at the start, though one may be sealed by now: passes are shared
    features = {"ddpm": {**finished.settings["features"]["ddpm"], "maps": "recompute"}}
    study = finished.empty(tmp_path, features=features)
    done = study.snakemake(*SLURM, "--printshellcmds")
    assert study.results() == finished.results()
    output = done.stdout + done.stderr
    assert output.count("slurm_logs/group_") == 4, "two runs of two rounds: a submission each"
    assert "Submitted array job" in output, "shards"
    again = study.snakemake(*SLURM)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_cancelled_job_is_retried(cluster, finished, tmp_path):
    study = unsealed(finished, tmp_path)
    process = study.start("runs", *SLURM, "--printshellcmds")
    while not (running := squeue("--states=RUNNING")):
        assert process.poll() is None
        time.sleep(0.2)
    subprocess.run(["scancel", *running], check=True)
    assert process.wait() == 0, output(study)[-3000:]
    assert runs_of(study) == runs_of(finished)
    assert len(squeue("--states=CANCELLED", f"--name={run_id(study)}")) == 1


def test_a_job_over_its_memory_is_retried_with_more(cluster, finished, tmp_path):
    study = unsealed(finished, tmp_path)
    done = study.snakemake("runs", *SLURM, "--set-resources", "evaluate:mem_mb=200*attempt**4")
    assert "Trying to restart job" in max((study.folder / ".snakemake" / "log").glob("*.log")).read_text()
    assert "jobs done in" in done.stderr and "failed" not in done.stderr, "a try before is no mistake"
    assert runs_of(study) == runs_of(finished)


def test_the_jobs_of_a_killed_snakemake_go_with_it(cluster, finished, tmp_path):
    study = unsealed(finished, tmp_path)
    shutil.rmtree(study.folder / "cache" / "features" / "street" / "ddpm" / "test")
    killed = []
    for partition, state in (("DOWN", "PENDING"), ("UP", "RUNNING"), ("UP", None)):
        subprocess.run(["scontrol", "update", "PartitionName=gpu", f"State={partition}"], check=True)
        process = study.start("runs", *SLURM, "--printshellcmds")
        while state and not (jobs := squeue(f"--states={state}", f"--name={run_id(study)}")):
            assert process.poll() is None
            time.sleep(0.2)
        if state:
            process.kill()
            assert process.wait() < 0
            killed.append((run_id(study), jobs))
            assert squeue(f"--name={run_id(study)}") == jobs, "they outlive it"
    assert process.wait() == 0, output(study)[-3000:]
    assert "jobs of a killed Snakemake are still in SLURM's queue; they are cancelled" in output(study)
    for name, jobs in killed:
        assert squeue("--states=CANCELLED", f"--name={name}") == jobs
    assert runs_of(study) == runs_of(finished)


def unsealed(finished, folder) -> Workspace:
    """The finished study with the evaluation of a run to do again."""
    study = finished.copy(folder / "copy")
    (study.folder / "results" / "runs" / RUN / "run.json").unlink()
    return study


def runs_of(study: Workspace) -> dict[str, bytes]:
    """The results that runs leave, without tables, figures and report."""
    return {name: content for name, content in study.results().items() if name.startswith("runs/")}


def squeue(*arguments: str) -> list[str]:
    """Ids of the cluster's jobs."""
    listed = subprocess.run(["squeue", "--noheader", "--format=%A", *arguments], capture_output=True, text=True)
    return listed.stdout.split()


def output(study: Workspace) -> str:
    """What the last Snakemake that was started has printed so far."""
    return (study.folder / "output.txt").read_text()


def run_id(study: Workspace) -> str:
    """The name that Snakemake gives all its jobs; none as long as it has not said it."""
    found = re.search(r"SLURM run ID: (\S+)", output(study))
    return found[1] if found else "none-yet"
