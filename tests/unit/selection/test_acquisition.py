import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import special, stats

from pixelherd.selection import acquisition, methods
from pixelherd.selection.acquisition import score

NAMES = list(methods.SCORES)
DISAGREEMENT = [name for name, declared in methods.SCORES.items() if declared.needs_draws or declared.needs_samples]


def generator():
    return torch.Generator().manual_seed(5)


@pytest.fixture
def predictions():
    """Log-probabilities [40, 5, 4] and base [40, 4], from vague to sharp."""
    random = torch.Generator().manual_seed(0)
    sharpness = torch.logspace(-1, 1, 40)[:, None, None]
    logits = torch.randn(40, 6, 4, generator=random) * sharpness
    log_probs = logits.log_softmax(dim=-1)
    return log_probs[:, 1:], log_probs[:, 0]


def entropy(p):
    p = np.asarray(p, dtype=np.float64)
    return -sum(x * math.log(x) for x in p if x > 0)


def mutual_information(samples):
    return entropy(samples.mean(axis=0)) - np.mean([entropy(p) for p in samples])


def balanced_entropy(samples):
    mean, variance = samples.mean(axis=0), samples.var(axis=0)
    variance = np.clip(variance, 1e-8, mean * (1 - mean) * (1 - 1e-8))
    a = mean**2 * (1 - mean) / variance - mean
    b = (1 / mean - 1) * a
    joint = sum(m * float(stats.beta(x + 1, y).entropy()) for m, x, y in zip(mean, a, b, strict=True)) + entropy(mean)
    balance = joint / (entropy(mean) + math.log(2))
    return 1 / balance if balance >= 0 else balance


def margin(base):
    first, second = np.sort(base)[::-1][:2]
    return second - first


FORMULAS = {
    "entropy": lambda samples, base, weight: entropy(base),
    "margin": lambda samples, base, weight: margin(base),
    "least_confidence": lambda samples, base, weight: 1 - base.max(),
    "bald": lambda samples, base, weight: mutual_information(samples),
    "dald": lambda samples, base, weight: mutual_information(samples),
    "ebald": lambda samples, base, weight: mutual_information(samples) + weight * entropy(base),
    "edald": lambda samples, base, weight: mutual_information(samples) + weight * entropy(base),
    "balentacq": lambda samples, base, weight: balanced_entropy(samples),
}
"""Scores without chance for one pixel, written plainly; a score may have a test of its own instead."""


