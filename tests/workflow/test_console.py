"""What a person sees of a call of Snakemake, in a file and on a terminal."""

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import REPOSITORY, Workspace

PROFILE = "Using workflow specific profile"


def without_tables(finished: Workspace, folder: Path) -> Workspace:
    """The finished study before its tables and its report."""
    study = finished.copy(folder)
    shutil.rmtree(study.results_folder / "tables")
    shutil.rmtree(study.results_folder / "figures")
    (study.results_folder / "report.html").unlink()
    return study


def on_terminal(study: Workspace, *arguments: str, **variables: str) -> tuple[int, str]:
    """Exit status and screen of a call on a terminal."""
    call = study.call(*arguments)
    call["env"] = {key: value for key, value in call["env"].items() if key != "NO_COLOR"}
    call["env"] |= {"TERM": "xterm", **variables}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(**call, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    screen = b""
    try:
        while part := os.read(ours, 4096):
            screen += part
    except OSError:  # how Linux says that a terminal has nobody left
        pass
    os.close(ours)
    return process.wait(), screen.decode()


def test_in_a_file_a_call_is_a_few_lines_and_its_results(finished, tmp_path):
    study = without_tables(finished, tmp_path / "study")
    done = study.snakemake()
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("pixelherd: results/", PROFILE))]
    assert re.fullmatch(r"\d+ jobs; all that they and Snakemake say is in (.*)", lines[0])
    assert "jobs done in" in lines[-1] and len(lines) <= 12
    assert "\x1b" not in done.stdout + done.stderr and "\r" not in done.stdout + done.stderr
    log = Path(lines[0].partition(" say is in ")[2])
    assert "Finished jobid" in (REPOSITORY / log).read_text()
    table = (study.results_folder / "tables" / "final.md").read_text()
    assert done.stdout == f"\n{table}\nThe report: {study.results_folder / 'report.html'}\n"
    again = study.snakemake()
    assert again.stderr.splitlines()[1:] == ["Nothing to be done (all requested files are present and up to date)."]
    assert again.stdout == done.stdout, "the results are shown all the same"
    assert study.snakemake("runs").stdout == "" == study.snakemake("--quiet", "all").stdout


def test_on_a_terminal_one_line_is_rewritten(finished, tmp_path):
    study = without_tables(finished, tmp_path / "study")
    status, screen = on_terminal(study)
    assert status == 0
    assert len(re.findall(r"\r\x1b\[K\d+ of \d+ jobs", screen)) > 5
    seen = [line.rstrip("\r").rpartition("\x1b[K")[2] for line in screen.split("\n")]
    assert "The report: " in screen and "write_report" in screen
    assert sum(bool(re.match(r"\d+ of \d+ jobs", line)) for line in seen) == 1, "what was rewritten is gone"


@pytest.mark.parametrize("flags", [["--verbose"], ["--printshellcmds"], ["--debug-dag"]])
def test_flags_bring_back_what_snakemake_writes(finished, tmp_path, flags):
    study = without_tables(finished, tmp_path / "study")
    done = study.snakemake("tables", *flags)
    assert "Job stats" in done.stderr and "Finished jobid" in done.stderr and "steps (100%) done" in done.stderr
    assert "jobs done in" not in done.stderr
    assert (study.results_folder / "tables" / "final.md").read_text() in done.stdout


def test_a_quiet_call_prints_no_table(finished, tmp_path):
    study = without_tables(finished, tmp_path / "study")
    assert study.snakemake("tables", "--quiet").stdout == ""


def test_a_dry_run_lists_jobs(finished, tmp_path):
    study = without_tables(finished, tmp_path / "study")
    listed = study.snakemake("-n")
    assert "This was a dry-run" in listed.stdout and "rule all" in listed.stdout


def test_a_mistake_is_the_only_line_and_coloured_on_a_terminal(finished, tmp_path):
    study = Workspace(tmp_path, {**finished.settings, "methods": {"edal": None}})
    done = study.snakemake("plan", check=False)
    profile, mistake = done.stderr.splitlines()
    assert profile.startswith(PROFILE)
    assert mistake == "pixelherd: study: methods.edal: unknown score 'edal' (did you mean 'edald'?)"
    status, screen = on_terminal(study, "plan")
    assert status == 1 and screen.splitlines()[-1] == f"\x1b[31m{mistake}\x1b[0m"
    _, screen = on_terminal(study, "plan", NO_COLOR="1")
    assert screen.splitlines()[-1] == mistake


def test_a_missing_folder_is_one_line_of_plan(finished, tmp_path):
    study = Workspace(tmp_path, finished.settings)
    done = study.snakemake("plan", check=False)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 2
    assert done.stderr.splitlines()[-1].startswith("pixelherd: dataset folder data does not exist; set `root`")


def test_the_mistake_of_a_job_is_the_last_line_and_the_way_on_the_line_before(finished, tmp_path):
    study = finished.copy(tmp_path / "study")
    run = study.results_folder / "runs/street/ddpm/random/budget-4/seed-0"
    head = run / "round-1" / "head.safetensors"
    head.write_bytes(head.read_bytes()[:-1])
    (run / "run.json").unlink()
    done = study.snakemake(check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    *_, advice, mistake = done.stderr.splitlines()
    assert mistake.startswith("pixelherd: ") and "round-1/head.safetensors" in mistake and "delete" in mistake
    assert advice.startswith("pixelherd: what is finished is kept; ") and "snakemake --cores 2" in advice
    assert re.search(r"\d+ of \d+ jobs done in .*, 1 failed; all that they said is in ", done.stderr)


@pytest.mark.parametrize("console_is_there", [False, True])
def test_snakemake_works_beside_another_version_of_the_package(tmp_path, console_is_there):
    other = tmp_path / "other"
    other.mkdir()
    (other / "pixelherd.py").write_text("__version__ = '9.9.9'\n")
    if console_is_there:
        name = "snakemake_logger_plugin_pixelherd"
        shutil.copytree(REPOSITORY / "workflow" / name, other / name)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "plan", "-d", str(tmp_path / "here")]
    environment = os.environ | {"PYTHONPATH": str(other)}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "pixelherd: the Python package has version 9.9.9, but this workflow is of" in done.stderr
    assert "Traceback" not in done.stderr and "invalid choice" not in done.stderr


def test_the_command_runs_a_study_from_its_folder(finished, tmp_path):
    study = finished.copy(tmp_path / "study")
    (study.folder / "config.yaml").write_text(yaml.safe_dump(study.settings, sort_keys=False))
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")}
    for arguments, printed in ((["plan"], "nothing remains to be done"), (["run", "-c", "2"], "Nothing to be done")):
        command = [sys.executable, "-m", "pixelherd", *arguments]
        done = subprocess.run(command, cwd=study.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0 and printed in done.stdout + done.stderr
    command = [sys.executable, "-m", "pixelherd", "run", "nothing"]
    done = subprocess.run(command, cwd=study.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "No rule to produce nothing" in done.stderr
