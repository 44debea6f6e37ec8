"""The environments that a study may run in agree, and the SLURM profile keeps what the default one says."""

import re
import tomllib

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from unit.places import REPOSITORY


def read(name):
    return yaml.safe_load((REPOSITORY / name).read_text())


def test_the_conda_environment_holds_what_the_package_depends_on():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    *conda, pip = read("envs/pixelherd.yaml")["dependencies"]
    # Snakemake starts the jobs and is not part of their environment
    wanted = {each for each in project["dependencies"] if not each.startswith("snakemake")}
    assert set(pip["pip"]) == wanted
    assert f"python {project['requires-python']}" in conda


@pytest.mark.parametrize("key", ["scheduler", "rerun-incomplete", "keep-going", "show-failed-logs", "rerun-triggers"])
def test_profiles_agree(key):
    assert read("profiles/slurm/config.yaml")[key] == read("profiles/default/config.yaml")[key]


def test_nothing_but_slurm_limits_array_jobs():
    """Under a limit the executor forgets jobs of an array that is not complete, and waits for them for ever."""
    profile = read("profiles/slurm/config.yaml")
    assert profile["slurm-array-jobs"] and profile["jobs"] >= 100_000
    assert not {"cores", "resources"} & profile.keys()


def rules() -> dict[str, str]:
    """The rules by their names."""
    found = {}
    for path in sorted((REPOSITORY / "workflow" / "rules").glob("*.smk")):
        for rule in f"\n{path.read_text()}".split("\nrule ")[1:]:
            found[rule.split(":")[0]] = rule
    return found


def test_every_rule_says_what_it_needs():
    for name, rule in rules().items():
        assert "    resources:\n        **needs(" in rule, name


def test_what_prints_to_the_user_is_no_job_of_the_queue():
    local = (REPOSITORY / "workflow" / "Snakefile").read_text().split("localrules:")[1].split("rule all:")[0]
    printing = {name for name, rule in rules().items() if "\n    output:" not in rule}
    assert printing == {"plan", "predict", "doctor", "verify", "unused", "label"}
    assert all(f"    {name},\n" in local for name in printing)


@pytest.mark.parametrize("executor", ["kubernetes", "aws-batch", "googlebatch", "htcondor", "lsf"])
def test_profiles_of_executors_agree_with_the_default_one_and_have_an_extra(executor):
    profile = read(f"profiles/{executor}/config.yaml")
    assert profile["executor"] == executor
    default = read("profiles/default/config.yaml")
    assert {key: profile[key] for key in default if not key.startswith(("_", "?"))} == {
        key: value for key, value in default.items() if not key.startswith(("_", "?"))
    }
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(f"snakemake-executor-plugin-{executor}" in each for each in extras[executor])


def test_the_image_of_jobs_has_the_python_and_the_plugins_that_the_package_asks_for():
    lines = (REPOSITORY / "envs" / "Dockerfile").read_text().splitlines()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    (version,) = re.findall(r"^FROM python:([\d.]+)-slim$", "\n".join(lines), re.MULTILINE)
    assert Version(version) in SpecifierSet(project["requires-python"])
    (extras,) = re.findall(r"pip install \S+ '/opt/pixelherd\[([\w,-]+)\]'", "\n".join(lines))
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    assert {"torch", "zarr", "=="}.isdisjoint(" ".join(lines).split()), "pyproject.toml alone has versions"
