"""Acquisition scores: how much a label of each pixel is expected to teach, from what a head predicts there.

All logarithms are natural, all results are finite, and a higher score means "label first". Everything is computed in
float64: the mutual information of similar predictions is a small difference of large terms.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pixelherd.selection.methods import find

# Rounding leaves about this much of a mutual information that is really zero; less than it is not information.
SMALLEST_INFORMATION = torch.finfo(torch.float64).eps

# The ε that keeps BalEntAcq's variances inside the open interval in which a Beta distribution exists.
BETA_EPSILON = 1e-8

# Means this near to 0 or 1 are moved to it, and 1/B counts up to its inverse.
TINY = 1e-12


def score(
    name: str,
    log_probs: Tensor | None,
    *,
    base: Tensor | None = None,
    weight: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Score n pixels, higher = label first.

    Args:
        name: a key of :data:`pixelherd.selection.methods.SCORES`.
        log_probs: [n, M, C] log-probabilities of M samples (noise draws or dropout masks); -inf is p = 0. None where
            the base is enough.
        base: [n, C] log-probabilities of the base draw. Where a score takes the base and it is None, the mean
            probability over the M samples stands for it.
        weight: λ, the weight of the base entropy in ``ebald`` and ``edald``.
        generator: a CPU generator for ``random``, ``power_bald`` and ``power_dald``.

    Returns:
        float64 [n], finite, on the device of the log-probabilities.

    Raises:
        ValueError: an unknown name, missing or ill-shaped log-probabilities, values that are not log-probabilities,
            one sample where samples are compared, no generator for a random score, or a weight that is negative or
            not finite.
    """
    if not 0 <= weight < math.inf:
        raise ValueError(f"weight must be a finite number that is not negative, not {weight}")
    if find(name).needs_generator and generator is None:
        raise ValueError(f"score {name!r} is random: pass a generator")
    return FUNCTIONS[name](Predictions(name, log_probs, base, weight, generator))


@dataclass(frozen=True)
class Predictions:
    """The arguments of :func:`score`, checked, and what several scores derive from them."""

    name: str
    log_probs: Tensor | None
    base_log_probs: Tensor | None
    weight: float
    generator: torch.Generator | None

    def __post_init__(self) -> None:
        both = ("log_probs", self.log_probs, 3), ("base", self.base_log_probs, 2)
        given = [(what, values, axes) for what, values, axes in both if values is not None]
        if not given:
            raise ValueError(f"score {self.name!r} needs log_probs or base")
        for what, values, axes in given:
            if values.ndim != axes:
                raise ValueError(f"{what} must have {axes} axes, not shape {tuple(values.shape)}")
            # Rounding may lift the logarithm of p = 1 a little over 0.
            if not (values <= 1e-3).all():
                raise ValueError(f"{what} holds NaN or values above 0, which are no log-probabilities")
        shapes = [tuple(values.shape) for _, values, _ in given]
        if len(shapes) == 2 and (shapes[0][0], shapes[0][2]) != shapes[1]:
            raise ValueError(f"log_probs {shapes[0]} and base {shapes[1]} disagree")

    @cached_property
    def samples(self) -> Tensor:
        """Probabilities [n, M, C] with M ≥ 2."""
        if self.log_probs is None or self.log_probs.shape[1] < 2:
            found = "none" if self.log_probs is None else self.log_probs.shape[1]
            raise ValueError(f"score {self.name!r} compares samples: log_probs must hold at least 2, found {found}")
        return self.log_probs.double().exp()

    @cached_property
    def base(self) -> Tensor:
        """Probabilities [n, C] of the base draw, or the mean over the samples."""
        if self.base_log_probs is not None:
            return self.base_log_probs.double().exp()
        if self.log_probs is None or self.log_probs.shape[1] == 0:
            raise ValueError(f"score {self.name!r} needs a base or at least one sample")
        return self.log_probs.double().exp().mean(dim=1)

    @cached_property
    def mutual_information(self) -> Tensor:
        """[n] H(mean_m p_m) - mean_m H(p_m) ≥ 0, between the label and the sample (Houlsby et al. 2011)."""
        return (_entropy(self.samples.mean(dim=1)) - _entropy(self.samples).mean(dim=1)).clamp(min=0)

    @cached_property
    def uniform(self) -> Tensor:
        """[n] numbers in [0, 1), drawn on the CPU so that devices do not change them."""
        given = next(each for each in (self.log_probs, self.base_log_probs) if each is not None)
        return torch.rand(len(given), dtype=torch.float64, generator=self.generator).to(given.device)