@pytest.mark.parametrize("name", FORMULAS)
def test_scores_equal_the_formulas(name, predictions):
    log_probs, base = predictions
    found = score(name, log_probs, base=base, weight=0.7)
    samples, base = log_probs.double().exp().numpy(), base.double().exp().numpy()
    expected = [FORMULAS[name](p, q, 0.7) for p, q in zip(samples, base, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["entropy", "margin", "least_confidence"])
def test_without_a_base_the_mean_over_samples_stands_for_it(name, predictions):
    log_probs, _ = predictions
    mean = log_probs.double().exp().mean(dim=1).log()
    torch.testing.assert_close(score(name, log_probs), score(name, None, base=mean))


@pytest.mark.parametrize("name", ["power_bald", "power_dald"])
def test_power_scores_add_gumbel_noise_to_log_information(name):
    log_probs = torch.randn(1, 3, 4, generator=generator()).log_softmax(dim=-1).expand(4000, 3, 4)
    found = score(name, log_probs, generator=generator())
    information = score("dald", log_probs)
    noise = (found - information.log()).numpy()
    assert stats.kstest(noise, "gumbel_r").pvalue > 0.01
    assert torch.equal(found, score(name, log_probs, generator=generator()))


def test_power_scores_tell_information_apart_down_to_rounding():
    shifts = torch.tensor([1e-2, 1e-3, 1e-4, 1e-5, 0], dtype=torch.float64)
    logits = torch.zeros(5, 2, 2, dtype=torch.float64)
    logits[:, 0, 1] = logits[:, 1, 0] = shifts
    found = score("power_bald", logits.log_softmax(-1), generator=generator())
    noise = score("power_bald", torch.zeros_like(logits).log_softmax(-1), generator=generator())
    nothing = math.log(np.finfo(np.float64).eps)
    # two samples whose logits differ by d to either side have d²/8 of information, to leading order
    information = [*(shifts[:4].square() / 8).log(), nothing]
    np.testing.assert_allclose(found - noise, np.array(information) - nothing, atol=1e-4)


def test_random_is_uniform_and_comes_from_the_generator(predictions):
    log_probs = torch.zeros(4000, 1, 1)
    found = score("random", log_probs, generator=generator())
    assert stats.kstest(found.numpy(), "uniform").pvalue > 0.01
    before = torch.get_rng_state()
    assert torch.equal(found, score("random", None, base=torch.zeros(4000, 1), generator=generator()))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "first",
    [
        [1.0, 1.0],
        [1 - 1e-9, 1 - 1e-9],
        [1 - 1e-9, 1 - 3e-9],
        [1e-9, 1e-9],
        [1e-9, 0.0],
        [1e-10, 1e-11],
        [0.3, 0.3],
        [0.0, 1.0],
    ],
)
def test_balanced_entropy_at_the_edges_of_the_clip_interval(first):
    """Where a variance P̄(1-P̄) has no room for ε, half of it is the variance; means stay 1e-12 away from 0 and 1."""
    samples = np.array([[p, 1 - p] for p in first])
    joint = entropy(samples.mean(axis=0))
    for mean, variance in zip(samples.mean(axis=0), samples.var(axis=0), strict=True):
        inside = min(max(mean, 1e-12), 1 - 1e-12)
        largest = inside * (1 - inside)
        lower = 1e-8 if largest / 2 >= 1e-8 else largest / 2
        clipped = min(max(variance, lower), largest * (1 - 1e-8))
        a = inside**2 * (1 - inside) / clipped - inside
        b = (1 / inside - 1) * a
        p, q = a + 1, b  # the differential entropy of Beta(p, q)
        digamma = special.digamma
        h = special.betaln(p, q) - (p - 1) * digamma(p) - (q - 1) * digamma(q) + (p + q - 2) * digamma(p + q)
        joint += mean * h
    balance = joint / (entropy(samples.mean(axis=0)) + math.log(2))
    found = score("balentacq", torch.from_numpy(samples).log()[None])
    assert found.item() == pytest.approx(1 / balance if balance >= 0 else balance, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "probabilities",
    [
        [[1, 0, 0], [1, 0, 0]],
        [[1, 0, 0], [0, 1, 0]],
        [[0.5, 0.5, 0], [0.5, 0.5, 0]],
        [[1, 1e-30, 0], [1, 1e-30, 0]],
        [[1 - 1e-7, 1e-7, 0], [1, 0, 0]],
        [[1 - 1e-9, 1e-9, 0], [1 - 1e-8, 1e-8, 0]],
        [[1 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, 1 / 3]],
        [[1], [1]],
    ],
)
def test_scores_are_finite_at_the_edges(name, probabilities):
    log_probs = torch.tensor(probabilities, dtype=torch.float64).log()[None]
    found = score(name, log_probs, base=log_probs[:, 0], generator=generator())
    assert found.shape == (1,)
    assert found.isfinite().all()


def test_confident_agreement_scores_lowest():
    sure = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    vague = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    contradictory = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    log_probs = torch.stack([sure, vague, contradictory]).log()
    assert score("dald", log_probs).tolist() == pytest.approx([0, 0, math.log(2)])
    assert score("entropy", log_probs).tolist() == pytest.approx([0, math.log(2), math.log(2)])
    assert score("margin", log_probs).tolist() == pytest.approx([-1, 0, 0])
    assert score("least_confidence", log_probs).tolist() == pytest.approx([0, 0.5, 0.5])
    assert score("balentacq", log_probs).argmin() == 0


