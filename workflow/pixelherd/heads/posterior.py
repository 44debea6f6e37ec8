"""Samples of a linear head from the Laplace approximation of its posterior (MacKay 1992; Daxberger et al. 2021).

At the minimum of the loss the posterior of the weights is taken for a Gaussian whose precision is the Hessian,
``Σ w_i·(diag p_i - p_i p_iᵀ) ⊗ x_i x_iᵀ + λ``. No matrix of that size is built. A sample is the solution of a linear
system whose right-hand side is noise with the Hessian as covariance (Papandreou & Yuille 2010, "Gaussian sampling by
local perturbations"), found by conjugate gradients: the whole Hessian counts, neither its diagonal nor a part of its
rank alone.
"""

from typing import cast

import torch
from torch import Tensor

from pixelherd.compute.matmul import matmul
from pixelherd.errors import UserError
from pixelherd.heads.linear import Design, Fit, put
from pixelherd.heads.network import LinearHead, SampledHead

STEPS = 1000

TOLERANCE = 1e-6
"""Of the residual's length, relative to that of the right-hand side."""


def sample(fitted: Fit, samples: int, generator: torch.Generator) -> SampledHead:
    """Return samples of the head of a fit, with its temperature.

    Args:
        fitted: the fit.
        samples: M.
        generator: CPU generator.
    """
    heads = SampledHead(fitted.head.dim, fitted.head.classes, samples).eval()
    own = [cast(LinearHead, head) for head in heads.heads]
    for head in own:
        head.load_state_dict({name: values.cpu() for name, values in fitted.head.state_dict().items()})
    design, best = fitted.design, fitted.parameters
    if design is None or best is None:  # one class, of which every sample is sure
        return heads
    weights, biases = design.back((best + deviations(design, best, samples, generator)) / fitted.temperature)
    for head, weight, bias in zip(own, weights, biases, strict=True):
        put(head, weight, bias)
    return heads


def deviations(design: Design, best: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """Return what samples differ by from the most likely parameters, ``[M, k, r + 1]`` float64.

    Args:
        design: the labelled pixels.
        best: ``[k, r + 1]`` parameters of least loss.
        samples: M.
        generator: CPU generator.

    Raises:
        UserError: the linear system was not solved.
    """
    probabilities = design.logits(best).softmax(1)
    noise = torch.randn(samples, *best.shape, dtype=torch.float64, generator=generator) * design.precision**0.5
    noise[..., -1] = 0  # the bias has no prior
    drawn = torch.randn(len(probabilities), samples, design.classes, dtype=torch.float64, generator=generator)
    roots = probabilities.sqrt()[:, None]
    drawn = roots * drawn - probabilities[:, None] * (roots * drawn).sum(-1, keepdim=True)
    drawn *= design.weights.sqrt()[:, None, None]
    for rows, inputs in design.blocks():
        noise += _gathered(drawn[rows], inputs)
    return _solved(design, probabilities, noise)


def _gathered(values: Tensor, inputs: Tensor) -> Tensor:
    """Σ_i of ``[n, M, k]`` values times ``[n, r + 1]`` inputs: ``[M, k, r + 1]`` float64."""
    return matmul(values.flatten(1).to(inputs).T, inputs).double().cpu().unflatten(0, values.shape[1:])


def _curved(design: Design, probabilities: Tensor, directions: Tensor) -> Tensor:
    """The Hessian times ``[M, k, r + 1]`` directions."""
    found = design.precision * directions
    found[..., -1] = 0
    for rows, inputs in design.blocks():
        moved = matmul(inputs, directions.flatten(0, 1).to(inputs).T).double().cpu().unflatten(1, directions.shape[:2])
        p, weight = probabilities[rows, None], design.weights[rows, None, None]
        found += _gathered(weight * (p * moved - p * (p * moved).sum(-1, keepdim=True)), inputs)
    return found


def _solved(design: Design, probabilities: Tensor, right: Tensor) -> Tensor:
    """The solutions of the Hessian's systems, by conjugate gradients (Hestenes & Stiefel 1952) side by side."""
    found, residual = torch.zeros_like(right), right.clone()
    direction, square = residual.clone(), residual.square().sum((1, 2))
    enough = TOLERANCE**2 * square
    for _ in range(STEPS):
        if bool((square <= enough).all()):
            return found
        curved = _curved(design, probabilities, direction)
        step = torch.where(square > enough, square / (direction * curved).sum((1, 2)), 0.0)[:, None, None]
        found += step * direction
        residual -= step * curved
        before, square = square, residual.square().sum((1, 2))
        direction = residual + (square / before)[:, None, None] * direction
    raise UserError(
        f"samples of the linear head were not found in {STEPS} steps", remedy="raise `head.l2`, or ask by draws instead"
    )
