"""A person labels: the study pauses, says so, and goes on with the answers; nothing that a person wrote is touched."""

import csv
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import Workspace

EDALD = "street/ddpm/edald/budget-4/seed-0"
RANDOM = "street/ddpm/random/budget-4/seed-0"

NOW = "(() => { const [image, ...at] = content.asked[now()]; return [content.images[image].id, ...at] })()"
"""What a page asks now: image, row, column."""


def place(study, run, number):
    return study.folder / "results" / "annotation" / run / f"round-{number}"


def rows_by_masks(study, run, number) -> list[list]:
    """The lines of an answer file as the masks would have it."""
    lines = []
    with open(study.folder / "results" / "runs" / run / f"round-{number}" / "queries.csv", newline="") as file:
        for asked in csv.DictReader(file):
            with Image.open(study.folder / "data" / "train" / "masks" / f"{asked['image']}.png") as mask:
                label = int(np.array(mask)[int(asked["row"]), int(asked["column"])])
            lines.append([asked["round"], asked["image"], asked["row"], asked["column"], label])
    return lines


def answer(study, run, number, lines=None) -> None:
    with open(place(study, run, number) / "labels.csv", "w", newline="") as file:
        lines = rows_by_masks(study, run, number) if lines is None else lines
        csv.writer(file).writerows([["round", "image", "row", "column", "label"], *lines])


def said(done) -> list[str]:
    return [line.removeprefix("pixelherd: ") for line in done.stderr.splitlines() if line.startswith("pixelherd: ")]


def wait_for(run, number, pixels="4 pixels wait") -> str:
    folder = f"results/annotation/{run}/round-{number}"
    return f"{pixels} for labels in {folder}/labels.csv; open {folder}/page.html, then run the same command again"


def heads(study, run):
    return [(study.folder / "results/runs" / run / f"round-{n}" / "head.safetensors").read_bytes() for n in range(2)]


@pytest.fixture
def csv_study(finished, tmp_path) -> Workspace:
    """The tiny study with its features, to be labelled by a person."""
    study = finished.copy(tmp_path / "csv")
    shutil.rmtree(study.folder / "results")
    study.settings["oracle"] = "csv"
    return study


def test_a_study_pauses_in_one_line_and_does_nothing_without_answers(csv_study):
    study = csv_study
    study.settings["methods"] = {"edald": None}
    done = study.snakemake()
    assert said(done) == [wait_for(EDALD, 0)] and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == f"pixelherd: {wait_for(EDALD, 0)}"
    answer(study, EDALD, 0, rows_by_masks(study, EDALD, 0)[1:])
    before = study.results()
    done = study.snakemake()
    assert said(done) == [wait_for(EDALD, 0, "1 of 4 pixels still wait")]
    assert "Nothing to be done" in done.stdout + done.stderr and study.results() == before


