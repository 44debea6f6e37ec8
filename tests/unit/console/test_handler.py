"""The logger plugin between Snakemake's own logging and the screen."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake.logging import LoggerManager
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from pixelherd import errors
from unit.places import REPOSITORY

LOGGER = logging.getLogger("snakemake.logging")
HEADER = (
    *("datetime", "workflow_id", "platform", "host", "user", "snakemake_version", "python_version", "cmd", "cwd"),
    *("snakefile_main", "basedir", "rundir", "configfiles", "config_md5"),
)


class Call:
    """A call of Snakemake, of which only the logging is real."""

    def __init__(self, folder: Path, **settings) -> None:
        self.manager = LoggerManager(
            LOGGER,
            OutputSettings(
                log_handler_settings={"pixelherd": LogHandlerSettingsBase()}, show_failed_logs=True, **settings
            ),
        )
        self.manager.setup_logfile(folder)
        self.folder = folder

    def log(self, event: LogEvent | None, text: str | None = None, level: int = logging.INFO, **values) -> None:
        LOGGER.log(level, text, extra={"event": event, **values})

    def plans(self, **stats: int) -> None:
        self.log(LogEvent.RUN_INFO, "Job stats: ...", stats={**stats, "total": sum(stats.values())})

    def starts(self, job: int, rule: str, prints: bool = False) -> None:
        values = dict.fromkeys(("benchmark", "reason", "rule_msg", "shellcmd"))
        values |= {"input": [], "output": [] if prints else [f"{rule}.csv"], "log": []} | {
            "wildcards": {},
            "resources": {},
            "priority": 0,
        }
        values |= {"threads": 1, "is_checkpoint": False, "is_handover": False, "indent": False}
        self.log(LogEvent.JOB_INFO, "", **values, jobid=job, rule_name=rule, local=True)

    def finishes(self, job: int, done: int, total: int) -> None:
        self.log(LogEvent.JOB_FINISHED, f"Finished jobid: {job}", job_id=job)
        self.log(LogEvent.PROGRESS, done=done, total=total)

    def fails(self, job: int, rule: str, said: str | None) -> None:
        """Start a job that fails; ``said`` is what it leaves in its log."""
        self.starts(job, rule, prints=rule == "plan")
        path = self.folder / f"{rule}.log"
        path.unlink(missing_ok=True)
        if said is not None:
            path.write_text(said)
        self.log(LogEvent.JOB_ERROR, "", logging.ERROR, **self.failure(job, rule, path))

    def failure(self, job: int, rule: str, path: Path, indent: bool = False) -> dict:
        values = {"input": [], "output": [], "conda_env": None, "shellcmd": None, "aux": {}, "rule_msg": None}
        return values | {"jobid": job, "rule_name": rule, "log": [str(path)], "indent": indent}

    def ends(self) -> str:
        (log,) = self.manager.get_logfile()
        self.manager.stop()
        return Path(log).read_text()


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Starts a call of Snakemake in a folder, and ends it at the latest after the test."""
    started = []
    monkeypatch.chdir(tmp_path)

    def start(**settings) -> Call:
        started.append(Call(tmp_path, **settings))
        return started[-1]

    yield start
    for each in started:
        each.manager.stop()


def lines_of(capfd) -> list[str]:
    return capfd.readouterr().err.splitlines()


def test_progress_is_a_few_lines_and_the_log_has_all(call, capfd):
    run = call()
    run.plans(extract=40, all=1)
    for number in range(41):
        run.starts(number, "extract" if number < 40 else "all")
        run.finishes(number, number + 1, 41)
    log = run.ends()
    lines = lines_of(capfd)
    assert lines[0].startswith("41 jobs; all that they and Snakemake say is in .snakemake/log/")
    assert lines[1].startswith("9 of 41 jobs") and len(lines) <= 7
    assert lines[-1].startswith("41 of 41 jobs done in ")
    assert "rule extract:" in log and "41 of 41 steps (100%) done" in log


