"""Settings and files that change: what depends on them is made anew, what does not stays, and a line says which."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_annotation import answer, csv_study, said  # noqa: F401  (a fixture)

from conftest import Workspace

pytestmark = pytest.mark.slow

EDALD, RANDOM = (f"street/ddpm/{method}/budget-4/seed-0" for method in ("edald", "random"))


@pytest.fixture
def study(finished, tmp_path) -> Workspace:
    """The finished study with raw files of its own, and no results yet: its cache is all that there is."""
    study = finished.copy(tmp_path / "study")
    raw = (study.folder / "data").resolve()
    (study.folder / "data").unlink()
    shutil.copytree(raw, study.folder / "data")
    shutil.rmtree(study.folder / "results")
    return study


def change(study, setting: str, value) -> None:
    """Set ``a.b.c`` of the study."""
    *places, name = setting.split(".")
    content = study.settings
    for place in places:
        content[place] = dict(content[place])
        content = content[place]
    content[name] = value


def rules(ran: set[str]) -> set[str]:
    return {job.partition("/")[0] for job in ran}


SHARED = {"prepare", "extract", "herd", "perturb", "gather", "backbone", "index_features", "index_draws", "picture"}


def test_a_cache_of_other_settings_is_neither_used_nor_lost(study):
    change(study, "methods", {"edald": None})
    first = study.ran("runs")
    assert not rules(first) & SHARED, "all is there, at its address"
    before = study.results()
    shutil.rmtree(study.folder / "results")
    change(study, "features.ddpm.noise_seed", 5)
    ran = study.ran("runs")
    assert {"extract", "herd", "perturb", "gather"} <= rules(ran) and "prepare" not in rules(ran)
    edald = f"runs/{EDALD}/round-1/head.safetensors"
    assert study.results()[edald] != before[edald]
    for lost in ("results", ".snakemake"):
        shutil.rmtree(study.folder / lost)
    change(study, "features.ddpm.noise_seed", 0)
    assert not rules(study.ran("runs")) & SHARED and study.results() == before


def test_an_unfinished_run_of_other_settings_is_begun_anew(study):
    change(study, "methods", {"edald": None})
    study.snakemake("runs")
    expected = study.results()
    shutil.rmtree(study.folder / "results")
    change(study, "features.ddpm.noise_seed", 5)
    study.snakemake(f"results/runs/{EDALD}/round-1/head.safetensors")
    shutil.rmtree(study.folder / ".snakemake")
    change(study, "features.ddpm.noise_seed", 0)
    study.snakemake("runs")
    assert study.results() == expected


def test_two_studies_share_a_cache(study, tmp_path):
    change(study, "methods", {"edald": None})
    other = Workspace(tmp_path / "other", {**study.settings, "cache": str(study.folder / "cache")})
    other.folder.mkdir()
    shutil.copytree(study.folder / "data", other.folder / "data")
    assert not rules(other.ran("runs")) & (SHARED - {"backbone"}), "equal files, wherever they lie"
    change(other, "features.ddpm.noise_seed", 5)
    other.snakemake("runs")
    study.snakemake("runs")
    assert study.results() != other.results()


def test_new_and_mended_files_are_taken(study):
    masks, images = study.folder / "data/train/masks", study.folder / "data/train/images"
    with Image.open(masks / "street 0.png") as mask:
        mended = np.array(mask)
    mended[:] = 1
    Image.fromarray(mended).save(masks / "street 0.png")
    for folder, ending in ((images, ""), (masks, "")):
        shutil.copy(folder / f"street 1{ending}.png", folder / "a new one.png")
    done = study.snakemake("runs")
    (line,) = {each for each in said(done) if each.startswith("dataset street has changed")}  # at first and at last
    assert "1 train image with another mask (street 0)" in line and "1 train image added (a new one)" in line
    shards = sorted(path.name for path in (study.folder / "cache/features/street/ddpm/train").glob("0*"))
    assert [name[:11] for name in shards].count("00000-00003") == 1, "features of images that stayed, stay"
    assert [name[:11] for name in shards].count("00004-00006") == 1
    labels = pd.concat(pd.read_csv(path) for path in (study.folder / "results/runs" / RANDOM).glob("*/labels.csv"))
    assert set(labels[labels["image"] == "street 0"]["label"]) <= {1}
    assert not any(each.startswith("dataset street has changed") for each in said(study.snakemake("runs")))


def test_a_replaced_photograph_moves_no_features_of_other_shards(study):
    images = study.folder / "data/train/images"
    with Image.open(images / "street 5.png") as image:
        turned = image.rotate(180)
    turned.save(images / "street 5.png")
    ran = study.ran("features")
    extracted = [job for job in ran if job.startswith("extract/street/ddpm/")]
    assert [job.partition("train-")[2][:11] for job in extracted] == ["00004-00005"]


def test_rounds_that_are_added_are_of_the_same_files_as_those_before(study):
    change(study, "methods", {"random": None})
    study.snakemake("runs")
    head = study.folder / f"results/runs/{RANDOM}/round-0/head.safetensors"
    before = head.stat().st_mtime_ns
    change(study, "rounds", 3)
    assert not any("get more rounds" in each for each in said(study.snakemake("runs")))
    assert head.stat().st_mtime_ns == before
    images = study.folder / "data/train/images"
    shutil.copy(images / "street 5.png", images / "street 4.png")
    assert not any("get more rounds" in each for each in said(study.snakemake("runs"))), "finished runs stay"
    change(study, "rounds", 4)
    done = study.snakemake("runs")
    assert any("get more rounds, and all of them are made anew" in each for each in said(done))
    assert head.stat().st_mtime_ns != before


def test_a_dry_run_of_other_settings_changes_nothing(study):
    change(study, "methods", {"random": None})
    head = study.folder / f"results/runs/{RANDOM}/round-0/head.safetensors"
    study.snakemake(head.relative_to(study.folder))
    made = head.stat().st_mtime_ns
    change(study, "features.ddpm.noise_seed", 5)
    assert f"{RANDOM}/round-0/head.safetensors" in study.snakemake("-n", "runs").stdout
    change(study, "features.ddpm.noise_seed", 0)
    study.snakemake("runs")
    assert head.stat().st_mtime_ns == made
    change(study, "features.ddpm.noise_seed", 5)
    study.snakemake("runs")
    assert head.stat().st_mtime_ns != made


def without_masks(study) -> Workspace:
    """The study as a person has it who labels, with one method."""
    study.settings["methods"] = {"edald": None}
    street = {key: value for key, value in study.settings["datasets"]["street"].items() if key != "train_masks"}
    study.settings["datasets"] = {"street": street}
    return study


def test_what_a_person_answered_survives_a_change_of_mind(csv_study):  # noqa: F811
    study = without_masks(csv_study)
    study.snakemake()
    answer(study, EDALD, 0)
    study.snakemake()
    asked = study.results()[f"annotation/{EDALD}/round-1/asked.json"]
    classes = [dict(each) for each in study.settings["datasets"]["street"]["classes"]]
    classes[0] |= {"name": "Lane", "key": classes[0]["name"], "colour": [1, 2, 3]}
    change(study, "datasets.street.classes", [*classes, {"name": "kite", "colour": [250, 0, 250]}])
    ran = study.ran()
    assert not rules(ran) & {"extract", "herd", "perturb", "gather", "score"}, "nothing is asked anew"
    assert study.results()[f"annotation/{EDALD}/round-1/asked.json"] == asked
    answer(study, EDALD, 1)
    study.snakemake()
    metrics = pd.read_csv(study.folder / "results/runs" / EDALD / "metrics.csv")
    assert len(metrics) == 2 and "iou_lane" in metrics


def test_classes_that_change_places_keep_their_answers(csv_study):  # noqa: F811
    study = without_masks(csv_study)
    study.settings["rounds"] = 1
    study.snakemake()
    answer(study, EDALD, 0)
    study.snakemake()
    before = pd.read_csv(study.folder / "results/runs" / EDALD / "round-0/labels.csv")
    classes = study.settings["datasets"]["street"]["classes"]
    names = [each["name"] for each in classes]
    turned = [{**each, "values": [number]} for number, each in enumerate(classes)][::-1]
    change(study, "datasets.street.classes", turned)
    study.snakemake()
    after = pd.read_csv(study.folder / "results/runs" / EDALD / "round-0/labels.csv")
    meant = [[names[label] for label in before["label"]], [names[::-1][label] for label in after["label"]]]
    assert meant[0] == meant[1], "numbers mean the classes of when they were asked"


def test_two_calls_that_fill_one_cache_do_not_meet(study, tmp_path):
    shutil.rmtree(study.folder / "cache")
    other = study.copy(tmp_path / "other")
    other.settings["cache"] = study.settings["cache"] = str(tmp_path / "cache")
    running = [each.start("features") for each in (study, other)]
    codes = [process.wait() for process in running]
    told = [(each.folder / "output.txt").read_text() for each in (study, other)]
    assert 0 in codes and not any("Traceback" in text for text in told)
    for code, text in zip(codes, told, strict=True):
        assert code == 0 or "another Snakemake works with the cache" in text


def test_what_nothing_uses_is_listed_and_removed(study):
    change(study, "methods", {"edald": None})
    study.snakemake("runs")
    assert "0 B in 0 stores" in study.snakemake("unused").stdout
    change(study, "features.ddpm.noise_seed", 5)
    listed = study.snakemake("unused").stdout
    assert "cache/features/street/ddpm/train/00000-00003-" in listed and "cache/datasets" not in listed
    change(study, "features.ddpm.noise_seed", 0)
    study.snakemake("clean")
    assert "as they were written" in study.snakemake("verify").stdout
    shutil.rmtree(study.folder / "results")
    assert not rules(study.ran("runs")) & SHARED, "nothing that is used was removed"
