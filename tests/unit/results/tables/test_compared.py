"""Methods against each other: numbers worked out by hand, and every way to have too little."""

import numpy as np
import pandas as pd
import pytest

from pixelherd.results.pages import compared as compared_pages
from pixelherd.results.tables import compared
from unit.results.small import metrics_of, row

AREAS = {
    "random": {0: 0.30, 1: 0.31, 2: 0.29, 3: 0.30},
    "edald": {0: 0.33, 1: 0.33, 2: 0.33},
    "margin": {0: 0.30, 1: 0.33, 2: 0.28, 5: 0.99},
    "lonely": {7: 0.5},
}


def test_methods_are_paired_over_the_seeds_that_both_have():
    table = compared.comparison(metrics_of(AREAS), "random")
    assert table["method"].tolist() == ["edald", "margin", "lonely"]
    assert table["seeds"].tolist() == [3, 3, 0]
    edald = row(table, method="edald")
    assert edald["difference_mean"] == pytest.approx(0.03)
    assert edald["difference_std"] == pytest.approx(0.01)
    assert (edald["flip_p"], edald["flip_p_smallest"]) == (0.25, 0.25)
    margin = row(table, method="margin")
    assert margin["difference_mean"] == pytest.approx(0.01 / 3), "seed 5, which random lacks, does not count"
    # sums of ±0, ±2, ±1 hundredths that are at least 1 from 0: all
    assert margin["flip_p"] == pytest.approx(1)
    assert row(table, method="lonely")[["difference_mean", "t_p", "flip_p"]].isna().all()


def test_p_values_are_corrected_over_the_methods_tested():
    table = compared.comparison(metrics_of(AREAS), "random")
    assert row(table, method="edald")["flip_p_holm"] == pytest.approx(0.5), "two methods are tested, the third is not"
    assert row(table, method="edald")["flip_p_smallest_holm"] == pytest.approx(0.5)
    t = table["t_p"].dropna()
    assert table["t_p_holm"].min() == pytest.approx(2 * t.min())


def test_no_corrected_p_is_below_the_smallest_that_can_be_reached():
    ten, five = {seed: 0.3 + seed / 1000 for seed in range(10)}, {seed: 0.4 for seed in range(5)}
    areas = {"random": ten, "long": dict.fromkeys(ten, 0.4), "a": five, "b": five}
    table = compared.comparison(metrics_of(areas), "random")
    # more seeds reach a smaller p, which Holm takes first: two comparisons are left for five seeds
    assert table["flip_p_smallest_holm"].tolist() == pytest.approx([3 * 2 / 2**10, 2 * 2 / 2**5, 2 * 2 / 2**5])
    assert table["flip_p_holm"].tolist() == pytest.approx(table["flip_p_smallest_holm"].tolist()), "all signs agree"


def test_a_method_may_be_compared_with_one_of_its_own():
    areas = {**AREAS, "edald_single": {0: 0.30, 1: 0.30, 2: 0.31}, "margin_single": {0: 0.31, 1: 0.31}}
    pairs = {"edald": "edald_single", "margin": "margin_single", "lonely": "absent", "absent": "random"}
    table = compared.comparison(metrics_of(areas), pairs)
    assert table[["method", "against"]].to_numpy().tolist() == [["edald", "edald_single"], ["margin", "margin_single"]]
    assert table["difference_mean"].tolist() == pytest.approx([0.08 / 3, 0.005]) and table["seeds"].tolist() == [3, 2]
    assert table["flip_p_holm"].tolist() == pytest.approx([0.5, 1]), "two are compared"
    text = " ".join(compared_pages.stages_page(table, 0.95).markdown().split())
    assert "| edald | edald_single | 3 | +2.67 |" in text and "do not cover the choice" in text
    nothing = compared_pages.stages_page(compared.comparison(metrics_of(areas), {}), 0.95)
    assert not nothing.sections and "No score here" in nothing.markdown()


def test_a_method_is_compared_with_itself_on_other_features():
    ddpm = metrics_of({"random": AREAS["random"], "edald": AREAS["edald"]}, full=[0.6])
    coarse = metrics_of({"edald": {0: 0.31, 2: 0.3}}).assign(features="coarse")
    fine = metrics_of({"edald": {0: 0.35}, "margin": {0: 0.3}}).assign(features="fine")
    table = compared.comparison(pd.concat([coarse, ddpm, fine]), "ddpm", between="features")
    assert table[["features", "method", "against", "seeds"]].to_numpy().tolist() == [
        ["coarse", "edald", "ddpm", 2],
        ["fine", "edald", "ddpm", 1],
    ]
    expected = np.mean([0.31 - AREAS["edald"][0], 0.3 - AREAS["edald"][2]])
    assert row(table, features="coarse")["difference_mean"] == pytest.approx(expected)
    page = compared_pages.features_page(table, "ddpm", 0.95)
    assert [section.setup.heading for section in page.sections] == [
        "toy · coarse · budget 0.1",
        "toy · fine · budget 0.1",
    ]
    assert "*ddpm*" in page.note and "nan" not in page.markdown() and "there is no test" in page.sections[1].remark
    assert not compared_pages.features_page(
        compared.comparison(ddpm, "ddpm", between="features"), "ddpm", 0.95
    ).sections


