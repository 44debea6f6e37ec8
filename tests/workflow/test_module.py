"""The workflow in other people's hands: as a module of theirs, deployed, and from other working directories."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import REPOSITORY, Workspace

MODULE = """
configfile: "study.yaml"


onstart:
    print("the outer workflow starts")


module pixelherd:
    snakefile:
        "{repository}/workflow/Snakefile"
    config:
        config
{more}

use rule * from pixelherd as pixelherd_*


rule everything:
    default_target: True
    input:
        rules.pixelherd_all.input,
"""


def snakemake(folder, *arguments, repository=REPOSITORY):
    """Call Snakemake in a folder, with the package of a repository."""
    environment = os.environ | {"PYTHONPATH": str(repository / "workflow")}
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture
def outer(tmp_path, settings, raw_images):
    """A workflow of somebody else that uses this one as a module; gives a function that writes it."""

    def write(more=""):
        (tmp_path / "data").symlink_to(raw_images)
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        (tmp_path / "Snakefile").write_text(MODULE.format(repository=REPOSITORY, more=more))
        return tmp_path

    return write


@pytest.mark.slow
def test_a_study_as_a_module_gives_the_same_bytes(outer, finished, settings):
    folder = outer()
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "the outer workflow starts" in done.stdout
    assert Workspace(folder, settings).results() == finished.results()
    again = snakemake(folder)
    assert "Nothing to be done" in again.stdout


def test_a_modules_prefix_is_refused_in_one_line(outer):
    done = snakemake(outer('    prefix: "elsewhere"\n'), "-n")
    assert done.returncode == 1
    assert (
        "pixelherd: `prefix` of a module is not taken; set `results` and `cache` in its config instead" in done.stdout
    )
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("version", ["9.9.9", None])
def test_a_missing_package_or_one_of_another_version_is_told_in_one_line(outer, tmp_path, version):
    folder, other = outer(), tmp_path / "other"
    (other / "workflow").mkdir(parents=True)
    package = other / "workflow" / "pixelherd.py"
    package.write_text(f"__version__ = {version!r}\n" if version else "raise ModuleNotFoundError('pixelherd')\n")
    done = snakemake(folder, "-n", repository=other)
    assert done.returncode == 1
    found = f"has version {version}, but this workflow is of" if version else "is not installed"
    assert re.search(
        rf"pixelherd: the Python package {found}.*; pip install -e {re.escape(str(REPOSITORY))}", done.stdout
    )
    assert "Traceback" not in done.stdout


def test_from_any_working_directory_the_demo_is_found(tmp_path):
    done = snakemake(tmp_path, "-s", str(REPOSITORY / "Snakefile"), "-d", str(tmp_path / "here"), "plan")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "demo: 80 train, 40 test images" in done.stdout
    dry = snakemake(tmp_path, "-s", str(REPOSITORY / "workflow" / "Snakefile"), "-d", str(tmp_path / "here"), "-n")
    assert dry.returncode == 0 and "write_report" in dry.stdout, dry.stdout[-3000:]


@pytest.mark.slow
def test_a_deployed_workflow_runs(tmp_path, settings, raw_images, finished):
    pytest.importorskip("snakedeploy", reason="snakedeploy is missing: pip install -e '.[test]'")
    clone = tmp_path / "pixelherd"
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
    subprocess.run(["git", "-C", str(clone), "tag", "release"], check=True)
    deployed = tmp_path / "deployed"
    command = [
        str(Path(sys.executable).with_name("snakedeploy")),
        "deploy-workflow",
        str(clone),
        str(deployed),
        "--tag",
        "release",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((deployed / "config" / "config.yaml").read_text())["datasets"].keys() == {"demo"}
    # the provider of local clones writes a path that is relative to the clone
    snakefile = deployed / "workflow" / "Snakefile"
    text = snakefile.read_text()
    assert '"workflow/Snakefile"' in text
    snakefile.write_text(text.replace('"workflow/Snakefile"', f'"{clone}/workflow/Snakefile"'))
    (deployed / "data").symlink_to(raw_images)
    settings = {**settings, "methods": {"random": None}}
    (deployed / "config" / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    done = snakemake(deployed, repository=clone)
    assert done.returncode == 0, done.stdout[-3000:]
    found, expected = Workspace(deployed, settings).results(), finished.results()
    assert "report.html" in found
    assert {name for name in found if name.startswith("runs/")} == {
        name for name in expected if name.startswith("runs/street/ddpm/random/")
    }
    assert all(found[name] == expected[name] for name in found if name.startswith("runs/"))
    shutil.rmtree(deployed)