@pytest.mark.slow
def test_a_study_pauses_for_a_person_and_ends_as_the_masks_would_end_it(csv_study, finished):
    study = csv_study
    done = study.snakemake()
    assert said(done) == [wait_for(EDALD, 0), wait_for(RANDOM, 0)] and "Traceback" not in done.stderr

    # a mistake stops one run and not the other; a partial file is kept and counted
    lines = rows_by_masks(study, EDALD, 0)
    answer(study, EDALD, 0, [*lines[:2], [*lines[2][:4], "rode"]])
    answer(study, RANDOM, 0)
    done = study.snakemake(check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"results/annotation/{EDALD}/round-0/labels.csv, line 4: unknown class 'rode' (did you mean 'road'?)" in str(
        said(done)
    )
    assert (place(study, RANDOM, 1) / "page.html").is_file()
    answer(study, EDALD, 0, [*lines[2:], *lines[:1]])
    written = (place(study, EDALD, 0) / "labels.csv").read_bytes()
    before = study.results()
    done = study.snakemake()
    assert said(done) == [wait_for(EDALD, 0, "1 of 4 pixels still wait"), wait_for(RANDOM, 1)]
    assert "Nothing to be done" in done.stdout + done.stderr and study.results() == before
    assert (place(study, EDALD, 0) / "labels.csv").read_bytes() == written

    answer(study, EDALD, 0)
    answer(study, RANDOM, 1)
    done = study.snakemake()
    assert said(done) == [wait_for(EDALD, 1)]
    assert pd.read_csv(study.folder / "results/tables/final.csv")["method"].tolist() == ["random"]

    # a corrected answer trains again, but what a page has asked stays asked
    folder = study.folder / "results" / "runs" / EDALD
    head, queries = ((folder / name).read_bytes() for name in ("round-0/head.safetensors", "round-1/queries.csv"))
    answer(study, EDALD, 0, [[*line[:4], (line[4] + 1) % 9] for line in lines])
    assert {job.split("/")[0] for job in study.ran()} == {"answer", "fit", "stopping", "annotate"}
    assert (folder / "round-0/head.safetensors").read_bytes() != head
    assert (folder / "round-1/queries.csv").read_bytes() == queries
    answer(study, EDALD, 0)
    answer(study, EDALD, 1)
    assert said(study.snakemake()) == []

    for run in (EDALD, RANDOM):
        assert heads(study, run) == heads(finished, run)
        for name in ("metrics.csv", "round-1/labels.csv", "round-1/queries.csv"):
            path = f"results/runs/{run}/{name}"
            assert (study.folder / path).read_bytes() == (finished.folder / path).read_bytes()
    assert (study.folder / "results/tables/final.csv").read_bytes() == (
        finished.folder / "results/tables/final.csv"
    ).read_bytes()


def label_in_browser(page, study, run, number) -> None:
    """Open the round's page from disk, press the keys of the masks' classes, and save what it gives as the answers."""
    truth = {
        (image, int(row), int(column)): label for _, image, row, column, label in rows_by_masks(study, run, number)
    }
    page.goto((place(study, run, number) / "page.html").as_uri())
    for _ in truth:
        image, row, column = page.evaluate(NOW)
        label = truth[image, row, column]
        page.keyboard.press("0" if label == 255 else str(label + 1))
    with page.expect_download() as waiting:
        page.click("#download")
    waiting.value.save_as(place(study, run, number) / "labels.csv")


@pytest.mark.slow
@pytest.mark.browser
def test_images_without_masks_become_a_head_in_a_browser(csv_study, browser, watch):
    """No mask and no test image at all: equal answers still give the head of the masks, bit by bit."""
    study = csv_study
    study.settings["methods"] = {"edald": None}
    study.settings["candidates"] = {**study.settings["candidates"], "avoid_ignored": False}
    by_masks = study.copy(study.folder.parent / "masks")
    by_masks.settings["oracle"] = "masks"
    by_masks.snakemake("runs")
    street, masks = study.settings["datasets"]["street"], ("train_masks", "test_images", "test_masks")
    study.settings["datasets"] = {"street": {key: value for key, value in street.items() if key not in masks}}
    shutil.rmtree(study.folder / "cache")

    page = browser.new_context(accept_downloads=True).new_page()
    for number in range(2):
        done = study.snakemake()
        assert said(done) == [wait_for(EDALD, number)]
        path = place(study, EDALD, number) / "page.html"
        problems = watch(page, path)
        label_in_browser(page, study, EDALD, number)
        assert problems == [] and ("Is it time to stop?" in path.read_text()) == (number > 0)
    assert said(study.snakemake()) == []
    assert heads(study, EDALD) == heads(by_masks, EDALD)
    folder = study.folder / "results" / "runs" / EDALD
    metrics = pd.read_csv(folder / "metrics.csv")
    assert metrics["labelled_pixels"].tolist() == [4, 8] and metrics["miou"].isna().all()
    assert "since without test images: street" in (study.folder / "results/tables/final.md").read_text()
    report = (study.folder / "results/report.html").read_text().split("</nav>")[1].split("<script>")[0]
    text = re.sub(r'base64,[^"]*', "", report)
    assert "nan" not in text.lower() and "labelled pixels give masks of" in text
    assert "answers get another class from a fit that has not seen their image" in text
    stopping = pd.read_csv(study.folder / "results/tables/stopping.csv")
    assert stopping["round"].tolist() == [0, 1] and stopping["agreement_mean"].between(0, 1).tolist() == [False, True]


def test_masks_of_new_images_are_made_and_kept(finished, tmp_path):
    study = finished.copy(tmp_path / "copy")
    study.settings["predict"] = {"images": "data/test/images"}
    assert "4 of 4 images predicted" in study.snakemake("predict").stdout
    masks = {path.name: path.read_bytes() for path in (study.folder / "predictions" / "masks").iterdir()}
    assert len(masks) == 4
    (study.folder / "predictions" / "masks" / next(iter(masks))).unlink()
    assert "1 of 4 images predicted" in study.snakemake("predict").stdout
    assert {path.name: path.read_bytes() for path in (study.folder / "predictions" / "masks").iterdir()} == masks

    study.settings["predict"] = {"images": "data/test/images", "run": EDALD.replace("edald", "edal")}
    done = study.snakemake("predict", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"(did you mean '{EDALD}'?)" in done.stderr