def test_each_dataset_has_features_of_its_own_to_compare_with():
    parts = [
        metrics_of({"edald": {0: miou}}).assign(dataset=dataset, features=features)
        for dataset, features, miou in (
            ("toy", "coarse", 0.31),
            ("toy", "ddpm", 0.33),
            ("rooms", "coarse", 0.2),
            ("rooms", "fine", 0.25),
            ("alone", "coarse", 0.5),
        )
    ]
    first = {"toy": "ddpm", "rooms": "coarse", "alone": "coarse"}
    table = compared.comparison(pd.concat(parts), first, between="features")
    assert table[["dataset", "features", "against"]].to_numpy().tolist() == [
        ["toy", "coarse", "ddpm"],
        ["rooms", "fine", "coarse"],
    ]


def test_every_dataset_is_a_family_of_its_own():
    one = metrics_of({"random": AREAS["random"], "edald": AREAS["edald"]})
    table = compared.comparison(pd.concat([one, one.assign(dataset="other")]), "random")
    assert table["flip_p_holm"].tolist() == pytest.approx([0.25, 0.25])


def test_the_fully_supervised_reference_is_not_compared():
    metrics = metrics_of(AREAS, full=[0.6, 0.6])
    assert "full" not in {*compared.comparison(metrics, "random")["method"], *compared.wins(metrics)["method"]}


def test_one_seed_is_compared_without_tests_and_the_page_says_so():
    table = compared.comparison(metrics_of({"random": {0: 0.3}, "edald": {0: 0.4}}), "random")
    (only,) = table.to_dict("records")
    assert only["difference_mean"] == pytest.approx(0.1) and np.isnan(only["t_p_holm"])
    page = compared_pages.comparison_page(table, "random", 0.95)
    assert "there is no test" in page.markdown() and "nan" not in page.markdown()


def test_a_difference_without_spread_has_no_interval_and_the_page_says_why():
    table = compared.comparison(metrics_of({"random": {0: 0.25, 1: 0.5}, "edald": {0: 0.375, 1: 0.625}}), "random")
    page = compared_pages.comparison_page(table, "random", 0.95)
    assert table["difference_low"].isna().all() and table["flip_p"].notna().all()
    assert "neither t-test nor interval where the difference is the same in all seeds" in page.markdown()


def test_the_page_tells_what_the_tests_cannot():
    text = compared_pages.comparison_page(compared.comparison(metrics_of(AREAS), "random"), "random", 0.95).markdown()
    assert "do not cover the choice of training and test images" in text
    assert "interval is not corrected" in text and "exact up to 16 seeds" in text
    assert "| edald    |       3 |        +3.00 |  +0.52 to +5.48 |" in text
    nothing = compared_pages.comparison_page(compared.comparison(metrics_of(AREAS), None), None, 0.95)
    assert "statistics.reference" in nothing.markdown()


def test_a_page_without_a_table_says_why():
    metrics = metrics_of({"edald": {0: 0.3, 1: 0.4}})
    for reference in ("edald", "random"):
        page = compared_pages.comparison_page(compared.comparison(metrics, reference), reference, 0.95)
        assert not page.sections and page.absent.startswith(f"There is nothing to compare with *{reference}*")
    page = compared_pages.wins_page(compared.wins(metrics))
    assert not page.sections and page.absent == "No two methods besides *full* are evaluated here."


def test_wins_count_common_seeds_and_halve_ties():
    table = compared.wins(metrics_of(AREAS))
    assert row(table, method="edald", opponent="random")[["seeds", "wins"]].tolist() == [3, 3]
    assert row(table, method="margin", opponent="random")[["seeds", "wins"]].tolist() == [3, 1.5]
    assert row(table, method="edald", opponent="margin")[["seeds", "wins"]].tolist() == [3, 2.5]
    both = table.merge(table, left_on=["method", "opponent"], right_on=["opponent", "method"])
    assert (both["wins_x"] + both["wins_y"] == both["seeds_x"]).all()
    assert np.isnan(row(table, method="lonely", opponent="random")["share"])
    markdown = compared_pages.wins_page(table).markdown()
    assert " 1.5 / 3 |" in markdown and "nan" not in markdown
