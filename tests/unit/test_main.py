"""The command: which call of Snakemake it becomes, and what it says itself."""

import os
import shutil
import subprocess
import sys

import pytest

from pixelherd.__main__ import COMMANDS, COMPLETIONS, FLAGS, command
from pixelherd.errors import UserError
from pixelherd.storage.shipped import SHIPPED
from unit.places import REPOSITORY


def call(*arguments: str, **options) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")}
    line = [sys.executable, "-m", "pixelherd", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, **options)


def flags_of(*arguments: str) -> list[str]:
    return command(arguments)[4:]


def test_commands_are_targets_of_the_workflow_that_comes_with_the_package():
    workflow = ["--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "all"]
    assert flags_of("run", "-n") == [*workflow, "-n"]
    assert flags_of("plan") == ["plan", *workflow]
    assert flags_of("run", "features", "--config", "seeds=[1]")[4:] == ["features", "--config", "seeds=[1]"]


@pytest.mark.parametrize("flags", [["-c2"], ["-c", "2"], ["--cores=2"], ["-j", "2"], ["--workflow-profile", "slurm"]])
def test_who_says_how_much_works_at_a_time_is_heard(flags):
    assert flags_of("run", *flags)[2:] == flags


def test_a_study_of_the_package_is_found_from_anywhere_and_ones_own_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = "studies/camvid.yaml"
    assert flags_of("plan", "--configfile", study)[-1] == str(SHIPPED / study)
    (tmp_path / "studies").mkdir()
    (tmp_path / study).touch()
    assert flags_of("plan", "--configfile", study)[-1] == study


def test_a_command_that_is_not_there_is_a_mistake_with_the_nearest_name():
    with pytest.raises(UserError, match=r"there is no command 'pln' \(did you mean 'plan'\?\)"):
        command(["pln"])
    done = call("pln")
    assert done.returncode == 2 and done.stderr.startswith("pixelherd: there is no command 'pln'")


def test_help_names_every_command_and_examples_that_are_commands():
    done = call("--help")
    assert done.returncode == 0 and done.stdout == call("plan", "-h").stdout == call().stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert set(COMMANDS) <= {words[0] for words in lines if words}
    assert {words[1] for words in lines if words[:1] == ["pixelherd"]} <= set(COMMANDS)


def test_the_flags_that_a_shell_completes_are_those_of_snakemake():
    from snakemake.cli import get_argument_parser

    known = {name for action in get_argument_parser()._actions for name in action.option_strings}
    assert set(FLAGS) <= known


@pytest.mark.parametrize("shell", COMPLETIONS)
def test_shells_complete_commands_and_flags(shell, tmp_path):
    script = tmp_path / "completion"
    script.write_text(call("completion", shell).stdout)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    if shell == "bash":
        ask = "COMP_WORDS=(pixelherd {}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _pixelherd; echo ${{COMPREPLY[@]}}"
        words = {"p": ["plan", "predict"], "run --config": ["--config", "--configfile"]}
        for typed, expected in words.items():
            done = subprocess.run(
                [shell, "-c", f". {script}; {ask.format(typed)}"], capture_output=True, text=True, check=True
            )
            assert done.stdout.split() == expected
    else:
        subprocess.run([shell, "-n", str(script)], check=True)


def test_another_shell_is_a_mistake():
    done = call("completion", "tcsh")
    assert done.returncode == 2 and "there is no completion for 'tcsh'" in done.stderr
