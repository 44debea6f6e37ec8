"""The pixels of a round against direct sorting, and every way to ask for more pixels than there are."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from pixelherd import acquisition, rankings, selection
from pixelherd.candidates import read_union
from pixelherd.errors import UserError
from pixelherd.head import Head, dropout_log_probabilities, log_probabilities
from pixelherd.queries import Pixels
from pixelherd.randomness import torch_generator
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
    places = [np.flatnonzero(rows == row).item() for row in union.rows_of(chosen.images, chosen.flat)]
    assert len(set(places)) == 4
    # the best, as far as rounding tells scores apart: here predictions were made row by row
    np.testing.assert_allclose(scores[places], np.sort(scores)[::-1][:4], atol=1e-6)
    np.testing.assert_allclose(chosen.values, scores[places], atol=1e-5)

    draws_too = ["dald", "edald"] if draws else []
    assert list(ranking.scores) == list(dict.fromkeys([method, "entropy", "margin", "least_confidence", *draws_too]))
    assert np.array_equal(ranking.chosen, places)
    for name, values in ranking.scores.items():
        expected = acquisition.score(name, stack, base=base, weight=0.5).numpy()
        np.testing.assert_allclose(values, expected, atol=1e-5)


def test_a_method_takes_the_first_of_the_stored_draws(cache, union):
    """Of two stored draws one is no disagreement, which the score says: so one was taken."""
    options, rows = settings_of(cache, "edald") | {"draws": 1}, np.array([5, 2, 11])
    with pytest.raises(ValueError, match="at least 2, found 1"):
        selection.by_score(union, rows, Shards.open(cache.draws), cache.head(), 2, 1, options)


@pytest.mark.parametrize("method", ["bald", "ebald", "power_bald", "balentacq"])
def test_a_score_samples_the_head_with_dropout(cache, union, method):
    options = {"score": method, "seed": 3, "samples": 4, "weight": 0.5}
    head, rows = cache.head(), np.array([5, 2, 11, 30, 7])
    sampled = Head(cache.dim, head.classes, hidden=[12, 8], dropout=0.3, generator=torch.Generator())
    sampled.load_state_dict(cache.head(1).state_dict())
    chosen, ranking = selection.by_score(union, rows, None, head, 3, 2, options, sampled)
    vectors, generator = np.asarray(union.vectors[rows]), torch_generator(3, "dropout", 2)
    samples = dropout_log_probabilities(sampled, vectors, 4, generator=generator)
    generator = torch_generator(3, "score", 2)
    base = log_probabilities(head, vectors)
    expected = acquisition.score(method, samples, base=base, weight=0.5, generator=generator).numpy()
    best = np.argsort(-expected, kind="stable")[:3]
    assert np.array_equal(union.rows_of(chosen.images, chosen.flat), rows[best])
    np.testing.assert_allclose(chosen.values, expected[best], rtol=1e-6)
    assert {"entropy", "bald", "ebald", "balentacq", method} <= set(ranking.scores)


def test_uncertainty_herding_weighs_the_terms_of_the_mean(cache, union):
    options, head, labelled = settings_of(cache, "coverage") | {"score": "uherding"}, cache.head(), np.array([4, 17])
    chosen = selection.together(union, labelled, 4, 1, options, head)
    offered = union.offered(labelled, options["listed"])
    x = torch.from_numpy(np.array(union.vectors)).double()
    two = log_probabilities(head, np.asarray(union.vectors[offered])).double().exp().topk(2, dim=1).values
    weights = 1 - (two[:, 0] - two[:, 1])
    kernel = torch.exp(-((torch.cdist(x[offered], x) / union.bandwidth) ** 2))
    rows = union.rows_of(chosen.images, chosen.flat)
    covered = [
        float((kernel[:, list(labelled) + list(rows[:count])].amax(1) * weights).sum() / weights.sum())
        for count in range(5)
    ]
    np.testing.assert_allclose(chosen.values, np.diff(covered), atol=1e-5)
    for count in range(4):  # no other pixel would have covered more
        gains = torch.maximum(kernel[:, offered], kernel[:, list(labelled) + list(rows[:count])].amax(1, keepdim=True))
        assert ((gains * weights[:, None]).sum(0) / weights.sum()).max() <= covered[count + 1] + 1e-5
    plain = selection.together(union, labelled, 4, 1, options | {"score": "coverage"}, None)
    assert chosen.values.tolist() != plain.values.tolist()


def test_a_head_that_is_sure_everywhere_herds_for_coverage(cache, union):
    options, head = settings_of(cache, "coverage") | {"score": "uherding"}, cache.head()
    with torch.no_grad():
        head.rest[-1].weight.zero_()
        head.rest[-1].bias[0] = 1e6
    sure = selection.together(union, np.array([4, 17]), 4, 1, options, head)
    plain = selection.together(union, np.array([4, 17]), 4, 1, options | {"score": "coverage"}, None)
    assert np.array_equal(sure.flat, plain.flat) and np.array_equal(sure.images, plain.images)


def test_baselines_choose_among_what_the_images_offer(cache, union):
    options, x = settings_of(cache, "coverage"), np.array(union.vectors, dtype=np.float64)
    labelled = np.array([0, 1, 9])
    offered = union.offered(labelled, options["listed"])
    chosen = selection.together(union, labelled, 5, 1, options | {"score": "k_center"}, None)
    rows = union.rows_of(chosen.images, chosen.flat)
    for count, row in enumerate(rows):
        nearest = cdist(x[offered], x[[*labelled, *rows[:count]]]).min(axis=1)
        assert row == offered[nearest.argmax()] and chosen.values[count] == pytest.approx(nearest.max(), abs=1e-5)
    opening = selection.together(union, NOTHING, 5, 0, options | {"score": "k_center"}, None)
    plain = selection.together(union, NOTHING, 5, 0, options | {"score": "coverage"}, None)
    assert np.array_equal(opening.flat, plain.flat), "coverage opens"
    for already in (NOTHING, labelled):
        chosen = selection.together(union, already, 5, 1, options | {"score": "typiclust"}, None)
        rows = union.rows_of(chosen.images, chosen.flat)
        assert len(set(rows)) == 5 and set(rows) <= set(union.offered(already, options["listed"]))
    for selected in ("k_center", "typiclust"):
        with pytest.raises(UserError, match="the images' lists offer 0"):
            selection.together(union, np.arange(len(union.pixels)), 1, 1, options | {"score": selected}, None)


def test_typiclust_clusters_anew_for_every_seed_and_round(cache, union, monkeypatch):
    seeds, choose = [], selection.typical
    monkeypatch.setattr(selection, "typical", lambda *given: seeds.append(given[-1]) or choose(*given))
    options = settings_of(cache, "coverage") | {"score": "typiclust"}
    for _ in range(2):
        for seed in (0, 1):
            for number in (0, 1):
                selection.together(union, NOTHING, 2, number, options | {"seed": seed}, None)
    assert len(set(seeds)) == 4 and seeds[:4] == seeds[4:]


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
    with pytest.raises(UserError, match=r"offer 0 unlabelled .* than the 3 of .* raise `features.\*.context`$"):
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
    lists = "raise `candidates.listed`, `candidates.reserve` or `candidates.pixels`"
    for refused, mend in (
        (lambda: selection.by_coverage(union, NOTHING, 25, coverage_settings), lists),  # 6 images offer 4 each
        (lambda: selection.by_coverage(union, np.arange(len(union.pixels)), 1, coverage_settings), "raise `candidates"),
        (lambda: selection.pool(union, np.arange(len(union.pixels)), margin), "raise `candidates"),
        (
            lambda: selection.by_score(union, np.arange(3), None, cache.head(), 4, 1, margin),
            f"{lists}, or the method's `pool_fraction`",
        ),
    ):
        with pytest.raises(UserError, match="lower `budgets`") as error:
            refused()
        assert mend in str(error.value) and "context" not in str(error.value) and "\n" not in str(error.value)