def test_identical_draws_hold_no_information(predictions):
    log_probs, base = predictions
    same = log_probs[:, :1].expand(-1, 5, -1)
    information = score("dald", same)
    assert (information >= 0).all()
    np.testing.assert_allclose(information, 0, atol=1e-14)
    torch.testing.assert_close(score("edald", same, base=base), score("entropy", None, base=base))


def test_information_is_between_zero_and_log_classes(predictions):
    log_probs, _ = predictions
    information = score("dald", log_probs)
    assert ((information >= 0) & (information <= math.log(4))).all()


def test_order_of_samples_and_classes_does_not_matter(predictions):
    log_probs, base = predictions
    for name in sorted(set(NAMES) - {"random"}):
        found = score(name, log_probs, base=base, generator=generator())
        turned = score(name, log_probs.flip(1, 2), base=base.flip(1), generator=generator())
        torch.testing.assert_close(found, turned, rtol=1e-9, atol=1e-9)


def test_one_class_is_certain():
    log_probs = torch.zeros(3, 2, 1)
    assert score("entropy", log_probs).tolist() == [0, 0, 0]
    assert score("margin", log_probs).tolist() == [-1, -1, -1]
    assert score("dald", log_probs).tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", DISAGREEMENT)
@pytest.mark.parametrize("log_probs", [torch.zeros(3, 1, 2).log_softmax(-1), None])
def test_disagreement_of_fewer_than_two_samples_is_an_error(name, log_probs):
    with pytest.raises(ValueError, match="at least 2"):
        score(name, log_probs, base=torch.zeros(3, 2).log_softmax(-1), generator=generator())


@pytest.mark.parametrize("name", NAMES)
def test_no_pixels_give_no_scores(name):
    assert score(name, torch.zeros(0, 2, 3), base=torch.zeros(0, 3), generator=generator()).shape == (0,)


def test_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="'edald'"):
        score("edadl", torch.zeros(1, 2, 2))


def test_wrong_arguments_are_refused():
    log_probs, base = torch.zeros(3, 2, 4), torch.zeros(3, 4)
    for wrong in ({"base": torch.zeros(3, 5)}, {"base": torch.zeros(2, 4)}, {"base": log_probs}):
        with pytest.raises(ValueError, match=r"disagree|axes"):
            score("entropy", log_probs, **wrong)
    with pytest.raises(ValueError, match="NaN"):
        score("entropy", torch.full((1, 2, 2), math.nan))
    with pytest.raises(ValueError, match="above 0"):
        score("entropy", torch.full((1, 2, 2), 0.5))
    with pytest.raises(ValueError, match="needs log_probs or base"):
        score("entropy", None)
    with pytest.raises(ValueError, match="pass a generator"):
        score("random", None, base=base)
    for weight in (-0.1, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"weight must be a finite number that is not negative, not {weight}"):
            score("edald", log_probs.log_softmax(-1), weight=weight)


def test_what_scores_declare_is_what_they_use(predictions):
    log_probs, base = predictions
    assert set(methods.SCORES) == set(acquisition.FUNCTIONS) and FORMULAS.keys() <= set(NAMES)
    for name, declared in methods.SCORES.items():
        assert declared.name == name
        samples = log_probs if declared.needs_draws or declared.needs_samples else None
        found = score(name, samples, base=base, generator=generator() if declared.needs_generator else None)
        # Nothing that is not declared changes the score.
        torch.testing.assert_close(found, score(name, log_probs, base=base, generator=generator()))
        weighed = score(name, log_probs, base=base, weight=0.3, generator=generator())
        assert torch.allclose(found, weighed) != declared.takes_weight


def test_registry_does_not_import_torch():
    code = "import sys, pixelherd.selection.methods; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
