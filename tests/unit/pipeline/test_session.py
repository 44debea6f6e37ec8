"""One Snakemake at a time in a folder, and what its jobs see."""

import atexit
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pixelherd.compute import forkserver
from pixelherd.errors import UserError
from pixelherd.pipeline import marks, seals, session
from pixelherd.pipeline.inputs.telling import variable_of
from pixelherd.storage.files import write_text
from pixelherd.study import stages
from pixelherd.study.study import Study
from unit.places import REPOSITORY

HOLDER = """
import sys, time
from pathlib import Path
from pixelherd.pipeline.session import Session
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


@pytest.fixture
def scripts(tmp_path):
    """The scripts of the workflow by name."""
    return {path.stem: path for path in (REPOSITORY / "workflow" / "scripts").glob("*.py")}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder, in which what a session tells its jobs is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(atexit, "register", lambda *_, **__: None)
    before = dict(os.environ)
    yield tmp_path
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


def finish(study, run):
    """Seal a run as if it had been made."""
    folder = study.paths.run_folder(run)
    for name in [
        "metrics.csv",
        "expected.csv",
        "thumbnails.npz",
        *(f"round-{number}/labels.csv" for number in range(2)),
    ]:
        write_text(folder / name, name)
    seals.seal(folder, run, stages.result(study, run), 2, {}, "f" * 64)


def test_jobs_see_what_was_pending_when_their_snakemake_began(folder, settings, scripts):
    began = session.Session.open(settings, scripts, main=True)
    study = began.work.study
    assert list(began.work.pending) == study.runs()
    finish(study, study.runs()[2])
    job = session.Session.open(settings, scripts, main=False)
    assert job.work.pending == began.work.pending and job.work.waiting == began.work.waiting == {}
    assert session.Session.open(settings | {"pictures": 0}, scripts, main=False).work.pending.keys() < set(study.runs())


def test_jobs_without_the_environment_see_what_their_snakemake_told_and_not_what_a_dry_run_did(
    folder, settings, scripts, monkeypatch
):
    began = session.Session.open(settings, scripts, main=True)
    began.start([])
    variable = variable_of(began.work.study)
    Path(os.environ[variable]).with_name(f"{variable}-0.json").write_text('{"pending": {}, "waiting": {}}')
    monkeypatch.delenv(variable)
    job = session.Session.open(settings, scripts, main=False)
    assert job.work.pending == began.work.pending


def test_the_source_of_a_stage_is_hashed_once_for_all_shards(folder, settings, scripts, monkeypatch):
    hashed = []
    monkeypatch.setattr(session.source, "hash_of_script", lambda path: hashed.append(path.stem) or "f" * 64)
    opened = session.Session.open(settings | {"images_per_job": 1}, scripts, main=True)
    assert len(opened.work.stores()) > len(hashed) == len(set(hashed))


def test_a_job_that_does_not_see_its_snakemakes_folder_says_so(folder, settings, scripts):
    began = session.Session.open(settings, scripts, main=True)
    Path(os.environ[variable_of(began.work.study)]).unlink()
    with pytest.raises(UserError, match=r"is not there for this job; work on a file system that all nodes share"):
        session.Session.open(settings, scripts, main=False)


def test_files_of_the_future_are_named_once(folder, settings, scripts, capsys):
    path = Path("results") / "runs" / "a.csv"
    write_text(path, "")
    os.utime(path, (time.time() + 7260,) * 2)
    session.Session.open(settings, scripts, main=True)
    assert f"{path} has a time 2 hours in the future" in capsys.readouterr().err
    session.Session.open(settings, scripts, main=False)
    assert "future" not in capsys.readouterr().err


def test_finished_runs_of_other_source_are_kept_and_named(folder, settings, scripts, capsys):
    study = Study.read(settings)
    run = study.runs()[0]
    finish(study, run)
    opened = session.Session.open(settings, scripts, main=True)
    assert run not in opened.work.pending
    told = capsys.readouterr().err
    assert f"another version of the source made 1 finished runs ({run.path}); they are kept" in told
    redone = session.Session.open(settings | {"refresh": True}, scripts, main=True)
    assert run in redone.work.pending and redone.work.again[run] == 0
    assert "another version" not in capsys.readouterr().err


def test_marks_stay_only_if_jobs_began(folder, settings, scripts):
    study = Study.read(settings)
    finish(study, study.runs()[0])
    other, mark = settings | {"pictures": 0, "seeds": [0], "head": {"l2": 0.1}}, marks.mark_of(study, study.runs()[0])
    opened = session.Session.open(other, scripts, main=True)
    assert mark.is_file()
    opened.leave()
    assert not mark.exists()
    opened = session.Session.open(other, scripts, main=True)
    mark.unlink()  # by another call, which made nothing
    opened.start([Path("results/runs/x")])
    opened.leave()
    assert mark.is_file()


def test_a_mistake_in_the_study_is_one_line(folder, settings, scripts):
    with pytest.raises(UserError, match="unknown key `budget`"):
        session.Session.open(settings | {"budget": [3]}, scripts, main=True)


def shown(function, *arguments):
    """What the workflow does with a user's mistake, which it shows without a traceback."""
    try:
        function(*arguments)
    except UserError as error:
        raise RuntimeError(f"shown: {error}") from None


@pytest.fixture
def workflow():
    """What a session knows of Snakemake's workflow."""
    return StandIn()


class StandIn:
    def __init__(self):
        self.made, self.done, self.local_exec = [], [], True
        self._onstart = lambda log: self.done.append("before")
        fit = SimpleNamespace(name="fit", params={"threads": 1}, resources={})
        self.dag = SimpleNamespace(needrun_jobs=lambda: [SimpleNamespace(output=self.made, rule=fit)])
        self.scheduler = SimpleNamespace(job_rate_limiter=object(), _executor=None)

    def onstart(self, function):
        self._onstart = function


