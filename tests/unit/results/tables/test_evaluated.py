"""Tables of evaluated runs: hand-computed numbers, in one order of rows."""

import numpy as np
import pytest

from pixelherd.results.pages import evaluated as evaluated_pages
from pixelherd.results.tables import evaluated, runs
from unit.results.small import METHODS, metrics_of, row, write_run


def test_final_is_the_last_round_over_seeds(study):
    table = evaluated.final(runs.read_metrics(study, 3, METHODS))
    edald = row(table, method="edald")
    assert (edald["seeds"], edald["labelled_pixels"]) == (2, 30)
    assert edald["miou_mean"] == pytest.approx(0.6)
    assert edald["miou_std"] == pytest.approx(0.2 / np.sqrt(2))  # |0.5 - 0.7| / sqrt 2, since n - 1 = 1
    assert edald["pixel_accuracy_mean"] == 0.75 and edald["pixel_accuracy_std"] == 0


def test_the_reference_is_explained_where_it_is(study):
    metrics = runs.read_metrics(study, 3, METHODS)
    note = evaluated_pages.final_page(evaluated.final(metrics)).note
    assert "*full* learns so many pixels of all training images" in note
    assert "full" not in evaluated_pages.final_page(evaluated.final(metrics[metrics["method"] != "full"])).note


def test_one_seed_has_no_deviation(study):
    table = evaluated.final(runs.read_metrics(study, 3, METHODS))
    random = row(table, method="random", budget="0.1")
    assert random["miou_mean"] == pytest.approx(0.3) and np.isnan(random["miou_std"])


def test_reference_closes_every_budget(study):
    table = evaluated.final(runs.read_metrics(study, 3, METHODS))
    assert list(zip(table["budget"], table["method"], table["reference"], strict=True)) == [
        ("0.05", "random", False),
        ("0.05", "full", True),
        ("0.1", "random", False),
        ("0.1", "edald", False),
        ("0.1", "full", True),
    ]
    full = table[table["reference"]]
    assert full["labelled_pixels"].tolist() == [4000, 4000]
    assert full["miou_mean"].tolist() == pytest.approx([0.85, 0.85])


def test_curves_hold_every_round(study):
    table = evaluated.curves(runs.read_metrics(study, 3, METHODS))
    edald = table[table["method"] == "edald"]
    assert edald["labelled_pixels"].tolist() == [10, 20, 30]
    assert edald["miou_mean"].tolist() == pytest.approx([0.2, 0.4, 0.6])
    assert edald["miou_std"].tolist() == pytest.approx([0, 0, 0.2 / np.sqrt(2)])
    assert table[table["reference"]]["round"].tolist() == [0, 0]


def test_area_is_the_trapezoid_over_labelled_pixels(study, tmp_path):
    uneven = write_run(tmp_path, "bald", [0.2, 0.4, 0.4], pixels=[10, 20, 50])
    table = evaluated.area(runs.read_metrics([*study, uneven], 3, METHODS))
    edald = row(table, method="edald")
    assert edald["miou_area_mean"] == pytest.approx((0.375 + 0.425) / 2)  # (0.3 + 0.45) / 2 and (0.3 + 0.55) / 2
    assert edald["miou_area_std"] == pytest.approx(0.05 / np.sqrt(2))
    assert row(table, method="bald")["miou_area_mean"] == pytest.approx((10 * 0.3 + 30 * 0.4) / 40)
    assert "full" not in set(table["method"])


def test_area_of_one_round_is_its_miou(study):
    table = evaluated.area(runs.read_metrics(study, 1, METHODS))
    assert row(table, method="edald")["miou_area_mean"] == pytest.approx(0.2)


def test_a_class_without_iou_is_left_out(study):
    table = evaluated.classes(runs.read_metrics(study, 3, METHODS))
    assert set(table["class"]) == {"road"}  # sky is absent in all runs
    assert row(table, method="edald")["iou_mean"] == pytest.approx(0.6)


def test_classes_keep_the_order_of_methods_and_skip_absent_seeds(study):
    for folder, iou in zip(study, ["0.1", "", "0.3", "0.3", "0.5", "0.7"], strict=True):
        path = folder / "metrics.csv"
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines[:-1], lines[-1] + iou]) + "\n")
    table = evaluated.classes(runs.read_metrics(study, 3, METHODS))
    group = table[table["budget"] == "0.1"]
    assert group["method"].tolist() == ["random"] * 2 + ["edald"] * 2 + ["full"] * 2
    assert group["class"].tolist() == ["road", "sky"] * 3
    assert row(group, method="edald", **{"class": "sky"})["iou_mean"] == pytest.approx(0.1)
    assert group["seeds"].tolist() == [1, 1, 2, 1, 2, 2], "only seeds that have the class count"


def test_a_class_that_one_method_never_meets_counts_no_seeds(study):
    path = study[2] / "metrics.csv"
    path.write_text(
        "\n".join(line + ("0.5" if line.startswith("2,") else "") for line in path.read_text().splitlines())
    )
    table = evaluated.classes(runs.read_metrics(study, 3, METHODS))
    edald = row(table, method="edald", **{"class": "sky"})
    assert edald["seeds"] == 0 and np.isnan(edald["iou_mean"])
    assert "the seeds that have it" in evaluated_pages.classes_page(table).note


def test_labels_needed_are_those_of_the_first_round_that_reaches_the_fraction():
    mious = {
        "edald": {0: [0.2, 0.4, 0.5], 1: [0.4, 0.3, 0.5], 2: [0.1, 0.2, 0.3]},
        "random": {0: [0.1, 0.1, 0.4], 1: [0.1, 0.1, 0.1]},
    }
    table = evaluated.labels_needed(metrics_of(mious, full=[0.7, 0.9], rounds=3), [0.5, 0.75])
    assert table["target"].unique() == pytest.approx([0.4, 0.6])
    edald = row(table, method="edald", fraction=0.5)
    assert edald[["seeds", "reached", "median", "lowest", "last"]].tolist() == [3, 2, 20, 10, 30]
    assert np.isnan(edald["highest"]), "one seed never reaches it"
    random = row(table, method="random", fraction=0.5)
    assert random["reached"] == 1 and np.isnan(random["median"]), "half of the seeds are censored"
    markdown = evaluated_pages.labels_needed_page(table).markdown()
    assert "20 (2 / 3)" in markdown and "> 30 (1 / 2)" in markdown and "50 % is 40.0, 75 % is 60.0" in markdown


def test_labels_needed_without_a_fully_supervised_reference():
    table = evaluated.labels_needed(metrics_of({"random": {0: 0.3, 1: 0.31}}), [0.5])
    assert table.empty and "*full*" in evaluated_pages.labels_needed_page(table).markdown()
