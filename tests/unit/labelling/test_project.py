"""The project of a folder: its size, its study, its rounds, and who may open it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from pixelherd.errors import UserError
from pixelherd.labelling import project as projects
from pixelherd.labelling.store import UNKNOWN, Class, Said
from pixelherd.study.study import Study


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, size in (("a", (640, 480)), ("b", (640, 480)), ("c", (480, 640))):
        Image.new("RGB", size).save(folder / f"{name}.png")
    return folder


def open_project(photographs):
    return projects.begin(photographs, projects.folder_for(photographs, None))


def add_classes(project, *names):
    return [project.store.describe(Class(0, name, "#102030", ""), "ann") for name in names]


def say(project, place, label, reason="chosen"):
    question = project.store.ask(place, reason, "ann")
    return project.store.answer(Said(*place, label, "ann", question=question.id))


def test_a_folder_gets_a_project_beside_it_and_the_same_again(photographs):
    project = open_project(photographs)
    assert Path.cwd() == photographs.with_name("photos-labels") and project.size == (384, 512)
    assert sorted(project.samples()) == ["a", "b", "c"] and project.settings.root == "../photos"
    assert (project.run.path, project.run.budget) == ("photographs/encoder/uherding/budget-20/seed-0", "20")
    Image.new("RGB", (900, 900)).save(photographs / "d.png")
    again = open_project(photographs)
    assert again.size == (384, 512) and sorted(again.samples()) == ["a", "b", "c", "d"]


def test_where_a_project_may_not_lie(photographs, tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        projects.folder_for(tmp_path / "nothing", None)
    with pytest.raises(UserError, match="in the folder of photographs"):
        projects.folder_for(photographs, photographs / "labels")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no photographs in"):
        projects.begin(tmp_path / "empty", tmp_path / "other")
    open_project(photographs)
    other = tmp_path / "other photos"
    other.mkdir()
    Image.new("RGB", (64, 64)).save(other / "a.png")
    with pytest.raises(UserError, match="is the project of"):
        projects.begin(other, photographs.with_name("photos-labels"))


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        ([(4000, 3000)] * 3, [384, 512]),
        ([(3000, 4000)] * 3, [512, 384]),
        ([(64, 48)], [64, 64]),
        ([(100, 100)], [96, 96]),
        ([(20, 16)], [32, 32]),
        ([(6000, 2000), (4000, 3000), (4000, 3000)], [384, 512]),
    ],
)
def test_the_size_suits_most_photographs(sizes, found, tmp_path):
    files = {}
    for number, size in enumerate(sizes):
        files[str(number)] = tmp_path / f"{number}.png"
        Image.new("L", size).save(files[str(number)])
    assert projects.size_of(files) == found


def test_turned_photographs_count_as_they_are_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (640, 480)).save(tmp_path / "a.jpg", exif=exif)
    assert projects.size_of({"a": tmp_path / "a.jpg"}) == [512, 384]
    (tmp_path / "b.jpg").write_bytes(b"nothing")
    with pytest.raises(UserError, match="no photograph that can be read"):
        projects.size_of({"b": tmp_path / "b.jpg"})


def test_the_study_is_written_with_its_rounds_and_a_correction_breaks_the_seal(photographs):
    project = open_project(photographs)
    assert project.write(project.rounds({"a", "b", "c"})) is None and not project.study_file.exists()
    road, sky, car = add_classes(project, "road", "sky", "car")
    first = say(project, ("a", 1, 2), road.id)
    say(project, ("b", 3, 4), sky.id, reason="random")
    project.store.checkpoint(2)
    say(project, ("=c", 5, 6), UNKNOWN)
    last = say(project, ("c", 5, 6), car.id)
    project.store.checkpoint(last.id)
    project.write(project.rounds({"a", "b", "c"}))
    study = Study.read(yaml.safe_load(project.study_file.read_text()))
    assert (study.oracle, study.rounds) == ("log", 2) and study.runs() == [project.run]
    classes = study.datasets["photographs"].classes
    assert next((each.name, each.key, each.colour) for each in classes) == ("road", "class-1", (16, 32, 48))
    rounds = [project.folder / f"round-{number}/labels.csv" for number in (0, 1)]
    assert rounds[0].read_text() == "round,image,row,column,label\n0,a,1,2,0\n", "what is held out is not learnt"
    assert rounds[1].read_text() == "round,image,row,column,label\n1,c,5,6,2\n", "images that are gone wait"
    assert (project.folder / "held_out.csv").read_text() == "image,row,column,class\nb,3,4,sky\n"
    assert "'=c" in (project.folder / "answers.csv").read_text(), "no spreadsheet runs a name"

    seal = Path(study.paths.seal.format(run=project.run.path))
    seal.parent.mkdir(parents=True)
    seal.write_text("{}")
    times = [path.stat().st_mtime_ns for path in (*rounds, project.study_file)]
    project.write(project.rounds({"a", "b", "c"}))
    assert seal.exists() and [path.stat().st_mtime_ns for path in (*rounds, project.study_file)] == times
    project.store.answer(Said("a", 1, 2, sky.id, "ann", replaces=first.id))
    project.write(project.rounds({"a", "b", "c"}))
    assert rounds[0].read_text().endswith("0,a,1,2,1\n") and not seal.exists()
    project.store.answer(Said("c", 5, 6, None, "ann", replaces=last.id, undoes=last.id))
    project.write(project.rounds({"a", "b", "c"}))
    assert not rounds[1].exists() and yaml.safe_load(project.study_file.read_text())["rounds"] == 1


def test_merged_classes_count_as_one_and_no_answer_changes(photographs):
    project = open_project(photographs)
    road, street, sky = add_classes(project, "road", "street", "sky")
    for number, each in enumerate((road, street, sky)):
        say(project, ("a", number, 0), each.id)
    project.store.checkpoint(3)
    project.store.describe(Class(street.id, "street", "#000000", "", merged_into=road.id), "ann")
    assert project.rounds({"a"}) == [[("a", 0, 0, 0), ("a", 1, 0, 0), ("a", 2, 0, 1)]]
    assert [each.label for each in project.store.answers()] == [1, 2, 3]


def test_a_second_page_of_the_same_folder_is_refused(photographs):
    lock = projects.claim(photographs.with_name("photos-labels"))
    command = [sys.executable, "-m", "pixelherd", "label", str(photographs), "--no-browser"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"})
    lock.release()
    assert done.returncode == 2 and "is open already; go on there" in done.stderr and "Traceback" not in done.stderr


STUDY = {
    "datasets": {"mine": {"kind": "folder", "root": "photos", "train_images": ".", "size": [64, 64]}},
    "features": {"f": {"backbone": {"filters": [1, 2]}}},
    "methods": {"margin": None},
    "budgets": [5],
}


def study(**change) -> dict:
    content = {**STUDY, "oracle": "log", **change}
    content["datasets"] = {"mine": {**STUDY["datasets"]["mine"], "classes": [{"name": "road"}, {"name": "sky"}]}}
    return content


def test_a_study_of_a_persons_own_is_labelled_with_its_classes_and_stays_as_it_is(photographs, tmp_path):
    project = projects.of_study(study())
    assert [each.name for each in project.store.classes()] == ["road", "sky"]
    assert project.run.path == "mine/f/margin/budget-5/seed-0" and project.study_file == Path("labelled.yaml")
    project.store.describe(Class(2, "heaven", "#000000", ""), "ann")
    assert [each.name for each in projects.of_study(study()).store.classes()] == ["road", "heaven"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"oracle": "csv"}, "takes its answers from `oracle: csv`"),
        ({"budgets": [5, 6]}, "has 2 runs"),
        ({"head": {"kind": "mlp"}}, "with a linear head"),
    ],
)
def test_studies_that_cannot_be_labelled_live_say_why(change, message, photographs):
    with pytest.raises(UserError, match=message):
        projects.of_study(study(**change))
