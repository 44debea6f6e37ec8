"""Tables of a study: hand-computed numbers, one order of rows, the same bytes, and a line for every broken file."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from pixelherd import pages, tables
from pixelherd.errors import UserError

CLASSES = [{"name": "road", "colour": [128, 64, 128]}, {"name": "sky", "colour": [70, 130, 180]}]


def write_run(root: Path, method: str, miou: list[float], *, budget="0.1", seed=0, pixels=None, labels=None) -> Path:
    """A finished run with ten labelled pixels a round, all of class 0 unless ``labels`` gives some per round."""
    folder = root / "toy" / "ddpm" / method / f"budget-{budget}" / f"seed-{seed}"
    folder.mkdir(parents=True)
    run = {"dataset": "toy", "features": "ddpm", "method": method, "budget": budget, "seed": seed}
    facts = {"rounds": len(miou), "classes": CLASSES, "image_size": [24, 32], "images": {"train": 9, "test": 3}}
    (folder / "run.json").write_text(json.dumps({"run": run, **facts}))
    pixels = pixels or [10 * (number + 1) for number in range(len(miou))]
    lines = ["round,labelled_pixels,miou,pixel_accuracy,mean_class_accuracy,iou_road,iou_sky"]
    lines += [f"{r},{n},{v},0.75,0.5,{v}," for r, (n, v) in enumerate(zip(pixels, miou, strict=True))]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    if method != "full":
        for number in range(len(miou)):
            answers = labels[number] if labels else [0] * 10
            rows = [f"{number},007,{row},3,{label}" for row, label in enumerate(answers)]
            (folder / f"round-{number}").mkdir()
            text = "\n".join(["round,image,row,column,label", *rows]) + "\n"
            (folder / f"round-{number}" / "labels.csv").write_text(text)
    return folder


@pytest.fixture
def study(tmp_path) -> list[Path]:
    """Two methods, two budgets, the reference; random has one seed."""
    return [
        write_run(tmp_path, "edald", [0.2, 0.4, 0.5], seed=0, labels=[[0, 1, 255], [1], [0, 0]]),
        write_run(tmp_path, "edald", [0.2, 0.4, 0.7], seed=1, labels=[[1, 1, 1], [1], [0, 0]]),
        write_run(tmp_path, "random", [0.1, 0.2, 0.3]),
        write_run(tmp_path, "random", [0.1, 0.2, 0.3], budget="0.05"),
        write_run(tmp_path, "full", [0.8], budget="all", seed=0, pixels=[4000]),
        write_run(tmp_path, "full", [0.9], budget="all", seed=1, pixels=[4000]),
    ]


METHODS = ["full", "random", "edald"]


def row(table: pd.DataFrame, **where) -> pd.Series:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_final_is_the_last_round_over_seeds(study):
    table = tables.final(tables.read_metrics(study, 3, METHODS))
    edald = row(table, method="edald")
    assert (edald["seeds"], edald["labelled_pixels"]) == (2, 30)
    assert edald["miou_mean"] == pytest.approx(0.6)
    assert edald["miou_std"] == pytest.approx(0.2 / np.sqrt(2))  # |0.5 - 0.7| / sqrt 2, since n - 1 = 1
    assert edald["pixel_accuracy_mean"] == 0.75 and edald["pixel_accuracy_std"] == 0


def test_the_reference_is_explained_where_it_is(study):
    metrics = tables.read_metrics(study, 3, METHODS)
    assert "*full* labels every training pixel" in pages.final_page(tables.final(metrics)).note
    assert "full" not in pages.final_page(tables.final(metrics[metrics["method"] != "full"])).note


def test_one_seed_has_no_deviation(study):
    table = tables.final(tables.read_metrics(study, 3, METHODS))
    random = row(table, method="random", budget="0.1")
    assert random["miou_mean"] == pytest.approx(0.3) and np.isnan(random["miou_std"])


def test_reference_closes_every_budget(study):
    table = tables.final(tables.read_metrics(study, 3, METHODS))
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
    table = tables.curves(tables.read_metrics(study, 3, METHODS))
    edald = table[table["method"] == "edald"]
    assert edald["labelled_pixels"].tolist() == [10, 20, 30]
    assert edald["miou_mean"].tolist() == pytest.approx([0.2, 0.4, 0.6])
    assert edald["miou_std"].tolist() == pytest.approx([0, 0, 0.2 / np.sqrt(2)])
    assert table[table["reference"]]["round"].tolist() == [0, 0]


def test_area_is_the_trapezoid_over_labelled_pixels(study, tmp_path):
    uneven = write_run(tmp_path, "bald", [0.2, 0.4, 0.4], pixels=[10, 20, 50])
    table = tables.area(tables.read_metrics([*study, uneven], 3, METHODS))
    edald = row(table, method="edald")
    assert edald["miou_area_mean"] == pytest.approx((0.375 + 0.425) / 2)  # (0.3 + 0.45) / 2 and (0.3 + 0.55) / 2
    assert edald["miou_area_std"] == pytest.approx(0.05 / np.sqrt(2))
    assert row(table, method="bald")["miou_area_mean"] == pytest.approx((10 * 0.3 + 30 * 0.4) / 40)
    assert "full" not in set(table["method"])


def test_area_of_one_round_is_its_miou(study):
    table = tables.area(tables.read_metrics(study, 1, METHODS))
    assert row(table, method="edald")["miou_area_mean"] == pytest.approx(0.2)


def test_later_rounds_do_not_count(study):
    metrics = tables.read_metrics(study, 2, METHODS)
    assert metrics["round"].max() == 1
    assert row(tables.final(metrics), method="edald")["miou_mean"] == pytest.approx(0.4)
    labels = tables.labels_per_class(study, 2, METHODS)
    assert row(labels, method="random", budget="0.1", **{"class": "road"})["pixels_mean"] == 20


def test_labels_per_class_counts_the_answers(study):
    table = tables.labels_per_class(study, 3, METHODS)
    edald = table[table["method"] == "edald"]
    assert edald["class"].tolist() == ["road", "sky", "cannot tell"]
    assert edald["pixels_mean"].tolist() == [2.5, 3, 0.5]  # seeds: 3, 2, 1 and 2, 4, 0
    assert edald["pixels_std"].tolist() == pytest.approx(list(np.array([1, 2, 1]) / np.sqrt(2)))
    assert "full" not in set(table["method"])


def test_a_class_without_iou_is_left_out(study):
    table = tables.classes(tables.read_metrics(study, 3, METHODS))
    assert set(table["class"]) == {"road"}  # sky is absent in all runs
    assert row(table, method="edald")["iou_mean"] == pytest.approx(0.6)


def test_classes_keep_the_order_of_methods_and_skip_absent_seeds(study):
    for folder, iou in zip(study, ["0.1", "", "0.3", "0.3", "0.5", "0.7"], strict=True):
        path = folder / "metrics.csv"
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines[:-1], lines[-1] + iou]) + "\n")
    table = tables.classes(tables.read_metrics(study, 3, METHODS))
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
    table = tables.classes(tables.read_metrics(study, 3, METHODS))
    edald = row(table, method="edald", **{"class": "sky"})
    assert edald["seeds"] == 0 and np.isnan(edald["iou_mean"])
    assert "the seeds that have it" in pages.classes_page(table).note


def test_same_bytes_in_any_order_of_folders(study, tmp_path):
    pages.write(study, 3, tmp_path / "one", METHODS)
    pages.write(study[::-1], 3, tmp_path / "two", METHODS)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    stems = ["area", "classes", "comparison", "correlations", "curves", "features", "final", "labels_needed"]
    stems += ["labels_per_class", "labels_per_round", "queries", "scores", "stages", "stopping", "wins"]
    assert names == [f"{stem}.{suffix}" for stem in stems for suffix in ("csv", "md", "tex")]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_pages_show_percent_and_csv_files_fractions(study, tmp_path):
    pages.write(study, 3, tmp_path / "tables", METHODS)
    page = (tmp_path / "tables" / "final.md").read_text()
    assert "60.0 ± 14.1" in page and "| random   |                30 |       1 |       30.0 |" in page
    line = (tmp_path / "tables" / "final.csv").read_text().splitlines()[3]
    assert line == "toy,ddpm,0.1,random,False,1,30,0.3,,0.75,,0.5,"


def test_a_small_p_is_not_written_as_nothing(tmp_path):
    gains = [0.2, 0.2000001, 0.1999999]  # alike over the seeds, so that p is about 1e-13
    folders = [write_run(tmp_path, "random", [0.3] * 2, seed=seed) for seed in range(3)]
    folders += [write_run(tmp_path, "edald", [0.3 + gain] * 2, seed=seed) for seed, gain in enumerate(gains)]
    pages.write(folders, 2, tmp_path / "tables", ["random", "edald"], {**pages.SETTINGS, "reference": "random"})
    p = pd.read_csv(tmp_path / "tables" / "comparison.csv")["t_p"]
    np.testing.assert_allclose(p, scipy.stats.ttest_1samp(gains, 0).pvalue, rtol=1e-3)
    assert 0 < p[0] < 1e-6


def test_a_study_of_the_reference_alone(study, tmp_path):
    pages.write(study[-2:], 3, tmp_path / "tables", METHODS)
    table = pd.read_csv(tmp_path / "tables" / "final.csv")
    assert table["budget"].tolist() == ["all"]
    assert len(pd.read_csv(tmp_path / "tables" / "area.csv")) == 0
    _, found = pages.make(study[-2:], 3, METHODS)
    texts = {page.name: " ".join(page.markdown().split()) for page in found}
    assert "add methods besides *full*" in texts["comparison"]
    assert "add the method *full*" not in texts["labels_needed"] and "other methods" in texts["labels_needed"]
    assert "only one method" not in texts["wins"]
    for page in found:
        assert page.sections or page.note not in page.markdown(), "a note on how to read a table that is not there"


def test_image_ids_stay_text(study):
    assert set(tables.read_labels(study[0], 3, 2)["image"]) == {"007"}


def broken(study: list[Path], name: str, old: str, new: str) -> list[Path]:
    path = study[0] / name
    path.write_text(path.read_text().replace(old, new))
    return study


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("metrics.csv", "miou", "accuracy"),
        ("metrics.csv", "iou_sky", "sky"),
        ("metrics.csv", ",iou_sky", ""),
        ("metrics.csv", "0.75", "75"),
        ("metrics.csv", "0.75", "many"),
        ("metrics.csv", "0.4,0.75", ",0.75"),
        ("metrics.csv", "\n2,30", "\n3,30"),
        ("run.json", '"seed"', '"number"'),
        ("run.json", '"0.1"', '"little"'),
        ("run.json", "{", ""),
        ("round-1/labels.csv", "label", "class"),
        ("round-1/labels.csv", "3,1", "3,2"),
        ("round-1/labels.csv", "3,1", "3,"),
        ("round-1/labels.csv", "3,1", "3,sky"),
        ("round-1/labels.csv", "3,1", "three,1"),
        ("round-1/labels.csv", "3,1", ",1"),
    ],
)
def test_a_malformed_file_is_named(study, tmp_path, name, old, new):
    with pytest.raises(UserError) as caught:
        pages.write(broken(study, name, old, new), 3, tmp_path / "tables", METHODS)
    assert str(study[0] / name) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "tables").exists()


@pytest.mark.parametrize("name", ["run.json", "metrics.csv", "round-2/labels.csv"])
def test_a_missing_file_is_named(study, tmp_path, name):
    (study[0] / name).unlink()
    with pytest.raises(UserError, match="is missing") as caught:
        pages.write(study, 3, tmp_path / "tables", METHODS)
    assert str(study[0] / name) in str(caught.value)


def test_an_empty_file_and_too_few_rounds_are_named(study):
    with pytest.raises(UserError, match="first 4"):
        tables.read_metrics(study, 4)
    (study[0] / "metrics.csv").write_text("")
    with pytest.raises(UserError, match=r"metrics\.csv"):
        tables.read_metrics(study, 3)


def test_no_runs_is_a_user_error():
    with pytest.raises(UserError, match="no finished runs"):
        tables.read_metrics([], 3)


def test_published_results_stand_beside_and_are_marked(tmp_path):
    published = {"source": "A paper, Table 2*3*.", "miou": {"toy": {"edald": 36.12}}}
    folders = [write_run(tmp_path, method, [0.2, 0.3]) for method in ("edald", "random")]
    made, all_pages = pages.make(folders, 2, ["edald", "random"], {**pages.SETTINGS, "published": published})
    assert made["final"]["published_miou"].tolist()[0] == pytest.approx(0.3612)
    assert made["final"]["published_miou"].isna().tolist() == [False, True]
    text = all_pages[0].markdown()
    assert "published mIoU (%)" in text and "36.12" in text
    assert "The last column was *published* by others and is no result of this study." in text
    assert (
        "It holds for the budget and rounds of its source, whatever stands beside it: A paper, Table 2\\*3\\*." in text
    )
    plain, plain_pages = pages.make(folders, 2, ["edald", "random"])
    assert "published_miou" not in plain["final"] and "published" not in plain_pages[0].markdown()


def test_methods_with_other_seeds_are_told_where_they_are(tmp_path):
    few = [write_run(tmp_path, "edald", [0.2, 0.3], seed=seed) for seed in (0, 1)]
    few += [write_run(tmp_path, "random", [0.2, 0.3], seed=seed) for seed in (2, 3)]
    same = [write_run(tmp_path, name, [0.2, 0.3], budget="0.2") for name in ("edald", "random")]
    full = write_run(tmp_path, "full", [0.8], budget="all", seed=7, pixels=[4000])
    assert tables.uneven_seeds(tables.read_metrics([*few, *same, full], 2)) == {("toy", "ddpm", "0.1")}
    assert not tables.uneven_seeds(tables.read_metrics([full], 2))
    _, found = pages.make([*few, *same, full], 2)
    for page in found:
        remarks = [section.key[2] for section in page.sections if "over common seeds" in section.remark]
        assert remarks == (["0.1"] if page.name in ("final", "curves", "area", "classes") else []), page.name


def without_tests(folder: Path) -> Path:
    """The run as it is without test images, in a dataset of its own."""
    seal = json.loads((folder / "run.json").read_text())
    seal["run"]["dataset"], seal["images"]["test"] = "alone", 0
    (folder / "run.json").write_text(json.dumps(seal))
    rows = pd.read_csv(folder / "metrics.csv")
    rows[rows.columns[2:]] = np.nan
    rows.to_csv(folder / "metrics.csv", index=False)
    return folder


@pytest.mark.parametrize("others", [False, True])
def test_runs_without_test_images_are_listed_and_not_evaluated(study, tmp_path, others):
    alone = [without_tests(write_run(tmp_path / "alone", name, [0.5, 0.5, 0.5])) for name in ("edald", "random")]
    options = pages.SETTINGS | {"reference": "random", "stages": {"edald": "random"}}
    made, found = pages.make([*alone, *(study if others else [])], 3, METHODS, options)
    final = made["final"][made["final"]["dataset"] == "alone"]
    assert final["labelled_pixels"].tolist() == [30, 30] and final["miou_mean"].isna().all()
    for page in found:
        text = page.markdown() + page.latex()
        assert "nan" not in text.lower(), page.name
        assert ("Not evaluated, since without test images: alone." in page.note) == (page.name in pages.EVALUATED)
    for name in pages.EVALUATED[1:]:
        assert "alone" not in set(made[name]["dataset"]) and (len(made[name]) > 0) == (others and name != "features"), (
            name
        )
    assert (made["labels_per_class"]["dataset"] == "alone").any()
    pages.write([*alone, *(study if others else [])], 3, tmp_path / "tables", METHODS)
    assert "| random   |                30 |       1 |          – |" in (tmp_path / "tables" / "final.md").read_text()


def test_test_masks_without_a_class_are_told_and_not_taken_for_damage(study):
    rows = pd.read_csv(study[0] / "metrics.csv")
    rows[rows.columns[2:]] = np.nan
    rows.to_csv(study[0] / "metrics.csv", index=False)
    with pytest.raises(UserError) as caught:
        tables.read_metrics(study, 3, METHODS)
    message = str(caught.value)
    assert "no pixel of the 3 test masks of toy has a class" in message and "outside" not in message
    assert str(study[0]) in message and "\n" not in message


def test_values_may_be_missing_only_without_test_images(study):
    folder = study[0]
    rows = pd.read_csv(folder / "metrics.csv")
    rows["miou"] = np.nan
    rows.to_csv(folder / "metrics.csv", index=False)
    with pytest.raises(UserError, match="values outside"):
        tables.read_metrics(study, 3, METHODS)
