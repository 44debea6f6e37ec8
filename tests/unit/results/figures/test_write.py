"""All figures of a study: which files are drawn, and the same bytes."""

import json
import shutil

import matplotlib
import pytest

from pixelherd.results.figures import asked as asked_figures
from pixelherd.results.figures import evaluated as evaluated_figures
from pixelherd.results.figures.write import write_figures
from pixelherd.results.settings import TableSettings
from pixelherd.results.tables import asked, runs
from unit.results.drawn import METHODS, files, write_run


def test_same_files_and_bytes_whatever_the_users_settings(study, tmp_path):
    compared = TableSettings(reference="random")
    write_figures(study, 3, tmp_path / "one", METHODS, compared)
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "svg.hashsalt": None}):
        write_figures(study[::-1], 3, tmp_path / "two", METHODS, compared)
        assert matplotlib.rcParams["font.size"] == 20  # a caller's settings are left alone
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    twice = ["differences", "labels_per_class", "learning_curves", "settling"]
    names = ["labels_per_round.png", "overlay-edald.png", "overlay-random.png", "scores-edald.png"]
    names += [f"{name}.{suffix}" for name in twice for suffix in ("png", "svg")]
    assert sorted(one) == [
        *(f"toy/ddpm/budget-0.1/{name}" for name in sorted(names)),
        "toy/ddpm/budget-all/overlay-full.png",
    ]
    assert one == two


@pytest.mark.parametrize("name", ["$x_{$", "$\\frac$ <svg onload=1>"])
@pytest.mark.hostile("names that leave the house")
def test_names_are_shown_as_they_are(study, tmp_path, name):
    folder = tmp_path / "run"
    shutil.copytree(study[0], folder)
    seal = json.loads((folder / "run.json").read_text())
    seal["classes"][0]["name"] = name
    (folder / "run.json").write_text(json.dumps(seal))
    write_figures([folder], 3, tmp_path / "figures", METHODS)
    drawn = [content for file, content in files(tmp_path / "figures").items() if file.endswith(".svg")]
    assert drawn and not any(b"<svg onload" in content for content in drawn)


def test_only_the_rounds_asked_for_are_drawn(study, tmp_path):
    longer = [write_run(tmp_path / "longer", "random", rounds=5), write_run(tmp_path / "short", "random", rounds=3)]
    for name in ("metrics.csv", "round-0/labels.csv", "round-1/labels.csv", "round-2/labels.csv"):
        (longer[1] / name).write_bytes((longer[0] / name).read_bytes())
    drawn = []
    for folder in longer:
        evaluated_figures.learning_curves(runs.read_metrics([folder], 3), folder / "figures")
        asked_figures.class_bars(asked.labels_per_class([folder], 3), folder / "figures")
        drawn.append(files(folder / "figures"))
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(("rounds", "runs"), [(1, slice(0, 4)), (3, slice(0, 1)), (3, slice(4, 5))])
def test_small_studies_can_be_drawn(study, tmp_path, rounds, runs):
    write_figures(study[runs], rounds, tmp_path / "figures", METHODS)
    assert any(name.endswith("learning_curves.png") for name in files(tmp_path / "figures"))
