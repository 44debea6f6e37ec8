"""What was asked in each round: small runs counted by hand, distances by brute force, scores as they were kept."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from pixelherd.errors import UserError
from pixelherd.results.pages import asked as asked_pages
from pixelherd.results.tables import asked
from pixelherd.selection import rankings
from unit.results.small import METHODS, write_study

CLASSES = [{"name": "road", "colour": [128, 64, 128]}, {"name": "sky", "colour": [70, 130, 180]}]
HEIGHT, WIDTH = 11, 21


def write_run(root: Path, method: str, rounds: list[list[tuple]], seed: int = 0) -> Path:
    """A finished run whose rounds asked for (image, row, column, label)."""
    folder = root / "toy" / "ddpm" / method / "budget-3" / f"seed-{seed}"
    run = {"dataset": "toy", "features": "ddpm", "method": method, "budget": "3", "seed": seed}
    facts = {
        "rounds": len(rounds),
        "classes": CLASSES,
        "image_size": [HEIGHT, WIDTH],
        "images": {"train": 9, "test": 3},
        "files": {},  # so that tests may change tables
    }
    for number, pixels in enumerate(rounds):
        (folder / f"round-{number}").mkdir(parents=True)
        lines = [f"{number}," + ",".join(map(str, pixel)) for pixel in pixels]
        text = "\n".join(["round,image,row,column,label", *lines]) + "\n"
        (folder / f"round-{number}" / "labels.csv").write_text(text)
    (folder / "run.json").write_text(json.dumps({"run": run, **facts}))
    return folder


ROUNDS = [
    [("a", 0, 0, 0), ("a", 3, 4, 1), ("b", 10, 20, 255)],
    [("b", 0, 20, 1), ("c", 0, 0, 1)],
]


def test_a_round_is_counted(tmp_path):
    table = asked.queries([write_run(tmp_path, "edald", ROUNDS)], 2)
    names = ["pixels", "cannot_tell", "classes", "images", "classes_so_far", "images_so_far"]
    first, second = ([row[f"{name}_mean"] for name in names] for _, row in table.iterrows())
    assert first == [3, 1, 2, 2, 2, 2]
    assert second == [2, 0, 1, 2, 2, 3]
    assert table["pixels_std"].isna().all() and table["seeds"].tolist() == [1, 1]


def test_asked_pixels_are_those_that_could_not_be_told_too(tmp_path):
    table = asked.queries([write_run(tmp_path, "edald", ROUNDS)], 2)
    (section,) = asked_pages.queries_page(table).sections
    assert section.table[["asked pixels", "cannot tell"]].to_numpy().tolist() == [["5", "1.0"]]


def test_spread_and_nearest_by_brute_force(tmp_path):
    generator = np.random.default_rng(0)
    places = [(row, column) for row in range(HEIGHT) for column in range(WIDTH)]
    pixels = [
        [
            (image, *places[place], 0)
            for image in "abc"
            for place in generator.choice(len(places), generator.integers(1, 5), replace=False)
        ]
        for _ in range(2)
    ]
    table = asked.queries([write_run(tmp_path, "edald", pixels)], 2)
    for number in range(2):
        scaled = [(row / (HEIGHT - 1), column / (WIDTH - 1)) for _, row, column, _ in pixels[number]]
        spread = np.mean([math.dist(a, b) for a, b in itertools.combinations(scaled, 2)])
        assert table["spread_mean"][number] == pytest.approx(spread)
        until = list(itertools.chain(*pixels[: number + 1]))
        nearest = [
            min(distances)
            for i, pixel in enumerate(until)
            if (
                distances := [
                    math.dist(pixel[1:3], other[1:3])
                    for j, other in enumerate(until)
                    if j != i and other[0] == pixel[0]
                ]
            )
        ]
        assert table["nearest_mean"][number] == pytest.approx(np.mean(nearest) / math.hypot(HEIGHT, WIDTH))


def test_one_pixel_has_neither_spread_nor_neighbour(tmp_path):
    table = asked.queries([write_run(tmp_path, "edald", [[("a", 0, 0, 0)], [("b", 1, 1, 0)]])], 2)
    assert table["spread_mean"].isna().all() and table["nearest_mean"].isna().all()
    assert "nan" not in asked_pages.queries_page(table).markdown()


def test_uniform_places_have_a_spread_of_about_a_half(tmp_path):
    generator = np.random.default_rng(0)
    pixels = [(str(i), generator.integers(HEIGHT), generator.integers(WIDTH), 0) for i in range(2000)]
    spread = asked.queries([write_run(tmp_path, "random", [pixels])], 1)["spread_mean"][0]
    assert spread == pytest.approx(0.52, abs=0.05)


def test_classes_are_counted_round_by_round_over_seeds(tmp_path):
    folders = [write_run(tmp_path, "edald", ROUNDS), write_run(tmp_path, "edald", [ROUNDS[1], ROUNDS[0]], seed=1)]
    table = asked.labels_per_round(folders, 2)
    counts = table.pivot(index="round", columns="class", values="pixels_mean")[["road", "sky", "cannot tell"]]
    assert counts.to_numpy().tolist() == [[0.5, 1.5, 0.5], [0.5, 1.5, 0.5]]
    assert table["class"].tolist() == ["road", "sky", "cannot tell"] * 2
    assert asked.labels_per_round(folders, 1)["round"].tolist() == [0, 0, 0]


def test_labels_per_class_counts_the_answers(tmp_path):
    table = asked.labels_per_class(write_study(tmp_path), 3, METHODS)
    edald = table[table["method"] == "edald"]
    assert edald["class"].tolist() == ["road", "sky", "cannot tell"]
    assert edald["pixels_mean"].tolist() == [2.5, 3, 0.5]  # seeds: 3, 2, 1 and 2, 4, 0
    assert edald["pixels_std"].tolist() == pytest.approx(list(np.array([1, 2, 1]) / np.sqrt(2)))
    assert "full" not in set(table["method"])


def write_ranking(folder: Path, number: int, ranking: rankings.Ranking) -> None:
    rankings.write_scores(folder / f"round-{number}" / "scores.csv", number, ranking)
    rankings.write_correlations(folder / f"round-{number}" / "correlations.csv", number, ranking)


@pytest.fixture
def ranked(tmp_path) -> list[Path]:
    """Two seeds whose second round ranked a pool of 101 pixels; the pool of seed 1 scores higher by 1."""
    folders = []
    for seed in (0, 1):
        folder = write_run(tmp_path, "edald", ROUNDS, seed)
        values = np.random.default_rng(0).permutation(101) / 100 + seed
        scores = {"edald": values, "entropy": -values, "margin": np.zeros(101)}
        write_ranking(folder, 0, rankings.Ranking())
        write_ranking(folder, 1, rankings.Ranking(scores, np.argsort(-values)[:3]))
        folders.append(folder)
    return folders


def test_scores_of_pool_and_chosen_pixels_are_averaged_over_seeds(ranked):
    table = asked.scores(ranked, 2).set_index(["score", "group"])
    assert set(table["round"]) == {1}, "round 0 ranks no pool"
    pool, chosen = table.loc[("edald", "pool")], table.loc[("edald", "chosen")]
    assert (pool["seeds"], pool["pixels"], chosen["pixels"]) == (2, 101, 3)
    np.testing.assert_allclose(
        pool[list(rankings.QUANTILES)].to_numpy(float), np.arange(0, 101, 5) / 100 + 0.5, atol=1e-9
    )
    assert (chosen["q0"], chosen["q50"], chosen["q100"]) == pytest.approx((1.48, 1.49, 1.5))
    assert "1 (0.55 to 1.45)" in asked_pages.scores_page(asked.scores(ranked, 2)).markdown()


def test_correlations_are_those_of_ranks(ranked):
    table = asked.correlations(ranked, 2).set_index(["first", "second"])["spearman_mean"]
    assert table[("edald", "entropy")] == -1
    assert np.isnan(table[("edald", "margin")]) and np.isnan(table[("entropy", "margin")])


def test_an_undefined_correlation_is_that_of_its_round():
    keys = {"dataset": "toy", "features": "ddpm", "budget": "3", "method": "edald", "first": "a", "second": "b"}
    rounds = {2: 0.4, 3: 0.6, 4: np.nan, 1: np.nan}
    table = pd.DataFrame([{**keys, "round": number, "spearman_mean": value} for number, value in rounds.items()])
    for shown, expected in ((table, ["–", "–", "+0.50"]), (table[table["round"] < 3], ["–", "+0.40", "+0.40"])):
        page = asked_pages.correlations_page(shown)
        (section,) = page.sections
        assert section.table.iloc[0, 3:].tolist() == expected
        assert "the same for all pixels" in page.note


def test_seeds_with_an_undefined_correlation_do_not_count(ranked):
    path = ranked[0] / "round-1" / "correlations.csv"
    path.write_text(path.read_text().replace("-1.000000", ""))
    table = asked.correlations(ranked, 2).set_index(["first", "second"])
    assert table["seeds"].tolist() == [1, 0, 0]


def test_spearman_is_pearson_of_mean_ranks():
    generator = np.random.default_rng(1)
    a, b = generator.integers(0, 6, (2, 50)) + generator.integers(0, 3, 50)
    mean_ranks = [[(np.sum(x < value) + np.sum(x <= value) + 1) / 2 for value in x] for x in (a, b)]
    assert rankings.spearman(a, b) == pytest.approx(np.corrcoef(mean_ranks)[0, 1])
    assert rankings.spearman(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic)


def test_runs_of_an_older_version_kept_no_scores(tmp_path):
    folders = [write_run(tmp_path, "edald", ROUNDS)]
    for table, page in (
        (asked.scores(folders, 2), asked_pages.scores_page),
        (asked.correlations(folders, 2), asked_pages.correlations_page),
    ):
        assert table.empty and "kept its scores" in page(table).markdown()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("scores.csv", "pool", "pool,pool"), ("scores.csv", "q50", "q5O"), ("correlations.csv", "-1.0", "minus one")],
)
@pytest.mark.hostile("files of cache and results")
def test_a_malformed_file_is_named(ranked, name, old, new):
    path = ranked[0] / "round-1" / name
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError) as caught:
        asked.scores(ranked, 2)
        asked.correlations(ranked, 2)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_of_a_round_that_holds_text_asks_for_the_whole_run_anew(ranked):
    # without the file alone the run would pass for one of an older version
    path = ranked[0] / "round-1" / "correlations.csv"
    path.write_text(path.read_text().replace("-1.0", "minus one"))
    with pytest.raises(UserError, match="holds text where numbers belong") as caught:
        asked.correlations(ranked, 2)
    assert caught.value.remedy == f"delete {ranked[0]} and run the study again"


def test_the_same_scores_write_the_same_bytes(ranked, tmp_path):
    lines = (ranked[0] / "round-1" / "scores.csv").read_text().splitlines()
    assert lines[0] == ",".join(rankings.SCORE_COLUMNS)
    assert lines[1].startswith("1,edald,pool,101,0,0.05,0.1,") and len(lines) == 7
    assert (ranked[0] / "round-0" / "correlations.csv").read_text() == "round,first,second,pixels,spearman\n"
    assert isinstance(pd.read_csv(ranked[0] / "round-1" / "correlations.csv")["spearman"][0], float)
