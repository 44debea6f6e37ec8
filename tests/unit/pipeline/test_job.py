"""The frame around every job: what a user sees of a mistake, a full disk and a killed job."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pixelherd.errors import UserError
from pixelherd.pipeline.job import job
from pixelherd.storage.stores import read_manifest

KILLED = """
import os, signal, sys
from pathlib import Path
from pixelherd.storage.stores import writing
with writing(Path(sys.argv[1]), {"images": 2}) as folder:
    (folder / "first.npy").write_bytes(b"whole")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def rule(tmp_path):
    """What Snakemake hands to a script, as far as the frame looks at it."""
    params = {"threads": 1, "cost": str(tmp_path / "costs" / "jobs" / "extract" / "demo.json")}
    return SimpleNamespace(log=[str(tmp_path / "log")], params=params, resources={}, output=[])


def test_a_job_notes_what_it_cost(rule, tmp_path):
    with job(rule) as meter:
        meter.forwards = 7
    cost = json.loads(Path(rule.params["cost"]).read_text())
    assert cost["stage"] == "extract" and cost["forwards"] == 7
    assert (tmp_path / "log").read_text() == "done\n"


def test_a_full_disk_is_one_line(rule, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught, job(rule), open("/dev/full", "w") as file:
        file.write("more than there is room for")
    assert caught.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith("pixelherd: the disk is full; free space, or move `cache`") and told.count("\n") == 1
    assert not Path(rule.params["cost"]).exists()


def test_a_users_mistake_is_one_line_and_anything_else_a_traceback(rule, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught, job(rule):
        raise UserError("labels: what, where, how to mend")
    assert caught.value.code == 1
    assert capsys.readouterr().err == "pixelherd: labels: what, where, how to mend\n"
    with pytest.raises(ZeroDivisionError), job(rule):
        1 / 0  # noqa: B018
    assert "Traceback" in (tmp_path / "log").read_text()


def test_what_a_killed_job_left_is_not_taken_for_done(tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "store")])
    assert killed.returncode == -9 and (tmp_path / ".store.part" / "data" / "first.npy").exists()
    with pytest.raises(UserError, match="store"):
        read_manifest(tmp_path / "store")


def test_a_mistake_knows_what_is_wrong_and_how_to_mend_it():
    mistake = UserError("labels: what, where", remedy="how to mend")
    assert str(mistake) == "labels: what, where; how to mend"
    assert (mistake.problem, mistake.remedy) == ("labels: what, where", "how to mend")
    assert UserError("only this").remedy is None
