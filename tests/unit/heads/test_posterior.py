"""Samples of a linear head, against a float64 Gaussian built in full and against Markov chains."""

import numpy as np
import pytest
import torch

from pixelherd.heads import linear, network, posterior
from pixelherd.heads.settings import LinearSettings
from pixelherd.heads.sources import Labelled
from unit.heads.test_linear import CLASSES, DIM, pixels


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def small(l2=2.0, count=24):
    """Few labels of two dimensions and three classes."""
    random = np.random.default_rng(1)
    labels = np.arange(count) % 3
    vectors = np.array([[1.0, 0.0], [-0.5, 0.9], [-0.5, -0.9]])[labels] + random.normal(scale=0.8, size=(count, 2))
    return Labelled(vectors, np.arange(count), labels), LinearSettings(l2=l2, class_balance="none")


def hessian(design, best):
    """The Hessian [k(r+1), k(r+1)] by automatic differentiation."""
    inputs = torch.cat([block for _, block in design.blocks()]).double()

    def loss(flat):
        log_p = (inputs @ flat.view_as(best).T).log_softmax(1)
        fit = -(design.weights[:, None] * log_p.gather(1, design.targets[:, None])).sum()
        return fit + design.precision / 2 * flat.view_as(best)[:, :-1].square().sum()

    return torch.autograd.functional.hessian(loss, best.flatten())


def test_deviations_have_the_inverse_hessian_as_covariance():
    labelled, settings = small()
    design = linear.design_of(labelled, [0, 1, 2], settings)
    best = linear.minimise(design, design.weights)
    drawn = posterior.deviations(design, best, 4000, generator()).flatten(1)
    # biases may all grow alike without any effect, so that direction has no precision
    expected = torch.linalg.pinv(hessian(design, best), hermitian=True, rtol=1e-8)
    found = drawn.T @ drawn / len(drawn)
    assert (found - expected).norm() < 0.06 * expected.norm()


def chain(labelled, settings, steps, seed):
    """Parameters [steps, k, r+1] from the true posterior, by random-walk Metropolis over many walkers."""
    design = linear.design_of(labelled, [0, 1, 2], settings)
    best = linear.minimise(design, design.weights)
    inputs = torch.cat([block for _, block in design.blocks()]).double()

    def log_density(parameters):
        log_p = torch.einsum("nr,wkr->wnk", inputs, parameters).log_softmax(2)
        fit = log_p.gather(2, design.targets[None, :, None].expand(len(parameters), -1, 1)).sum((1, 2))
        return fit - design.precision / 2 * parameters[:, :, :-1].square().sum((1, 2))

    random = generator(seed)
    walkers = best + posterior.deviations(design, best, 400, random)
    density, kept = log_density(walkers), []
    scale = 0.45 * posterior.deviations(design, best, 400 * 8, random).view(8, 400, *best.shape)
    for step in range(steps):
        proposal = walkers + scale[step % 8][torch.randperm(400, generator=random)]
        new = log_density(proposal)
        taken = torch.rand(400, dtype=torch.float64, generator=random).log() < new - density
        walkers = torch.where(taken[:, None, None], proposal, walkers)
        density = torch.where(taken, new, density)
        if step > steps // 2 and step % 20 == 0:
            kept.append(walkers)
    return design, torch.cat(kept)


def information(logits):
    """Mutual information between label and parameters, [n], of [S, n, k] logits."""
    p = logits.softmax(2)
    return torch.special.entr(p.mean(0)).sum(1) - torch.special.entr(p).sum(2).mean(0)


def test_the_whole_hessian_agrees_with_markov_chains_better_than_its_diagonal():
    labelled, settings = small()
    design, walked = chain(labelled, settings, 1200, 0)
    places = torch.from_numpy(np.random.default_rng(2).normal(scale=1.5, size=(300, 2)))
    best = linear.minimise(design, design.weights)

    def logits(parameters):
        weight, bias = design.back(parameters)
        return torch.einsum("nd,skd->snk", places, weight) + bias[:, None]

    truth = information(logits(walked))
    whole = information(logits(best + posterior.deviations(design, best, 4000, generator(1))))
    spread = torch.diag(hessian(design, best)).rsqrt().view_as(best)
    noise = torch.randn(4000, *best.shape, dtype=torch.float64, generator=generator(2))
    diagonal = information(logits(best + spread * noise))
    errors = {
        name: float((each - truth).abs().mean() / truth.mean())
        for name, each in (("whole", whole), ("diagonal", diagonal))
    }
    assert errors["whole"] < 0.15 and errors["whole"] < errors["diagonal"] / 2, errors
    assert np.corrcoef(whole, truth)[0, 1] > 0.9


def test_samples_differ_where_labels_say_little_and_know_the_same_classes(tmp_path):
    labelled, settings = pixels(40), LinearSettings()
    fitted = linear.fit(labelled, CLASSES, settings)
    drawn = posterior.sample(fitted, 5, generator())
    again = posterior.sample(fitted, 5, generator())
    for name, one in (("a", drawn), ("b", again)):
        network.save(one, tmp_path / name, {"run": "r"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = network.load_any(tmp_path / "a")
    samples = network.sampled_log_probabilities(loaded, labelled.vectors, 5, generator=generator())
    assert samples.shape == (40, 5, CLASSES) and (samples[:, :, 2] == -torch.inf).all()
    assert (samples[:, :, 0].std(1) > 0).all()
    far = np.random.default_rng(0).normal(size=(40, DIM)).astype(np.float32) * 3

    def disagreement(vectors):
        p = network.sampled_log_probabilities(drawn, vectors, 5, generator=generator()).double().exp()
        return (torch.special.entr(p.mean(1)).sum(1) - torch.special.entr(p).sum(2).mean(1)).mean()

    assert disagreement(far) > disagreement(labelled.vectors)
    with pytest.raises(ValueError, match="5 samples of the head, not 6"):
        network.sampled_log_probabilities(loaded, labelled.vectors, 6, generator=generator())
    with pytest.raises(ValueError, match="'linear' has no samples"):
        network.sampled_log_probabilities(fitted.head, labelled.vectors, 2, generator=generator())


def test_one_class_has_samples_that_are_sure_of_it():
    labelled = Labelled(np.ones((3, DIM), np.float16), np.arange(3), np.array([1, 1, 1]))
    settings = LinearSettings()
    fitted = linear.fit(labelled, CLASSES, settings)
    drawn = posterior.sample(fitted, 2, generator())
    samples = network.sampled_log_probabilities(drawn, labelled.vectors, 2, generator=generator())
    assert (samples[:, :, 1] == 0).all()
