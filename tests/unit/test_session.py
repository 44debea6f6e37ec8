"""One Snakemake at a time in a folder, and what its jobs see."""

import subprocess
import sys

import pytest

from pixelherd import sealing, session
from pixelherd.errors import UserError
from pixelherd.study import Study

HOLDER = """
import sys, time
from pathlib import Path
from pixelherd.session import Session
held = Session(Path(sys.argv[1]))
held.claim()
print("claimed", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that works in the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "claimed\n"
    yield process
    process.kill()
    process.communicate()


def lock_of_snakemake(folder):
    path = folder / "locks" / "0.input.lock"
    path.parent.mkdir()
    path.write_text("data")
    return path


def test_the_locks_of_a_snakemake_at_work_stay(tmp_path, holder, capsys):
    left = lock_of_snakemake(tmp_path)
    session.Session(tmp_path).claim()
    assert "another Snakemake works in this folder" in capsys.readouterr().err
    assert left.exists()


def test_the_locks_of_a_killed_snakemake_go(tmp_path, holder, capsys):
    left = lock_of_snakemake(tmp_path)
    holder.kill()
    holder.wait()
    session.Session(tmp_path).claim()
    assert "the last Snakemake in this folder was killed" in capsys.readouterr().err
    assert not left.exists()


def test_an_undisturbed_start_says_nothing(tmp_path, capsys):
    session.Session(tmp_path / "new").claim()
    assert capsys.readouterr().err == ""


def test_jobs_see_what_was_pending_and_waited_when_snakemake_started(tmp_path, settings):
    study = Study.read(settings | {"results": str(tmp_path / "results"), "oracle": "csv"})
    with pytest.raises(UserError, match=r"pixelherd.json is not there for this job"):
        session.told(study, tmp_path)
    everything = sealing.pending(study)
    started = session.Session(tmp_path)
    started.claim()
    some = dict(list(everything.items())[:1])
    for pending, waiting in ((everything, {}), (some, dict.fromkeys(some, 1))):
        started.start(pending, waiting)
        assert session.told(study, tmp_path) == (pending, waiting)


def test_where_slurm_is_not_at_hand_the_jobs_of_a_killed_snakemake_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    session.Session(tmp_path).start({}, {}, "some-id")
    assert capsys.readouterr().err == ""
    session.Session(tmp_path).start({}, {})
    assert "if it was killed, cancel them: scancel --name=some-id" in capsys.readouterr().err
    session.Session(tmp_path).start({}, {})
    assert capsys.readouterr().err == ""
