"""Reading finished runs: the rounds asked for, and a line for every broken file."""

import json

import numpy as np
import pandas as pd
import pytest

from pixelherd.errors import UserError
from pixelherd.results.tables import asked, evaluated, runs
from pixelherd.storage.files import digest_of
from unit.results.small import METHODS, row


def test_later_rounds_do_not_count(study):
    metrics = runs.read_metrics(study, 2, METHODS)
    assert metrics["round"].max() == 1
    assert row(evaluated.final(metrics), method="edald")["miou_mean"] == pytest.approx(0.4)
    labels = asked.labels_per_class(study, 2, METHODS)
    assert row(labels, method="random", budget="0.1", **{"class": "road"})["pixels_mean"] == 20


def test_image_ids_stay_text(study):
    assert set(runs.read_labels(study[0], 3, 2)["image"]) == {"007"}


def test_an_empty_file_and_too_few_rounds_are_named(study):
    with pytest.raises(UserError, match="first 4"):
        runs.read_metrics(study, 4)
    (study[0] / "metrics.csv").write_text("")
    with pytest.raises(UserError, match=r"metrics\.csv"):
        runs.read_metrics(study, 3)


def test_no_runs_is_a_user_error():
    with pytest.raises(UserError, match="no finished runs"):
        runs.read_metrics([], 3)


def test_test_masks_without_a_class_are_told_and_not_taken_for_damage(study):
    rows = pd.read_csv(study[0] / "metrics.csv")
    rows[rows.columns[2:]] = np.nan
    rows.to_csv(study[0] / "metrics.csv", index=False)
    with pytest.raises(UserError) as caught:
        runs.read_metrics(study, 3, METHODS)
    message = str(caught.value)
    assert "no pixel of the 3 test masks of toy has a class" in message and "outside" not in message
    assert str(study[0]) in message and "\n" not in message


def test_values_may_be_missing_only_without_test_images(study):
    folder = study[0]
    rows = pd.read_csv(folder / "metrics.csv")
    rows["miou"] = np.nan
    rows.to_csv(folder / "metrics.csv", index=False)
    with pytest.raises(UserError, match="values outside"):
        runs.read_metrics(study, 3, METHODS)


@pytest.mark.parametrize("cell", ["nothing", "", "inf", "-inf", "nan"])
@pytest.mark.parametrize("column", ["round", "labelled_pixels", "miou"])
def test_what_is_no_number_is_named_with_its_file(study, column, cell):
    rows = pd.read_csv(study[0] / "metrics.csv", dtype=str)
    rows.loc[1, column] = cell
    rows.to_csv(study[0] / "metrics.csv", index=False)
    with pytest.raises(UserError, match=r"metrics\.csv holds (text where numbers belong|values outside)"):
        runs.read_metrics(study, 3, METHODS)


def seal_again(folder, **changes):
    seal = json.loads((folder / "run.json").read_text()) | changes
    (folder / "run.json").write_text(json.dumps(seal))


def test_a_table_that_changed_since_the_run_was_finished_is_named(study):
    folder = study[0]
    names = ["metrics.csv", "round-0/labels.csv", "round-0/head.safetensors"]
    seal_again(folder, files={name: digest_of(folder / name) if (folder / name).is_file() else "" for name in names})
    assert runs.read_run(folder).folder == folder, "heads may be gone"
    (folder / "metrics.csv").write_text((folder / "metrics.csv").read_text().replace("0.2", "0.9"))
    with pytest.raises(
        UserError, match=r"metrics.csv has changed since the run was finished; put back the file of then"
    ):
        runs.read_run(folder)


@pytest.mark.parametrize("changes", [{"seal_sha256": "0" * 64}, {"images": {"train": 0}}, {"images": {}}, {"run": {}}])
def test_a_seal_that_does_not_describe_a_run_is_named(study, changes):
    seal_again(study[0], **changes)
    with pytest.raises(UserError, match=r"run.json does not describe a run; delete"):
        runs.read_run(study[0])
