"""The pixels of a round against direct sorting, and every way to ask for more pixels than there are."""

import numpy as np
import pytest
import torch

from pixelherd import acquisition, rankings, selection
from pixelherd.candidates import read_union
from pixelherd.errors import UserError
from pixelherd.head import log_probabilities
from pixelherd.queries import Pixels
from pixelherd.shards import Shards

NOTHING = np.array([], dtype=np.int64)


@pytest.fixture
def union(cache):
    return read_union(cache.union)


def settings_of(cache, method):
    run = next(run for run in cache.study.runs() if run.method == method)
    return cache.study.selection_settings(run)


def no_labels():
    return Pixels(NOTHING, NOTHING, np.array([]))


def coverage(union, rows) -> float:
    """Mean over what the images offer without labels, float64."""
    x = torch.from_numpy(np.array(union.vectors)).double()
    offered, rows = x[union.offered(NOTHING, 4)], x[rows]
    return torch.exp(-((torch.cdist(offered, rows) / union.bandwidth) ** 2)).amax(1).mean().item()


def test_coverage_scores_are_gains_in_round_0(cache, union):
    chosen = selection.by_coverage(union, NOTHING, 5, settings_of(cache, "coverage"))
    rows = union.rows_of(chosen.images, chosen.flat)
    covered = [0.0] + [coverage(union, rows[: count + 1]) for count in range(5)]
    np.testing.assert_allclose(chosen.values, np.diff(covered), atol=1e-5)


def test_coverage_scores_are_gains_in_later_rounds(cache, union):
    options = settings_of(cache, "coverage")
    first = selection.by_coverage(union, NOTHING, 3, options)
    labelled = union.rows_of(first.images, first.flat)
    second = selection.by_coverage(union, labelled, 3, options)
    rows = union.rows_of(second.images, second.flat)
    assert not set(labelled) & set(rows)
    x = torch.from_numpy(np.array(union.vectors)).double()
    offered = x[union.offered(labelled, options["listed"])]
    covered = [
        torch.exp(-((torch.cdist(offered, x[list(labelled) + list(rows[:count])]) / union.bandwidth) ** 2))
        .amax(1)
        .mean()
        for count in range(4)
    ]
    np.testing.assert_allclose(second.values, np.diff(covered), atol=1e-5)


@pytest.mark.parametrize("method", ["edald", "margin"])
def test_a_score_ranks_the_pool(cache, union, method):
    options, head = settings_of(cache, method) | {"weight": 0.5}, cache.head()
    rows = selection.pool(union, np.array([2, 9]), options)
    assert len(rows) == round(0.5 * len(union.offered(np.array([2, 9]), 4))) and not {2, 9} & set(rows)
    draws = Shards.open(cache.draws) if method == "edald" else None
    chosen, ranking = selection.by_score(union, rows, draws, head, 4, 1, options)

    base = log_probabilities(head, np.asarray(union.vectors[rows]))
    stack = None
    if draws:
        samples = [
            log_probabilities(head, draws.image("draws", union.images[row])[union.ranks[row]][None, number])
            for row in rows
            for number in range(2)
        ]
        stack = torch.cat(samples).unflatten(0, (len(rows), 2))
    scores = acquisition.score(method, stack, base=base, weight=0.5).numpy()
    best = np.argsort(-scores, kind="stable")[:4]
    assert np.array_equal(union.rows_of(chosen.images, chosen.flat), rows[best])
    np.testing.assert_allclose(chosen.values, scores[best], atol=1e-5)

    draws_too = ["dald", "edald"] if draws else []
    assert list(ranking.scores) == list(dict.fromkeys([method, "entropy", "margin", "least_confidence", *draws_too]))
    assert np.array_equal(ranking.chosen, best)
    for name, values in ranking.scores.items():
        expected = acquisition.score(name, stack, base=base, weight=0.5).numpy()
        np.testing.assert_allclose(values, expected, atol=1e-5)


def test_ties_go_to_what_was_herded_first(cache, union):
    head = cache.head()
    with torch.no_grad():
        head.rest[-1].weight.zero_()  # the same prediction everywhere
    rows = selection.pool(union, NOTHING, settings_of(cache, "margin"))
    chosen, ranking = selection.by_score(union, rows, None, head, 5, 1, settings_of(cache, "margin"))
    assert np.isnan(rankings.spearman(ranking.scores["entropy"], ranking.scores["margin"])), "no order, no correlation"
    assert np.array_equal(union.rows_of(chosen.images, chosen.flat), rows[:5])


def test_random_pixels_are_unlabelled_context_pixels(cache):
    context, truth, options = Shards.open(cache.train), cache.dataset.train.labels, settings_of(cache, "random")
    labelled, asked = no_labels(), []
    for number in range(3):
        chosen = selection.at_random(context, truth, labelled, 10, number, options)
        assert len(chosen) == 10
        again = selection.at_random(context, truth, labelled, 10, number, options)
        assert np.array_equal(again.images, chosen.images) and np.array_equal(again.flat, chosen.flat)
        for image, flat in zip(chosen.images, chosen.flat, strict=True):
            assert flat in context.image("context_pixels", image)
            assert truth[image].reshape(-1)[flat] != 255
            asked.append((image, flat))
        images, flat = map(np.array, zip(*asked, strict=True))
        labelled = Pixels(images, flat, np.zeros(len(asked)))
    assert len(set(asked)) == 30


def test_random_pixels_may_be_ignored_ones_if_the_study_says_so(cache):
    context = Shards.open(cache.train)
    truth = np.full((6, 32, 32), 255, np.uint8)
    options = settings_of(cache, "random")
    with pytest.raises(UserError, match="offer 0 unlabelled pixels, fewer than the 3"):
        selection.at_random(context, truth, no_labels(), 3, 0, options)
    everything = selection.at_random(context, truth, no_labels(), 120, 0, options | {"avoid_ignored": False})
    assert len(set(zip(everything.images, everything.flat, strict=True))) == 120


def test_every_seed_and_round_draws_its_own_random_pixels(cache):
    context, truth, options = Shards.open(cache.train), cache.dataset.train.labels, settings_of(cache, "random")
    draws = {
        tuple(selection.at_random(context, truth, no_labels(), 20, number, options | {"seed": seed}).flat)
        for number in (0, 1)
        for seed in (0, 1)
    }
    assert len(draws) == 4


def test_budgets_beyond_the_pixels_are_one_line(cache, union):
    coverage_settings, margin = settings_of(cache, "coverage"), settings_of(cache, "margin")
    for refused in (
        lambda: selection.by_coverage(union, NOTHING, 25, coverage_settings),  # 6 images offer 4 each
        lambda: selection.by_coverage(union, np.arange(len(union.pixels)), 1, coverage_settings),
        lambda: selection.pool(union, np.arange(len(union.pixels)), margin),
        lambda: selection.by_score(union, np.arange(3), None, cache.head(), 4, 1, margin),
    ):
        with pytest.raises(UserError, match="lower `budgets`") as error:
            refused()
        assert "\n" not in str(error.value)