@pytest.fixture(autouse=True)
def served(monkeypatch):
    """Threads and modules of the servers that were to be started."""
    found = []

    def start(common, modules, given, later):
        found.append((given["OMP_NUM_THREADS"], "zarr" in modules))

    monkeypatch.setattr(forkserver, "start", start)
    return found


@pytest.fixture
def session_in(settings, tmp_path):
    """Gives a session of the tiny study in a folder, nothing of which is looked for."""

    def make(folder):
        made = session.Session(folder)
        made.work = made.work_of(Study.read(settings | {"cache": str(tmp_path / "cache")}))
        return made

    return make


def test_the_start_is_part_of_whatever_start_a_workflow_has(workflow):
    done = workflow.done
    session.Session().before_jobs(workflow, shown)
    workflow._onstart(None)
    assert done == ["before"] and workflow.scheduler.job_rate_limiter is None
    workflow.scheduler.job_rate_limiter = object()
    workflow.onstart(lambda log: done.append("after"))
    workflow._onstart(None)
    assert done == ["before", "after"] and workflow.scheduler.job_rate_limiter is None


def test_a_server_of_jobs_starts_where_jobs_run_on_this_machine(workflow, folder, session_in, served):
    session_in(folder).before_jobs(workflow, shown)
    workflow._onstart(None)
    assert served == [], "a call that only prints needs none"
    workflow.made.append("a file")
    workflow._onstart(None)
    assert served == [("1", True)]
    workflow.local_exec = False
    workflow._onstart(None)
    assert len(served) == 1, "a cluster's jobs are its own"


def test_jobs_of_other_threads_or_shells_have_no_server(workflow, folder, session_in, served):
    session_in(folder).before_jobs(workflow, shown)
    workflow.made.append("a file")
    (fit,) = workflow.dag.needrun_jobs()
    fit.rule.params["threads"] = ["of", "somebody"]
    workflow._onstart(None)
    assert served == []
    fit.rule.params["threads"], fit.rule.resources["shell_exec"] = 1, "sh"
    workflow._onstart(None)
    assert served == [], "other shells have other functions"


def test_the_sessions_of_all_modules_are_part_of_the_start(workflow, folder, session_in):
    for name in ("one", "two"):
        session_in(folder / name).before_jobs(workflow, shown)
    workflow.made.append("a file")
    workflow.onstart(lambda log: workflow.done.append("after"))
    workflow._onstart(None)
    assert workflow.done == ["after"]
    assert [(folder / name / session.QUEUE).exists() for name in ("one", "two")] == [True, True]


def test_a_folder_that_stays_taken_is_shown_as_a_mistake(workflow, folder, session_in, holder, monkeypatch):
    monkeypatch.setattr(session, "PATIENCE_SECONDS", 0)
    session_in(folder).before_jobs(workflow, shown)
    workflow._onstart(None)  # what only prints may run
    workflow.made.append("a file")
    with pytest.raises(RuntimeError, match="shown: another Snakemake works in this folder; let it end, or end it"):
        workflow._onstart(None)


def test_where_slurm_is_not_at_hand_the_jobs_of_a_killed_snakemake_are_told(tmp_path, session_in, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    session_in(tmp_path).start([], "some-id")
    assert capsys.readouterr().err == ""
    session_in(tmp_path).start([])
    assert "if it was killed, cancel them: scancel --name=some-id" in capsys.readouterr().err
    session_in(tmp_path).start([])
    assert capsys.readouterr().err == ""


def test_what_killed_calls_told_goes_and_what_this_one_tells_stays(folder, settings, scripts):
    opened = session.Session.open(settings, scripts, main=True)
    told = Path(os.environ[variable_of(opened.work.study)])
    left = told.with_name("PIXELHERD_SESSION_killed-1.json")
    left.write_text("{}")
    opened.start([Path("results/x")])
    assert told.is_file() and not left.exists()


def test_a_folder_that_takes_no_files_is_looked_at_all_the_same(folder, settings, scripts, capsys):
    study = Study.read(settings)
    finish(study, study.runs()[0])
    (folder / ".snakemake").write_text("no folder")  # as one that is read only, also for root
    opened = session.Session.open(settings | {"head": {"l2": 0.1}}, scripts, main=True)
    assert list(opened.work.pending) == study.runs()
    assert "what is to be made anew looks finished" in capsys.readouterr().err


def test_finished_runs_that_begin_anew_with_more_rounds_are_named(folder, settings, scripts, capsys):
    study = Study.read(settings)
    run = study.runs()[0]
    finish(study, run)  # its heads are gone
    opened = session.Session.open(settings | {"rounds": 3}, scripts, main=True)
    assert opened.work.pending[run] == range(3)
    assert f"1 finished runs ({run.path}) get more rounds, and all of them are made anew" in capsys.readouterr().err


def test_pages_that_wait_are_asked_for_at_the_end(folder, settings, scripts, capsys):
    asking = settings | {"oracle": "csv", "methods": {"edald": None}}
    opened = session.Session.open(asking, scripts, main=True)
    run = opened.work.study.runs()[0]
    queries = Path(opened.work.study.paths.of_round(opened.work.study.paths.queries, run, 0))
    opened.ask(folder)
    assert capsys.readouterr().err == "", "no page is written yet"
    write_text(queries, "round,image,row,column,score\n0,train-0,1,2,0.5\n")
    page = Path(opened.work.study.paths.of_round(opened.work.study.paths.page, run, 0))
    write_text(page, "<html>")
    opened.ask(folder)
    assert str(page.parent) in capsys.readouterr().err
