"""Jobs that a killed Snakemake left in SLURM's queue; the commands of SLURM are scripts here."""

import os

import pytest

from pixelherd.compute import slurm
from pixelherd.errors import UserError


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A file of the jobs in the queue, which `squeue` prints and `scancel` empties."""
    jobs = tmp_path / "jobs"
    jobs.write_text("11\n12\n")
    for name, line in (("squeue", f"cat {jobs}"), ("scancel", f'echo "$@" >> {tmp_path}/asked; : > {jobs}')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0)
    return jobs


def test_jobs_of_a_killed_snakemake_are_cancelled_once_and_waited_for(queue, capsys):
    slurm.cancel("some-id")
    assert (queue.parent / "asked").read_text() == "--name=some-id\n"
    assert "2 jobs of a killed Snakemake are still in SLURM's queue" in capsys.readouterr().err
    slurm.cancel("some-id")
    assert capsys.readouterr().err == ""


def test_jobs_that_do_not_end_are_a_mistake(queue, monkeypatch):
    (queue.parent / "scancel").write_text("#!/bin/sh\n")
    monkeypatch.setattr(slurm, "PATIENCE_SECONDS", -1)
    with pytest.raises(UserError, match=r"do not end; see `squeue --name=some-id`"):
        slurm.cancel("some-id")
