"""The pixels of a round against direct sorting, and every way to ask for more pixels than there are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from pixelherd.compute.randomness import torch_generator
from pixelherd.datasets.pixels import Pixels
from pixelherd.errors import UserError
from pixelherd.heads.network import MlpHead, log_probabilities, sampled_log_probabilities
from pixelherd.selection import acquisition, choose, rankings
from pixelherd.selection.coverage.union import read_union
from pixelherd.selection.methods import SCORES, SELECTIONS
from pixelherd.selection.rules import typiclust
from pixelherd.selection.rules.offer import Offer
from pixelherd.selection.settings import Round, SelectionSettings
from pixelherd.storage.shards import Shards
from pixelherd.study import stages
from unit.selection import drawn

NOTHING = np.array([], dtype=np.int64)


@pytest.fixture
def union(cache):
    return read_union(cache.union)


def settings_of(cache, method, **changed):
    run = next(run for run in cache.study.runs() if run.method == method)
    return stages.selection(cache.study, run).model_copy(update=changed)


def no_labels():
    return Pixels(NOTHING, NOTHING, np.array([]))


def labelled_in(union, rows):
    """The pixels of some rows of the union, labelled."""
    return Pixels(union.images[rows], union.pixels[rows], np.zeros(len(rows)))


def asking(settings, budget, *, labelled=None, number=1):
    """A round."""
    return Round(number, budget, no_labels() if labelled is None else labelled, settings)


def together(union, current, head=None):
    """What the rule of a round chooses."""
    return choose.together(Offer(union, current, 5, head))


def coverage(union, rows) -> float:
    """Mean over what the images offer without labels, float64."""
    x = torch.from_numpy(np.array(union.vectors)).double()
    offered, rows = x[union.offered(NOTHING, 4)], x[rows]
    return torch.exp(-((torch.cdist(offered, rows) / union.bandwidth) ** 2)).amax(1).mean().item()


def test_coverage_scores_are_gains_in_round_0(cache, union):
    chosen = together(union, asking(settings_of(cache, "coverage"), 5))
    rows = union.rows_of(chosen.images, chosen.flat)
    covered = [0.0] + [coverage(union, rows[: count + 1]) for count in range(5)]
    np.testing.assert_allclose(chosen.values, np.diff(covered), atol=1e-5)


def test_coverage_scores_are_gains_in_later_rounds(cache, union):
    options = settings_of(cache, "coverage")
    first = together(union, asking(options, 3))
    labelled = union.rows_of(first.images, first.flat)
    second = together(union, asking(options, 3, labelled=first))
    rows = union.rows_of(second.images, second.flat)
    assert not set(labelled) & set(rows)
    x = torch.from_numpy(np.array(union.vectors)).double()
    offered = x[union.offered(labelled, options.listed)]
    covered = [
        torch.exp(-((torch.cdist(offered, x[list(labelled) + list(rows[:count])]) / union.bandwidth) ** 2))
        .amax(1)
        .mean()
        for count in range(4)
    ]
    np.testing.assert_allclose(second.values, np.diff(covered), atol=1e-5)


@pytest.mark.parametrize("method", ["edald", "margin"])
def test_a_score_ranks_the_pool(cache, union, method):
    head, labelled = cache.head(), labelled_in(union, [2, 9])
    current = asking(settings_of(cache, method, weight=0.5), 4, labelled=labelled)
    rows = choose.pool(union, current)
    assert len(rows) == round(0.5 * len(union.offered(np.array([2, 9]), 4))) and not {2, 9} & set(rows)
    draws = Shards.open(cache.draws) if method == "edald" else None
    chosen, ranking = choose.by_score(union, rows, current, head, draws=draws)

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

    plain = [each.name for each in SCORES.values() if not each.needs_generator and not each.needs_samples]
    possible = [name for name in plain if draws or not SCORES[name].needs_draws]
    assert {"entropy", "margin", "least_confidence"} <= set(possible) and ("edald" in possible) == bool(draws)
    assert list(ranking.scores) == list(dict.fromkeys([method, *possible]))
    assert np.array_equal(ranking.chosen, places)
    for name, values in ranking.scores.items():
        expected = acquisition.score(name, stack, base=base, weight=0.5).numpy()
        np.testing.assert_allclose(values, expected, atol=1e-5)


def test_a_method_takes_the_first_of_the_stored_draws(cache, union):
    """Of two stored draws one is no disagreement, which the score says: so one was taken."""
    current, rows = asking(settings_of(cache, "edald", draws=1), 2), np.array([5, 2, 11])
    with pytest.raises(ValueError, match="at least 2, found 1"):
        choose.by_score(union, rows, current, cache.head(), draws=Shards.open(cache.draws))


@pytest.mark.parametrize("method", ["bald", "ebald", "power_bald", "balentacq"])
def test_a_score_samples_the_head_with_dropout(cache, union, method):
    options = SelectionSettings(score=method, budget="3", seed=3, samples=4, weight=0.5)
    head, rows = cache.head(), np.array([5, 2, 11, 30, 7])
    sampled = MlpHead(cache.dim, head.classes, hidden=[12, 8], dropout=0.3, generator=torch.Generator())
    sampled.load_state_dict(cache.head(1).state_dict())
    chosen, ranking = choose.by_score(union, rows, asking(options, 3, number=2), head, sampled_head=sampled)
    vectors, generator = np.asarray(union.vectors[rows]), torch_generator(3, "dropout", 2)
    samples = sampled_log_probabilities(sampled, vectors, 4, generator=generator)
    generator = torch_generator(3, "score", 2)
    base = log_probabilities(head, vectors)
    expected = acquisition.score(method, samples, base=base, weight=0.5, generator=generator).numpy()
    best = np.argsort(-expected, kind="stable")[:3]
    assert np.array_equal(union.rows_of(chosen.images, chosen.flat), rows[best])
    np.testing.assert_allclose(chosen.values, expected[best], rtol=1e-6)
    assert {"entropy", "bald", "ebald", "balentacq", method} <= set(ranking.scores)


def test_uncertainty_herding_weighs_the_terms_of_the_mean(cache, union):
    options, head, labelled = settings_of(cache, "coverage", score="uherding"), cache.head(), np.array([4, 17])
    current = asking(options, 4, labelled=labelled_in(union, labelled))
    chosen = together(union, current, head)
    offered = union.offered(labelled, options.listed)
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
    plain = together(union, replace(current, settings=settings_of(cache, "coverage")))
    assert chosen.values.tolist() != plain.values.tolist()


def test_a_head_that_is_sure_everywhere_herds_for_coverage(cache, union):
    head, labelled = cache.head(), labelled_in(union, [4, 17])
    with torch.no_grad():
        head.rest[-1].weight.zero_()
        head.rest[-1].bias[0] = 1e6
    options = settings_of(cache, "coverage", score="uherding")
    sure = together(union, asking(options, 4, labelled=labelled), head)
    plain = together(union, asking(settings_of(cache, "coverage"), 4, labelled=labelled))
    assert np.array_equal(sure.flat, plain.flat) and np.array_equal(sure.images, plain.images)


def test_baselines_choose_among_what_the_images_offer(cache, union):
    options, x = settings_of(cache, "coverage"), np.array(union.vectors, dtype=np.float64)
    labelled = np.array([0, 1, 9])
    offered = union.offered(labelled, options.listed)
    k_center = asking(settings_of(cache, "coverage", score="k_center"), 5, labelled=labelled_in(union, labelled))
    chosen = together(union, k_center)
    rows = union.rows_of(chosen.images, chosen.flat)
    for count, row in enumerate(rows):
        nearest = cdist(x[offered], x[[*labelled, *rows[:count]]]).min(axis=1)
        assert row == offered[nearest.argmax()] and chosen.values[count] == pytest.approx(nearest.max(), abs=1e-5)
    opening = together(union, replace(k_center, labelled=no_labels(), number=0))
    plain = together(union, asking(options, 5, number=0))
    assert np.array_equal(opening.flat, plain.flat), "coverage opens"
    typical = settings_of(cache, "coverage", score="typiclust")
    for already in (NOTHING, labelled):
        chosen = together(union, asking(typical, 5, labelled=labelled_in(union, already)))
        rows = union.rows_of(chosen.images, chosen.flat)
        assert len(set(rows)) == 5 and set(rows) <= set(union.offered(already, options.listed))
    everything = labelled_in(union, np.arange(len(union.pixels)))
    for selected in (k_center.settings, typical):
        with pytest.raises(UserError, match="the images' lists offer 0"):
            together(union, asking(selected, 1, labelled=everything))


def test_typiclust_clusters_anew_for_every_seed_and_round(cache, union, monkeypatch):
    seeds, typical = [], typiclust.typical
    monkeypatch.setattr(typiclust, "typical", lambda *given: seeds.append(given[-1]) or typical(*given))
    for _ in range(2):
        for seed in (0, 1):
            for number in (0, 1):
                options = settings_of(cache, "coverage", score="typiclust", seed=seed)
                together(union, asking(options, 2, number=number))
    assert len(set(seeds)) == 4 and seeds[:4] == seeds[4:]


ASKED = {
    "coverage": ([52, 25, 78, 12, 3, 86], [52, 25, 12, 78, 86, 62]),
    "uherding": ([52, 25, 78, 12, 3, 86], [52, 53, 78, 62, 40, 114]),
    "k_center": ([52, 25, 78, 12, 3, 86], [36, 37, 115, 89, 96, 65]),
    "typiclust": ([52, 25, 78, 3, 53, 17], [25, 86, 12, 62, 114, 8]),
}
"""Rows that each rule asked in rounds 0 and 3 of the drawn union when it became a rule."""


@pytest.mark.parametrize("name", ASKED)
def test_rules_ask_what_they_asked_before(name):
    for number, rows in zip((0, 3), ASKED[name], strict=True):
        offer = drawn.offer(name, 6, number)
        chosen = choose.together(offer)
        assert offer.union.rows_of(chosen.images, chosen.flat).tolist() == rows


RULES = [name for name, selection in SELECTIONS.items() if selection.module]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("budget", [1, 7, 30])
def test_a_rule_asks_distinct_pixels_that_are_offered_and_the_same_again(name, budget):
    for number in (0, 3):
        offer = drawn.offer(name, budget, number)
        chosen = choose.together(offer)
        rows = offer.union.rows_of(chosen.images, chosen.flat)
        assert len(rows) == len(set(rows)) == budget and set(rows) <= set(offer.rows)
        assert chosen.values.shape == (budget,) and np.isfinite(chosen.values).all()
        again = choose.together(drawn.offer(name, budget, number))
        assert np.array_equal(again.values, chosen.values) and np.array_equal(again.flat, chosen.flat)
        assert np.array_equal(again.images, chosen.images)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_asks_all_that_is_offered_and_no_more(name):
    offer = drawn.offer(name, 80, 3)
    assert len(offer.rows) == 80 and len(choose.together(offer)) == 80
    with pytest.raises(UserError, match="offer 80 unlabelled pixels, fewer than the 81"):
        choose.together(drawn.offer(name, 81, 3))


@pytest.mark.parametrize("name", [name for name in RULES if SELECTIONS[name].needs_head])
def test_another_rule_opens_where_there_is_no_head(name):
    opening = SELECTIONS[name].opening
    blind, opened = choose.together(replace(drawn.offer(name, 5), head=None)), choose.together(drawn.offer(opening, 5))
    assert np.array_equal(blind.values, opened.values) and np.array_equal(blind.flat, opened.flat)
    assert not SELECTIONS[opening].needs_head and not SELECTIONS[opening].needs_labels


def test_ties_go_to_what_was_herded_first(cache, union):
    head = cache.head()
    with torch.no_grad():
        head.rest[-1].weight.zero_()  # the same prediction everywhere
    current = asking(settings_of(cache, "margin"), 5)
    rows = choose.pool(union, current)
    chosen, ranking = choose.by_score(union, rows, current, head)
    assert np.isnan(rankings.spearman(ranking.scores["entropy"], ranking.scores["margin"])), "no order, no correlation"
    assert np.array_equal(union.rows_of(chosen.images, chosen.flat), rows[:5])


def test_random_pixels_are_unlabelled_context_pixels(cache):
    context, truth, options = Shards.open(cache.train), cache.dataset.train.labels, settings_of(cache, "random")
    labelled, asked = no_labels(), []
    for number in range(3):
        current = asking(options, 10, labelled=labelled, number=number)
        chosen = choose.at_random(context, truth, current)
        assert len(chosen) == 10
        again = choose.at_random(context, truth, current)
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
    with pytest.raises(UserError, match=r"offer 0 unlabelled .* than the 3 of .* raise `features.\*.context`$"):
        choose.at_random(context, truth, asking(settings_of(cache, "random"), 3))
    everything = choose.at_random(context, truth, asking(settings_of(cache, "random", avoid_ignored=False), 120))
    assert len(set(zip(everything.images, everything.flat, strict=True))) == 120


def test_every_seed_and_round_draws_its_own_random_pixels(cache):
    context, truth = Shards.open(cache.train), cache.dataset.train.labels
    draws = {
        tuple(choose.at_random(context, truth, asking(settings_of(cache, "random", seed=seed), 20, number=number)).flat)
        for number in (0, 1)
        for seed in (0, 1)
    }
    assert len(draws) == 4


def test_budgets_beyond_the_pixels_are_one_line(cache, union):
    covering, margin = settings_of(cache, "coverage"), settings_of(cache, "margin")
    everything = labelled_in(union, np.arange(len(union.pixels)))
    lists = "raise `candidates.listed`, `candidates.reserve` or `candidates.pixels`"
    for refused, mend in (
        (lambda: together(union, asking(covering, 25)), lists),  # 6 images offer 4 each
        (lambda: together(union, asking(covering, 1, labelled=everything)), "raise `candidates"),
        (lambda: choose.pool(union, asking(margin, 1, labelled=everything)), "raise `candidates"),
        (
            lambda: choose.by_score(union, np.arange(3), asking(margin, 4), cache.head()),
            f"{lists}, or the method's `pool_fraction`",
        ),
    ):
        with pytest.raises(UserError, match="lower `budgets`") as error:
            refused()
        assert mend in str(error.value) and "context" not in str(error.value) and "\n" not in str(error.value)