def test_what_jobs_print_goes_to_the_log_and_what_they_say_comes_last(call, capfd):
    run = call()
    run.plans(prepare=1, extract=1)
    run.starts(1, "prepare")
    program = (
        "import sys; from pixelherd.errors import *; print('noise', file=sys.stderr); mention('waiting'); say('look')"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    run.finishes(1, 1, 2)
    errors.show("a table")
    log = run.ends()
    written = capfd.readouterr()
    lines = written.err.splitlines()
    assert "noise" in log and "noise" not in lines
    assert "pixelherd: waiting ..." in lines and lines[-1] == "pixelherd: look"
    assert written.out == "\na table\n"
    errors.say("after Snakemake")
    assert lines_of(capfd) == ["pixelherd: after Snakemake"]


def test_news_from_before_the_jobs_is_said_at_once_and_again_at_the_end(call, capfd):
    run = call()
    errors.say("runs of another version are kept")
    run.plans(fit=2)
    run.starts(1, "fit")
    run.finishes(1, 1, 2)
    run.ends()
    lines = lines_of(capfd)
    assert lines[0] == lines[-1] == "pixelherd: runs of another version are kept"
    run = call()
    errors.say("runs of another version are kept")
    run.log(None, "Nothing to be done (all requested files are present and up to date).")
    run.ends()
    assert lines_of(capfd) == [
        "pixelherd: runs of another version are kept",
        "Nothing to be done (all requested files are present and up to date).",
    ]


def test_a_mistake_is_the_last_line(call, capfd):
    run = call()
    run.plans(prepare=2, extract=1)
    run.fails(1, "prepare", "dataset a has no images; set `root`\n")
    run.log(LogEvent.ERROR, "RuleException:\nCalledProcessError in file x, line 2:\nCommand ...", logging.ERROR)
    run.log(None, "Exiting because a job execution failed. Look above for error messages", logging.ERROR)
    errors.say("what is finished is kept")
    run.log(LogEvent.ERROR, "WorkflowError:\nAt least one job did not complete successfully.", logging.ERROR)
    run.ends()
    assert lines_of(capfd)[-2:] == [
        "pixelherd: what is finished is kept",
        "pixelherd: dataset a has no images; set `root`",
    ]


def test_a_traceback_and_a_killed_job_are_told_by_where_to_look(call, capfd):
    run = call()
    run.plans(herd=1, fit=2)
    run.fails(1, "herd", "Traceback (most recent call last):\n  ...\nRuntimeError: no\n")
    run.fails(2, "fit", None)
    run.ends()
    lines = lines_of(capfd)
    assert lines[-2] == f"pixelherd: herd failed: RuntimeError: no; its log is {run.folder}/herd.log"
    assert lines[-1].startswith("pixelherd: fit failed without a word") and f"{run.folder}/fit.log" in lines[-1]
    assert any(line.startswith("0 of 3 jobs done in") and "2 failed" in line for line in lines)


def test_a_job_that_is_tried_again_with_success_is_no_mistake(call, capfd):
    run = call()
    run.plans(fit=1, all=1)
    run.starts(1, "fit")
    os.write(2, b"pixelherd: the disk is full\n")
    run.fails(1, "fit", "the disk is full\n")
    run.starts(1, "fit")
    run.finishes(1, 1, 2)
    run.finishes(0, 2, 2)
    run.ends()
    written = capfd.readouterr().err
    assert "the disk is full" not in written and "2 of 2 jobs done in" in written and "failed" not in written


def test_of_a_group_those_are_told_that_could_say_something(call, capfd):
    run = call()
    run.plans(pool=1, score=1, fit=1)
    for rule, said in (("pool", "done\n"), ("score", "a head is damaged; delete it\n")):
        (run.folder / f"{rule}.log").write_text(said)
    group = [
        run.failure(job, rule, run.folder / f"{rule}.log", True) for job, rule in enumerate(("pool", "score", "fit"), 1)
    ]
    run.starts(1, "pool")
    run.log(LogEvent.GROUP_ERROR, "Error in group", logging.ERROR, aux_logs=["slurm.log"], job_error_info=group)
    for each in group:
        run.log(LogEvent.JOB_ERROR, "", logging.ERROR, **each)
    run.ends()
    assert lines_of(capfd)[1:] == [
        f"0 of 3 jobs done in 0 s, 3 failed; all that they said is in {place_of(run)}",
        "pixelherd: a head is damaged; delete it",
    ]


def place_of(run: Call) -> Path:
    (log,) = (run.folder / ".snakemake" / "log").iterdir()
    return log.relative_to(run.folder)


def test_mistakes_in_the_study_are_told_without_what_snakemake_writes_around_them(call, capfd):
    run = call()
    text = 'WorkflowError in file "x.smk", line 3:\npixelherd: study: budgets: wrong; mend it\n  File "x.smk", line 3'
    for begun in (False, True):
        if begun:
            run = call()
            run.plans(fit=2)
            run.starts(1, "fit")
        run.log(LogEvent.ERROR, text, logging.ERROR)
        run.ends()
        lines = lines_of(capfd)
        assert lines[-1] == "pixelherd: study: budgets: wrong; mend it"
        assert len(lines) == (3 if begun else 1), "the line in Snakemake's log is the same one"


def test_mistakes_of_snakemake_are_told_as_they_are(call, capfd):
    run = call()
    run.log(LogEvent.ERROR, "MissingRuleException:\nNo rule to produce x", logging.ERROR)
    run.log(None, "a file is odd", logging.WARNING)
    run.ends()
    lines = lines_of(capfd)
    assert lines == ["pixelherd: Snakemake warns: a file is odd", "MissingRuleException:", "No rule to produce x"]


def test_a_call_that_runs_no_workflow_is_answered(call, capfd):
    for started, lines in ((False, ["Unlocked working directory."]), (True, [])):
        run = call()
        run.log(None, "Assuming unrestricted shared filesystem usage.")
        run.log(None, "Unlocked working directory.")
        if started:
            run.log(LogEvent.WORKFLOW_STARTED, "Workflow has started!", **dict.fromkeys(HEADER))
        run.ends()
        assert lines_of(capfd) == lines


def test_a_target_that_answers_has_the_screen_to_itself(call, capfd):
    run = call()
    run.plans(plan=1, doctor=1)
    run.starts(0, "plan", prints=True)
    print("a bar", file=sys.stderr)
    run.fails(0, "plan", "no folder\n")  # which the job has printed
    run.ends()
    assert lines_of(capfd) == ["a bar"]


def test_a_single_job_of_the_workflow_is_shown_as_many_are(call, capfd):
    run = call()
    run.plans(write_tables=1)
    run.starts(0, "write_tables")
    run.finishes(0, 1, 1)
    run.ends()
    assert lines_of(capfd)[-1].startswith("1 of 1 jobs done in")


@pytest.mark.parametrize("flag", ["verbose", "printshellcmds", "debug_dag"])
def test_flags_bring_back_what_snakemake_writes(call, capfd, flag):
    run = call(**{flag: True})
    errors.say("at once")
    run.plans(fit=2)
    run.starts(1, "fit")
    run.finishes(1, 1, 2)
    run.ends()
    written = capfd.readouterr().err
    assert "pixelherd: at once" in written and "1 of 2 jobs" not in written
    assert "Job stats" in written and "rule fit:" in written and "1 of 2 steps (50%) done" in written


def test_where_no_log_can_be_written_progress_is_shown_all_the_same(tmp_path, capfd):
    run = Call.__new__(Call)
    run.manager, run.folder = (
        LoggerManager(LOGGER, OutputSettings(log_handler_settings={"pixelherd": LogHandlerSettingsBase()})),
        tmp_path,
    )
    run.plans(fit=2)
    run.starts(1, "fit")
    os.write(2, b"a job\n")
    run.finishes(1, 1, 2)
    run.manager.stop()
    lines = lines_of(capfd)
    assert lines[:2] == ["2 jobs", "a job"] and lines[-1].startswith("1 of 2 jobs done in")


def test_the_profiles_name_the_console_only_where_it_is_installed(monkeypatch):
    import yte

    for name in ("default", "slurm"):
        text = (REPOSITORY / "profiles" / name / "config.yaml").read_text()
        assert yte.process_yaml(text, require_use_yte=True)["logger"] == "pixelherd"
        with monkeypatch.context() as bare:
            bare.setattr("pkgutil.iter_modules", lambda: iter(()))
            profile = yte.process_yaml(text, require_use_yte=True)
            assert "logger" not in profile and profile["scheduler"] == "greedy"
