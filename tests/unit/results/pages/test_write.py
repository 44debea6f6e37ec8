"""All tables of a study: the same bytes, what is said of them, and nothing written where a file is broken."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from pixelherd.errors import UserError
from pixelherd.results.pages.write import make_pages, write_tables
from pixelherd.results.registry import REGISTRY, TABLES
from pixelherd.results.settings import PublishedResults, TableSettings
from pixelherd.results.tables import runs, seeds
from unit.results.small import METHODS, write_run


def test_same_bytes_in_any_order_of_folders(study, tmp_path):
    write_tables(study, 3, tmp_path / "one", METHODS)
    write_tables(study[::-1], 3, tmp_path / "two", METHODS)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(f"{name}.{suffix}" for name in TABLES for suffix in ("csv", "md", "tex"))
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_pages_show_percent_and_csv_files_fractions(study, tmp_path):
    write_tables(study, 3, tmp_path / "tables", METHODS)
    page = (tmp_path / "tables" / "final.md").read_text()
    assert "60.0 ± 14.1" in page and "| random   |                30 |       1 |       30.0 |" in page
    line = (tmp_path / "tables" / "final.csv").read_text().splitlines()[3]
    assert line == "toy,ddpm,0.1,random,False,1,30,0.3,,0.75,,0.5,"


def test_a_small_p_is_not_written_as_nothing(tmp_path):
    gains = [0.2, 0.2000001, 0.1999999]  # alike over the seeds, so that p is about 1e-13
    folders = [write_run(tmp_path, "random", [0.3] * 2, seed=seed) for seed in range(3)]
    folders += [write_run(tmp_path, "edald", [0.3 + gain] * 2, seed=seed) for seed, gain in enumerate(gains)]
    write_tables(folders, 2, tmp_path / "tables", ["random", "edald"], TableSettings(reference="random"))
    p = pd.read_csv(tmp_path / "tables" / "comparison.csv")["t_p"]
    np.testing.assert_allclose(p, scipy.stats.ttest_1samp(gains, 0).pvalue, rtol=1e-3)
    assert 0 < p[0] < 1e-6


def test_a_study_of_the_reference_alone(study, tmp_path):
    write_tables(study[-2:], 3, tmp_path / "tables", METHODS)
    table = pd.read_csv(tmp_path / "tables" / "final.csv")
    assert table["budget"].tolist() == ["all"]
    assert len(pd.read_csv(tmp_path / "tables" / "area.csv")) == 0
    found = make_pages(study[-2:], 3, METHODS)
    texts = {page.name: " ".join(page.markdown().split()) for page in found}
    assert "add methods besides *full*" in texts["comparison"]
    assert "add the method *full*" not in texts["labels_needed"] and "other methods" in texts["labels_needed"]
    assert "only one method" not in texts["wins"]
    for page in found:
        assert page.sections or page.note not in page.markdown(), "a note on how to read a table that is not there"


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
@pytest.mark.hostile("files of cache and results")
def test_a_malformed_file_is_named(study, tmp_path, name, old, new):
    with pytest.raises(UserError) as caught:
        write_tables(broken(study, name, old, new), 3, tmp_path / "tables", METHODS)
    assert str(study[0] / name) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "tables").exists()


@pytest.mark.parametrize("name", ["run.json", "metrics.csv", "round-2/labels.csv"])
@pytest.mark.hostile("files of cache and results")
def test_a_missing_file_is_named(study, tmp_path, name):
    (study[0] / name).unlink()
    with pytest.raises(UserError, match="is missing") as caught:
        write_tables(study, 3, tmp_path / "tables", METHODS)
    assert str(study[0] / name) in str(caught.value)


def test_published_results_stand_beside_and_are_marked(tmp_path):
    published = {"source": "A paper, Table 2*3*.", "miou": {"toy": {"edald": 36.12}}}
    folders = [write_run(tmp_path, method, [0.2, 0.3]) for method in ("edald", "random")]
    settings = TableSettings.model_validate({"published": published})
    page = make_pages(folders, 2, ["edald", "random"], settings)[0]
    assert page.values["published_miou"].tolist()[0] == pytest.approx(0.3612)
    assert page.values["published_miou"].isna().tolist() == [False, True]
    text = page.markdown()
    assert "published mIoU (%)" in text and "36.12" in text
    assert "The last column was *published* by others and is no result of this study." in text
    assert (
        "It holds for the budget and rounds of its source, whatever stands beside it: A paper, Table 2\\*3\\*." in text
    )
    nothing = TableSettings(published=PublishedResults(source="A paper.", miou={}))
    assert make_pages(folders, 2, ["edald", "random"], nothing)[0].values["published_miou"].isna().all()
    plain = make_pages(folders, 2, ["edald", "random"])[0]
    assert "published_miou" not in plain.values and "published" not in plain.markdown()


def test_methods_with_other_seeds_are_told_where_they_are(tmp_path):
    few = [write_run(tmp_path, "edald", [0.2, 0.3], seed=seed) for seed in (0, 1)]
    few += [write_run(tmp_path, "random", [0.2, 0.3], seed=seed) for seed in (2, 3)]
    same = [write_run(tmp_path, name, [0.2, 0.3], budget="0.2") for name in ("edald", "random")]
    full = write_run(tmp_path, "full", [0.8], budget="all", seed=7, pixels=[4000])
    assert seeds.uneven_seeds(runs.read_metrics([*few, *same, full], 2)) == {("toy", "ddpm", "0.1")}
    assert not seeds.uneven_seeds(runs.read_metrics([full], 2))
    found = make_pages([*few, *same, full], 2)
    for page in found:
        remarks = [section.setup.budget for section in page.sections if "over common seeds" in section.remark]
        assert remarks == (["0.1"] if REGISTRY[page.name].has_means else []), page.name


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
    options = TableSettings(reference="random", stages={"edald": "random"})
    found = make_pages([*alone, *(study if others else [])], 3, METHODS, options)
    made = {page.name: page.values for page in found}
    final = made["final"][made["final"]["dataset"] == "alone"]
    assert final["labelled_pixels"].tolist() == [30, 30] and final["miou_mean"].isna().all()
    for page in found:
        text = page.markdown() + page.latex()
        assert "nan" not in text.lower() and page.remark in text, page.name
        assert ("Not evaluated, since without test images: alone." in page.remark) == REGISTRY[page.name].is_evaluated
    of_several = ("features", "ranks", "friedman", "signed_ranks", "stability")  # datasets, features or methods
    for name in [name for name in TABLES[1:] if REGISTRY[name].is_evaluated]:
        expected = others and name not in of_several
        assert "alone" not in set(made[name]["dataset"]) and (len(made[name]) > 0) == expected, name
    assert (made["labels_per_class"]["dataset"] == "alone").any()
    write_tables([*alone, *(study if others else [])], 3, tmp_path / "tables", METHODS)
    assert "| random   |                30 |       1 |          – |" in (tmp_path / "tables" / "final.md").read_text()
