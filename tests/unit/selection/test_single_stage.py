"""Single-stage selection against a dense ranking that holds every vector and score at once."""

import numpy as np
import pytest
import torch

from pixelherd.compute.randomness import torch_generator
from pixelherd.datasets.pixels import LABEL_COLUMNS, Pixels, write_pixels
from pixelherd.errors import UserError
from pixelherd.features.backbones import manifest
from pixelherd.features.extract import store_draws
from pixelherd.features.maps import ComputedMaps, StoredDraws, StoredMaps, compute, vectors_at
from pixelherd.heads import dense
from pixelherd.heads.network import MlpHead, log_probabilities, sampled
from pixelherd.selection import acquisition, rankings, single_stage
from pixelherd.selection.labelled import labelled_pixels, labelled_vectors, vector_source
from pixelherd.selection.settings import Round, SelectionSettings
from pixelherd.selection.single_stage import SAMPLED, Best, Sources, rank
from pixelherd.storage.stores import save_arrays, writing

SIZE = (32, 32)
LABELLED = Pixels(np.array([1, 1, 4]), np.array([7, 500, 1023]), np.array([0, 255, 2]))
OPTIONS = {"seed": 0, "weight": 0.5, "avoid_ignored": True, "draws": 2, "samples": 3}


@pytest.fixture(scope="module")
def network(cache):
    return manifest.load(cache.study.features["ddpm"].backbone)


@pytest.fixture(scope="module")
def stored_draws(cache, network, tmp_path_factory):
    """Draws 1 and 2 of all training images as ``draw_maps: keep`` stores them, one shard."""
    shard = tmp_path_factory.mktemp("draw_maps") / "00000-00005"
    with writing(shard, {"images": 6, "draws": 2}) as folder:
        computed = ComputedMaps([network], cache.dataset.train.images, cache.features)
        store_draws(folder, range(6), computed, 2, SIZE)
    return StoredDraws(shard / "manifest.json")


def dropout_head(cache):
    head = MlpHead(cache.dim, len(cache.classes), hidden=[12, 8], dropout=0.3, generator=torch.Generator())
    head.load_state_dict(cache.head(1).state_dict())
    return head.eval()


def ranked(cache, network, score, images=range(6), budget=20, draws=None, **options):
    computed = ComputedMaps([network], cache.dataset.train.images, cache.features)
    sources = Sources(
        computed if draws else StoredMaps(cache.train),
        cache.head(),
        (draws or computed) if "dald" in score else None,
        dropout_head(cache) if "ba" in score else None,
    )
    settings = SelectionSettings(score=score, budget=str(budget), **(OPTIONS | options))
    return rank(images, cache.dataset.train, sources, Round(1, budget, LABELLED, settings))


def everywhere(cache, network, score) -> np.ndarray:
    """The score of every pixel of every image, from one vector a pixel."""
    train, head, maps_of, found = cache.dataset.train, cache.head(), StoredMaps(cache.train), []
    for image in range(6):
        every = np.arange(1024)
        base = log_probabilities(head, vectors_at(maps_of(image), every, SIZE))
        samples = None
        if "dald" in score:
            maps = [compute(network, train.images[image], cache.features, number) for number in (1, 2)]
            samples = torch.stack([log_probabilities(head, vectors_at(each, every, SIZE)) for each in maps], 1)
        elif "ba" in score:
            other = dropout_head(cache)
            with sampled(other, 3, torch_generator("dropout", 0, 1, train.ids[image])) as heads:
                logits = [logits.flatten(1).T for logits in dense.predict(maps_of(image), heads, SIZE)]
            samples = torch.stack(logits, 1).log_softmax(2)
        found.append(acquisition.score(score, samples, base=base, weight=0.5).numpy())
    return np.stack(found)


def free_of(cache) -> np.ndarray:
    free = cache.dataset.train.labels[:].reshape(6, -1) != 255
    free[LABELLED.images, LABELLED.flat] = False
    return free