def _entropy(probabilities: Tensor) -> Tensor:
    """Entropy over the last axis, with 0·log 0 = 0."""
    return torch.special.entr(probabilities).sum(dim=-1)


def _entropy_of_base(given: Predictions) -> Tensor:
    return _entropy(given.base)


def _margin(given: Predictions) -> Tensor:
    """-(p₁ - p₂) of the two most probable classes; with one class p₂ = 0."""
    if given.base.shape[1] == 1:
        return -given.base[:, 0]
    first, second = given.base.topk(2, dim=1).values.unbind(dim=1)
    return second - first


def _least_confidence(given: Predictions) -> Tensor:
    return 1 - given.base.amax(dim=1)


def _random(given: Predictions) -> Tensor:
    return given.uniform


def _information(given: Predictions) -> Tensor:
    """BALD over dropout masks, DALD over noise draws."""
    return given.mutual_information


def _information_and_entropy(given: Predictions) -> Tensor:
    """eBALD, eDALD: information plus λ times the entropy of the base (Kim et al. 2025)."""
    return given.mutual_information + given.weight * _entropy(given.base)


def _power_information(given: Predictions) -> Tensor:
    """PowerBALD: log information plus Gumbel(0, 1) noise (Kirsch et al. 2023, with β = 1)."""
    smallest = torch.finfo(torch.float64).tiny
    gumbel = -torch.log(-torch.log(given.uniform.clamp(min=smallest)))
    return given.mutual_information.clamp(min=SMALLEST_INFORMATION).log() + gumbel


def _balanced_entropy(given: Predictions) -> Tensor:
    """BalEntAcq (Woo, ICLR 2023): a Beta distribution fitted to each class probability by its two moments."""
    mean = given.samples.mean(dim=1)
    inside = mean.clamp(TINY, 1 - TINY)
    largest = inside * (1 - inside)
    # For a mean within ε of 0 or 1 the interval (ε, largest·(1-ε)) is empty; half the largest keeps it open.
    smallest = (largest / 2).clamp(max=BETA_EPSILON)
    variance = (given.samples - mean[:, None]).square().mean(dim=1)
    variance = torch.minimum(torch.maximum(variance, smallest), largest * (1 - BETA_EPSILON))

    a = inside * (largest / variance - 1)
    b = (1 / inside - 1) * a
    entropy = _entropy(mean)
    joint = (mean * _beta_entropy(a + 1, b)).sum(dim=1) + entropy
    balance = joint / (entropy + math.log(2))
    return torch.where(balance >= 0, 1 / balance.clamp(min=TINY), balance)


def _beta_entropy(a: Tensor, b: Tensor) -> Tensor:
    """Differential entropy of Beta(a, b)."""
    log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    digamma = torch.special.digamma
    return log_beta - (a - 1) * digamma(a) - (b - 1) * digamma(b) + (a + b - 2) * digamma(a + b)


FUNCTIONS: dict[str, Callable[[Predictions], Tensor]] = {
    "entropy": _entropy_of_base,
    "margin": _margin,
    "least_confidence": _least_confidence,
    "random": _random,
    "bald": _information,
    "dald": _information,
    "ebald": _information_and_entropy,
    "edald": _information_and_entropy,
    "power_bald": _power_information,
    "power_dald": _power_information,
    "balentacq": _balanced_entropy,
}
