"""The recipes of CONTRIBUTING.md, followed to the letter in copies of the repository: they are short, and they work."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from unit import recipes
from unit.places import REPOSITORY

RECIPES = recipes.read(REPOSITORY / "CONTRIBUTING.md")

PARTS = ("archive", "backbones", "benchmarks", "config", "docs", "envs", "profiles", "studies", "tests", "workflow")
"""Folders that a copy has; others are caches and results."""

ROOMS = (
    *("selection/test_acquisition.py", "selection/test_choose.py"),
    *("features/backbones/sources", "results/tables", "study/test_study.py"),
    *("pipeline/test_source.py", "test_architecture.py", "test_documentation.py"),
)
"""Tests of the places that list parts, and of all that holds for each part."""

PYTEST = ("pytest", "-q", "-n0", "-p", "no:cacheprovider")


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the repository."""
    root = tmp_path / "pixelherd"
    root.mkdir()
    for path in REPOSITORY.iterdir():
        if path.is_file():
            shutil.copy(path, root)
    for name in PARTS:
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def call(copy: Path, *arguments: str) -> None:
    """Run a module of Python in a copy; its output is the message where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=copy, env=recipes.environment(copy), capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def changed(steps: list[recipes.Step]) -> list[str]:
    """Files of Python that steps make or change."""
    return sorted({step.file for step in steps if step.file.endswith(".py")})


def test_there_is_a_recipe_for_each_kind_of_part():
    assert list(RECIPES) == ["Add a score", "Add a rule", "Add a dataset reader", "Add a backbone", "Add a table"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_short(recipe):
    assert 0 < sum(step.new_lines for step in RECIPES[recipe]) <= (40 if recipe == "Add a backbone" else 30)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_works(recipe, copy):
    steps = RECIPES[recipe]
    for step in steps:
        if step.language == "diff":
            assert len(step.places(copy)) == 1, f"{step.file} does not have once:\n" + "\n".join(step.before)
        elif step.file:
            assert not (copy / step.file).exists(), f"{step.file} is there already"
        step.follow(copy)
    files = changed(steps)
    call(copy, "ruff", "check", *files)
    call(copy, "ruff", "format", "--check", *files)
    tests = [f"{step.file}::{name}" for step in steps for name in step.tests]
    assert tests, "a recipe has a test"
    call(copy, *PYTEST, *tests)


@pytest.mark.slow
def test_after_all_recipes_the_rules_of_the_house_still_hold(copy):
    steps = [step for recipe in RECIPES.values() for step in recipe]
    for step in steps:
        step.follow(copy)
    call(copy, "ruff", "check", *changed(steps))
    call(copy, "mypy")
    marks = "not slow and not slurm and not browser and not hostile"  # nothing of a recipe reads what others give
    others = "not a_hash_follows"  # copies of the package again
    call(copy, *PYTEST, "-m", marks, "-k", others, *(f"tests/unit/{name}" for name in ROOMS))