@pytest.mark.parametrize("score", ["margin", "entropy", "dald", "edald", "bald", "ebald", "balentacq"])
def test_the_best_pixels_of_all(cache, network, score):
    best, scores, free = ranked(cache, network, score), everywhere(cache, network, score), free_of(cache)
    asked, ranking = best.queries(20)
    assert free[asked.images, asked.flat].all(), "no pixel is asked twice, and none that is ignored"
    assert len(set(zip(asked.images, asked.flat, strict=True))) == 20
    own = scores[asked.images, asked.flat]
    np.testing.assert_allclose(asked.values, own, rtol=2e-3, atol=2e-5)
    assert (np.diff(asked.values) <= 0).all()
    # the dense ranking, as far as rounding tells its scores apart
    np.testing.assert_allclose(np.sort(scores[free])[-20:][::-1], own, rtol=5e-3, atol=5e-5)
    assert next(iter(ranking.scores)) == score and len(ranking.chosen) == 20
    assert len(ranking.over_pool(score)) == len(ranking.pool) == 6 * SAMPLED
    for name, values in ranking.scores.items():
        if name in ("entropy", "margin", "least_confidence"):
            expected = everywhere(cache, network, name)[asked.images, asked.flat]
            np.testing.assert_allclose(values[ranking.chosen], expected, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("score", ["margin", "power_dald", "bald"])
def test_shards_do_not_change_what_is_chosen(cache, network, score, tmp_path):
    whole = ranked(cache, network, score)
    parts = [ranked(cache, network, score, images) for images in (range(4, 6), range(0, 4))]
    for number, part in enumerate(parts):
        part.write(tmp_path / f"{number}.npz")
    merged = Best.of([Best.read(tmp_path / f"{number}.npz") for number in (1, 0)], 20)
    assert np.array_equal(merged.images, whole.images) and np.array_equal(merged.flat, whole.flat)
    for kind in ("scores", "sample"):
        assert getattr(merged, kind).keys() == getattr(whole, kind).keys()
        assert all(np.array_equal(getattr(merged, kind)[name], values) for name, values in getattr(whole, kind).items())


def test_stored_maps_and_norms_do_not_change_what_is_chosen(cache, network, stored_draws):
    for score in ("edald", "bald"):
        best, other = ranked(cache, network, score), ranked(cache, network, score, draws=stored_draws)
        assert np.array_equal(best.images, other.images) and np.array_equal(best.flat, other.flat)
        assert all(np.array_equal(values, other.scores[name]) for name, values in best.scores.items())


def test_every_image_round_and_seed_has_noise_and_a_sample_of_its_own(cache, monkeypatch):
    """Of equal predictions in all of them, certain without disagreement and the more so the later a pixel comes."""
    certain = torch.linspace(0.5, 0.9, 1024, dtype=torch.float64)
    base = torch.stack([certain, 1 - certain], 1).log()
    monkeypatch.setattr(single_stage, "predictions", lambda *_: (base[:, None].expand(-1, 2, -1), base))
    margins = -acquisition.score("margin", None, base=base).numpy()
    options = SelectionSettings(score="power_bald", budget="6144", seed=0, weight=1.0, avoid_ignored=False)
    nothing = Pixels(*(np.zeros(0, dtype=np.int64) for _ in range(3)))
    noises, samples = [], []
    for seed, number in ((0, 1), (0, 2), (1, 1)):
        current = Round(number, 6 * 1024, nothing, options.model_copy(update={"seed": seed}))
        best = rank(range(6), cache.dataset.train, Sources(StoredMaps(cache.train), cache.head()), current)
        order = np.lexsort((best.flat, best.images))
        noises += [tuple(values) for values in best.scores["power_bald"][order].reshape(6, 1024)]
        samples += [tuple(np.searchsorted(margins, -values)) for values in best.sample["margin"].reshape(6, SAMPLED)]
    assert len(set(noises)) == 3 * 6
    assert len(set(map(frozenset, samples))) == 3 * 6 and all(len(set(each)) == SAMPLED for each in samples)


def test_ties_go_to_the_first_image_and_pixel(cache, network, monkeypatch):
    head = cache.head()
    with torch.no_grad():
        head.rest[-1].weight.zero_()
    monkeypatch.setattr(type(cache), "head", lambda self, seed=0: head)
    best = ranked(cache, network, "margin", budget=1500)
    places = np.argwhere(free_of(cache))[:1500]
    assert np.array_equal(np.stack([best.images, best.flat], 1), places)
    assert np.isnan(rankings.spearman(best.sample["margin"], best.sample["entropy"]))


def test_ignored_pixels_are_ranked_if_the_study_says_so_and_a_budget_may_be_too_large(cache, network):
    best = ranked(cache, network, "margin", budget=7000, avoid_ignored=False)
    assert len(best.images) == 6 * 1024 - 3
    with pytest.raises(UserError, match="have 6141 unlabelled pixels, fewer than the 7000 of a round; lower `budgets`"):
        best.queries(7000)


def test_the_network_runs_as_often_as_the_plan_says(cache, network):
    before, steps = network.forwards, 2
    ranked(cache, network, "edald")
    assert network.forwards - before == 6 * steps * 2


def test_labelled_pixels_have_vectors_wherever_they_lie(cache, network, tmp_path):
    pixels = Pixels(np.array([3, 0, 3, 5]), np.array([900, 3, 2, 77]), np.array([1, 0, 255, 2]))
    write_pixels(tmp_path / "labels.csv", LABEL_COLUMNS, 0, pixels, cache.dataset.train.ids, 32)
    stored = StoredMaps(cache.train)
    vectors = labelled_vectors(cache.dataset, tmp_path / "labels.csv", stored)
    for row, (image, flat) in enumerate(zip(pixels.images, pixels.flat, strict=True)):
        assert np.array_equal(vectors[row], vectors_at(stored(image), [flat], SIZE)[0].half().numpy())
    computed = ComputedMaps([network], cache.dataset.train.images, cache.features)
    before = network.forwards
    assert np.array_equal(labelled_vectors(cache.dataset, tmp_path / "labels.csv", computed), vectors)
    assert network.forwards - before == 3 * 2, "an image's maps are made once"
    save_arrays(tmp_path / "vectors.npz", vectors=vectors)
    files = [tmp_path / "labels.csv"], cache.train, None, [tmp_path / "vectors.npz"]
    found = labelled_pixels(cache.dataset, *files)
    source = vector_source(found, cache.train, torch.device("cpu"))
    assert found.dim == cache.dim and source.labelled(3) and source.labelled(0) and not source.labelled(1)
