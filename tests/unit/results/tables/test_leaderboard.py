"""Methods in order, in a setup and over datasets: what counts as a block, and what is compared with what."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pixelherd.results.setups import EVERY
from pixelherd.results.tables import leaderboard
from unit.results.small import metrics_of, row

SEEDS = range(6)


@pytest.fixture(scope="module")
def metrics() -> pd.DataFrame:
    """Three datasets × two features × three methods × six seeds; random loses everywhere, who wins goes by features."""
    generator, parts = np.random.default_rng(0), []
    best = {
        "photo": {"margin": 0.5, "coverage": 0.4, "random": 0.3},
        "ddpm": {"margin": 0.4, "coverage": 0.5, "random": 0.3},
    }
    for dataset in ("camvid", "dubai", "clothing"):
        for features, means in best.items():
            areas = {name: {s: mean + generator.normal(0, 0.005) for s in SEEDS} for name, mean in means.items()}
            parts.append(metrics_of(areas, full=[0.9]).assign(dataset=dataset, features=features))
    return pd.concat(parts, ignore_index=True)


def over_all(metrics: pd.DataFrame) -> leaderboard.Blocks:
    return {tuple(setup): blocks for setup, blocks in leaderboard.blocks_of(metrics)}[EVERY, EVERY, "0.1"]


def test_the_best_comes_first_and_the_reference_of_all_labels_not_at_all(metrics):
    table = leaderboard.leaderboard(metrics, "random", 0.95, 0.01)
    here = table[(table["dataset"] == "camvid") & (table["features"] == "photo")]
    assert here["method"].tolist() == ["margin", "coverage", "random"] and here["rank_area"].tolist() == [1, 2, 3]
    first = here.iloc[0]
    assert first["difference_mean"] == pytest.approx(0.2, abs=0.01) and first["p_better"] > 0.9
    assert math.isnan(here.iloc[2]["p_same"]), "random is not compared with itself"


def test_what_a_row_says_does_not_depend_on_other_methods(metrics):
    whole = leaderboard.leaderboard(metrics, "random", 0.95, 0.19)
    some = leaderboard.leaderboard(metrics[metrics["method"] != "coverage"], "random", 0.95, 0.19)
    where = {"dataset": "dubai", "features": "ddpm", "method": "margin"}
    assert row(whole, **where)[leaderboard.CHANCES].tolist() == row(some, **where)[leaderboard.CHANCES].tolist()


def test_without_a_method_to_compare_with_there_are_ranks_alone(metrics):
    table = leaderboard.leaderboard(metrics, None, 0.95, 0.01)
    assert table["rank_area"].notna().all() and table[["difference_mean", "p_same"]].isna().all(axis=None)


def test_ranks_are_averaged_over_blocks_and_not_over_seeds(metrics):
    table = leaderboard.ranks(metrics)
    over_all = table[(table["dataset"] == EVERY) & (table["features"] == EVERY)].set_index("method")
    assert over_all["blocks"].tolist() == [6, 6, 6]
    assert over_all["rank_mean"].to_dict() == {"margin": 1.5, "coverage": 1.5, "random": 3.0}
    assert row(table, dataset=EVERY, features="photo", method="margin")["rank_mean"] == 1
    assert row(table, dataset="camvid", features=EVERY, method="margin")["blocks"] == 2


def test_blocks_take_common_seeds_and_methods(metrics):
    lucky = metrics[~((metrics["method"] == "random") & (metrics["seed"] > 1))].copy()
    lucky.loc[(lucky["method"] == "margin") & (lucky["seed"] > 1), "miou"] = 0.0
    blocks = over_all(lucky)
    assert (blocks.area["margin"] > 0.3).all(), "seeds that random lacks do not count"
    lacking = metrics[~((metrics["method"] == "coverage") & (metrics["dataset"] == "dubai"))]
    blocks = over_all(lacking)
    assert list(blocks.area.columns) == ["margin", "random"] and len(blocks.area) == 6


def test_what_runs_on_one_kind_of_features_alone_is_ranked_there(metrics):
    alone = metrics[~((metrics["method"] == "coverage") & (metrics["features"] == "ddpm"))]
    table = leaderboard.ranks(alone)
    assert set(table.loc[table["features"] == EVERY, "method"]) == {"margin", "random"}
    assert set(table.loc[table["features"] == "photo", "method"]) == {"margin", "coverage", "random"}
    few = alone[(alone["method"] != "coverage") | (alone["seed"] < 2)]
    blocks = dict(leaderboard.blocks_of(few))
    one = few[(few["dataset"] == "dubai") & (few["features"] == "photo") & (few["method"] == "margin")]
    means = blocks[EVERY, "photo", "0.1"].area["margin"], blocks[EVERY, EVERY, "0.1"].area["margin"]
    assert means[0].xs("dubai").item() == pytest.approx(one.loc[one["seed"] < 2, "miou"].mean())
    assert means[1]["dubai", "photo"] == pytest.approx(one["miou"].mean()), "more seeds where more are common"


def test_friedman_has_a_row_of_blocks_and_one_of_datasets(metrics):
    table = leaderboard.friedman(metrics, 0.95)
    over_features = table[table["features"] != EVERY]
    assert over_features["features"].tolist() == ["photo", "ddpm"] and over_features["blocks"].tolist() == [3, 3]
    table = table[table["features"] == EVERY]
    assert table["block"].tolist() == ["dataset × features", "dataset"] and table["blocks"].tolist() == [6, 3]
    blocks = over_all(metrics)
    assert table["chi2"][0] == pytest.approx(stats.friedmanchisquare(*blocks.area.to_numpy().T).statistic)


def test_pairs_are_told_apart_by_blocks(metrics):
    table = leaderboard.signed_ranks(metrics, 0.95, 0.01)
    assert table["features"].value_counts().to_dict() == {EVERY: 3, "photo": 3, "ddpm": 3}
    table = table[table["features"] == EVERY]
    lost = row(table, method="margin", against="random")
    blocks = over_all(metrics)
    assert lost["wilcoxon_p"] == pytest.approx(stats.wilcoxon(blocks.area["margin"] - blocks.area["random"]).pvalue)
    assert lost["wilcoxon_p_holm"] == pytest.approx(3 * lost["wilcoxon_p"]) and lost["p_better"] > 0.9
    assert row(table, method="margin", against="coverage")["wilcoxon_p"] > 0.3


def test_an_order_that_features_turn_round_is_stable_over_seeds_and_not_over_features(metrics):
    table = leaderboard.stability(metrics)
    assert (table.loc[table["between"] == "seeds", "spearman_area"] == 1).all()
    turned = row(table, dataset="camvid", features=EVERY, between="features")
    assert turned["spearman_area"] == pytest.approx(0.5) and turned["best_rank"] == 2
    datasets = table[table["between"] == "datasets"]
    assert len(datasets) == 6 and (datasets["spearman_area"] == 1).all() and (datasets["best_rank"] == 1).all()


def test_power_is_of_the_differences_that_were_measured(metrics):
    table = leaderboard.power(metrics, "random", 0.95)
    of = row(table, dataset="camvid", features="photo", method="margin")
    assert of["seeds"] == 6 and 0.002 < of["difference_std"] < 0.02
    assert of["seeds_for_half"] > of["seeds_for_one"] >= of["seeds_for_two"]
    assert of["seeds_for_one_corrected"] >= of["seeds_for_one"]


def test_one_setup_has_a_leaderboard_and_nothing_over_datasets():
    metrics = metrics_of({"margin": {0: 0.5}, "random": {0: 0.3}})
    assert leaderboard.leaderboard(metrics, "random", 0.95, 0.01)["method"].tolist() == ["margin", "random"]
    assert leaderboard.ranks(metrics).empty and leaderboard.friedman(metrics, 0.95).empty
    assert leaderboard.signed_ranks(metrics, 0.95, 0.01).empty and leaderboard.stability(metrics).empty
    assert leaderboard.power(metrics, "random", 0.95)["seeds_for_one"].isna().all()


def test_nothing_evaluated_gives_empty_tables():
    nothing = metrics_of({"margin": {0: 0.5}}).head(0)
    for table in (
        leaderboard.leaderboard(nothing, "random", 0.95, 0.01),
        *(leaderboard.ranks(nothing), leaderboard.stability(nothing), leaderboard.power(nothing, "random", 0.95)),
    ):
        assert table.empty
