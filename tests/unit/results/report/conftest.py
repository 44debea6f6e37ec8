"""A small study and its report."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pixelherd.results.figures.write import write_figures
from pixelherd.results.report.page import make_report
from pixelherd.results.settings import TableSettings
from pixelherd.storage.stores import writing
from unit.places import REPOSITORY
from unit.results.drawn import METHODS, write_own_run, write_run, write_study

FILES = REPOSITORY / "workflow" / "report"
TEMPLATE = (FILES / "report.html.j2").read_text()
CAPTIONS = yaml.safe_load((FILES / "captions.yaml").read_text())
SETTINGS = TableSettings(reference="random")


def report(folders: list[Path], drawn: Path) -> str:
    return make_report(folders, 3, drawn, TEMPLATE, CAPTIONS, METHODS, SETTINGS)


def draw(folders: list[Path], figures: Path) -> Path:
    with writing(figures, {}, inside="") as folder:
        write_figures(folders, 3, folder, METHODS, SETTINGS)
    return figures


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> list[Path]:
    """Do not change it."""
    return write_study(tmp_path_factory.mktemp("study") / "runs")


@pytest.fixture(scope="session")
def drawn(study, tmp_path_factory) -> Path:
    """The study's figures; copy them before changing anything."""
    return draw(study, tmp_path_factory.mktemp("drawn") / "figures")


@pytest.fixture(scope="session")
def own(tmp_path_factory) -> str:
    """The report of a person's own images."""
    root = tmp_path_factory.mktemp("own")
    folders = [write_own_run(root / "runs")]
    return report(folders, draw(folders, root / "figures"))


@pytest.fixture(scope="session")
def several(study, drawn, tmp_path_factory) -> str:
    """The report of two setups, of which one lacks figures."""
    root = tmp_path_factory.mktemp("several")
    return report([*study, *(write_run(root, method, features="coarse") for method in METHODS)], drawn)


@pytest.fixture
def saved(study, drawn, own, several, tmp_path) -> Callable[[str], Path]:
    """Saves one of the reports as a file."""
    made = {"study": lambda: report(study, drawn), "own": lambda: own, "several": lambda: several}

    def save(kind: str) -> Path:
        path = tmp_path / f"{kind}.html"
        path.write_text(made[kind]())
        return path

    return save
