"""Softmax regression on the labelled pixels: a linear head that learns much from few labels.

The loss of n labelled pixels is ``Σ w_i·CE_i + λ/2·‖W‖²``: the bias is not penalised, and the weights w_i, whose mean
is 1, balance the classes. It is convex, so that there is nothing to seed, and L-BFGS finds its minimum (Liu & Nocedal
1989). With self-training (Lee 2013, "Pseudo-Label") the head labels the pixels that it is surest of, and is fitted
again to both.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixelherd.compute.matmul import matmul
from pixelherd.datasets.classes import IGNORED
from pixelherd.errors import UserError
from pixelherd.heads.network import LinearHead, log_probabilities
from pixelherd.heads.settings import Balance, LinearSettings, SelfTrainingSettings
from pixelherd.heads.sources import Labelled

ITERATIONS = 1000

TOLERANCE = 1e-6
"""Of the largest entry of the gradient of the mean loss."""

FOLDS = 5
"""Parts of the labelled images for cross-validation, each of images that follow each other: these are often alike."""

FOLDED = 20_000
"""Labelled pixels beyond which one fold tells the temperature: fits take long, and much is held out."""

TEMPERATURES = 0.05, 20.0

DOUBT = 0.25
"""Standard deviation of the prior of log T: a few labels shall not move the temperature far from 1."""


@dataclass(frozen=True)
class Design:
    """Labelled pixels as a fit takes them, those that the head labelled itself last.

    Attributes:
        blocks: yields rows and their ``[n, r + 1]`` inputs, the last of which is 1 and has the bias as its weight.
        width: r + 1.
        targets: ``[L]`` in [0, k), for the k classes that have labels.
        weights: ``[L]`` w_i, 0 where the class cannot be told.
        precision: λ.
        mean: ``[D]`` float64 that vectors are centred by.
        axes: ``[r, D]`` float64 that centred vectors are rotated into; None where they are not, and r = D.
        guessed: how many pixels the head labelled itself.
    """

    blocks: Callable[[], Iterator[tuple[slice, Tensor]]]
    width: int
    targets: Tensor
    weights: Tensor
    precision: float
    mean: Tensor
    axes: Tensor | None = None
    guessed: int = 0

    @property
    def answered(self) -> int:
        """Return how many pixels somebody else labelled."""
        return len(self.targets) - self.guessed

    @property
    def classes(self) -> int:
        """Return k."""
        return int(self.targets.max()) + 1

    def back(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights ``[…, k, D]`` and biases ``[…, k]`` for vectors as they are, of parameters."""
        weight = parameters[..., :-1] if self.axes is None else parameters[..., :-1] @ self.axes
        return weight, parameters[..., -1] - weight @ self.mean

    def logits(self, parameters: Tensor) -> Tensor:
        """Return ``[L, k]`` float64 of ``[k, r + 1]`` parameters."""
        found = torch.empty(len(self.targets), len(parameters), dtype=torch.float64)
        for rows, inputs in self.blocks():
            found[rows] = matmul(inputs, parameters.to(inputs).T).double().cpu()
        return found

    def objective(self, parameters: Tensor, counted: Tensor) -> tuple[float, Tensor]:
        """Return the loss and its gradient ``[k, r + 1]`` float64, both divided by the sum of the weights.

        Args:
            parameters: ``[k, r + 1]`` float64.
            counted: ``[L]`` the weights.
        """
        gradient, loss = torch.zeros_like(parameters), 0.0
        for rows, inputs in self.blocks():
            logits = matmul(inputs, parameters.to(inputs).T).double().cpu()
            log_p, target, weight = logits.log_softmax(1), self.targets[rows, None], counted[rows, None]
            loss -= float((weight * log_p.gather(1, target)).sum())
            error = weight * log_p.exp().scatter_add(1, target, -torch.ones_like(weight))
            gradient += matmul(error.to(inputs).T, inputs).double().cpu()
        gradient[:, :-1] += self.precision * parameters[:, :-1]
        loss += self.precision / 2 * float(parameters[:, :-1].square().sum())
        total = float(counted.sum())
        return loss / total, gradient / total


@dataclass(frozen=True)
class Fit:
    """A fitted head.

    Attributes:
        head: its logits are divided by the temperature.
        temperature: T; 1 if there are too few labels to tell.
        calibrated: whether T was estimated.
        design: the labelled pixels; None where all are of one class, and nothing is to be fitted.
        parameters: ``[k, r + 1]`` float64 of least loss, at temperature 1; None likewise.
        log: a row per iteration: ``iteration`` (from 1), ``loss`` (mean over the labelled pixels, with the penalty)
            and ``gradient`` (its largest entry).
    """

    head: LinearHead
    temperature: float
    calibrated: bool
    log: list[dict]
    design: Design | None = None
    parameters: Tensor | None = None

    def facts(self) -> dict[str, Any]:
        """Return what the head's file says besides its weights."""
        return {"temperature": self.temperature, "calibrated": self.calibrated}


def fit(
    labelled: Labelled,
    classes: int,
    settings: LinearSettings,
    device: torch.device | str = "cpu",
    unlabelled: Labelled | None = None,
    temperature: float | None = None,
) -> Fit:
    """Fit a linear head.

    Args:
        labelled: the labelled pixels.
        classes: C.
        settings: of the head.
        device: where vectors are multiplied.
        unlabelled: pixels for self-training, where the settings ask for it; their labels are not looked at.
        temperature: T, where it is known from nearly the same pixels: to estimate it takes five more fits.

    Raises:
        UserError: no labelled pixel, a label outside the classes, or features that are not finite.
    """
    known = known_classes(labelled.labels, classes)
    head = LinearHead(labelled.dim, classes).to(device).eval()
    torch.nn.init.zeros_(head.first.weight)
    torch.nn.init.zeros_(head.first.bias)
    head.know(known)
    if len(known) == 1:
        return Fit(head, 1.0, False, [{"iteration": 1, "loss": 0.0, "gradient": 0.0}])
    design = design_of(labelled, known, settings, device)
    log: list[dict] = []
    parameters, images = minimise(design, design.weights, None, log), labelled.images
    if settings.self_training and unlabelled is not None:
        for _ in range(settings.self_training.rounds):
            put(head, *design.back(parameters))
            guessed = guesses(head, unlabelled, settings.self_training.share)
            design = design_with(labelled, guessed, known, settings, device)
            images = np.concatenate([labelled.images, guessed.images])
            parameters = minimise(design, design.weights, None, log)
    temperature = temperature or temperature_of(design, images, parameters)
    put(head, *design.back(parameters / (temperature or 1.0)))
    return Fit(head, temperature or 1.0, temperature is not None, log, design, parameters)


@torch.no_grad()
def put(head: LinearHead, weight: Tensor, bias: Tensor) -> None:
    """Give a head the weights ``[k, D]`` and biases ``[k]`` of the classes that it knows."""
    known = head.known
    head.first.weight[known] = weight.to(head.first.weight)
    head.first.bias[known] = bias.to(head.first.bias)


def known_classes(labels: np.ndarray, classes: int) -> list[int]:
    """Return the classes that have labels, ascending.

    Raises:
        UserError: there is none, or a label is outside the classes.
    """
    known = np.unique(labels[labels != IGNORED])
    if not len(known):
        raise UserError(
            "there is no labelled pixel to train on", remedy="label at least one pixel with a class, not 255"
        )
    if known[0] < 0 or known[-1] >= classes:
        outside = known[0] if known[0] < 0 else known[-1]
        raise UserError(
            f"label {outside} is outside the classes 0 to {classes - 1}", remedy="correct it or the classes"
        )
    return known.tolist()


def design_of(
    labelled: Labelled, known: Sequence[int], settings: LinearSettings, device: torch.device | str = "cpu"
) -> Design:
    """Return labelled pixels as a fit takes them.

    Vectors are centred, which changes the bias alone and makes the problem easier. Where there are fewer of them than
    dimensions they are also rotated into the space that they span, where the minimum lies, and kept in float64.

    Raises:
        UserError: features are not finite.
    """
    place = np.full(IGNORED + 1, 0)
    place[list(known)] = np.arange(len(known))
    counted = labelled.labels != IGNORED
    targets = torch.from_numpy(np.where(counted, place[np.where(counted, labelled.labels, 0)], 0))
    weights = torch.from_numpy(weights_of(targets.numpy(), counted, len(known), settings.class_balance))
    total = sum(block[counted[rows]].sum(0, dtype=np.float64) for rows, block in labelled.blocks())
    mean = torch.from_numpy(np.asarray(total) / counted.sum())
    if not mean.isfinite().all():
        raise UserError(
            "the features of labelled pixels hold values that are not finite", remedy="check the backbone and its maps"
        )
    if len(targets) <= labelled.dim:
        rows = np.concatenate([block for _, block in labelled.blocks()])
        left, scale, axes = torch.linalg.svd(torch.from_numpy(rows).double() - mean, full_matrices=False)
        inputs = torch.cat([left * scale, torch.ones(len(rows), 1, dtype=torch.float64)], dim=1)
        whole = [(slice(None), inputs)]
        return Design(lambda: iter(whole), inputs.shape[1], targets, weights, settings.l2, mean, axes)

    def blocks() -> Iterator[tuple[slice, Tensor]]:
        for rows, block in labelled.blocks():
            inputs = torch.ones(len(block), block.shape[1] + 1, device=device)
            inputs[:, :-1] = torch.from_numpy(np.ascontiguousarray(block)).to(device) - mean.to(inputs)
            yield rows, inputs

    return Design(blocks, labelled.dim + 1, targets, weights, settings.l2, mean)


def guesses(head: LinearHead, unlabelled: Labelled, share: float) -> Labelled:
    """Return the pixels that a head is surest of, with the classes that it gives them.

    Args:
        head: knows the classes that have labels, and so predicts no other.
        unlabelled: the pixels.
        share: of the pixels that a class is predicted at, rounded up.
    """
    vectors = np.asarray(unlabelled.vectors)
    confidence, predicted = log_probabilities(head, vectors).max(1)
    order = torch.argsort(confidence, descending=True, stable=True)
    ranked = predicted[order]
    chosen = [rows[: math.ceil(share * len(rows))] for rows in (order[ranked == c] for c in predicted.unique())]
    places = torch.cat(chosen).sort().values.numpy()
    return Labelled(vectors[places], unlabelled.images[places], predicted.numpy()[places])


def design_with(
    labelled: Labelled, guessed: Labelled, known: Sequence[int], settings: LinearSettings, device: torch.device | str
) -> Design:
    """Return labelled pixels, and behind them those that the head labelled itself, as a fit takes them.

    The classes of either are balanced; the latter weigh ``self_training.weight`` times as much as the labels, all
    together.
    """
    asked = settings.self_training or SelfTrainingSettings()
    parts = zip(*((each.vectors, each.images, each.labels) for each in (labelled, guessed)), strict=True)
    joined = Labelled(*(np.concatenate([np.asarray(one), np.asarray(other)]) for one, other in parts))
    design, answers = design_of(joined, known, settings, device), len(labelled.labels)
    weights = [
        weights_of(design.targets.numpy()[rows], joined.labels[rows] != IGNORED, len(known), settings.class_balance)
        for rows in (slice(answers), slice(answers, None))
    ]
    weights[1] *= asked.weight * weights[0].sum() / weights[1].sum()
    return replace(design, weights=torch.from_numpy(np.concatenate(weights)), guessed=len(guessed.labels))


def weights_of(targets: np.ndarray, counted: np.ndarray, classes: int, balance: Balance) -> np.ndarray:
    """Return the weight of each labelled pixel in the loss, float64; their mean over those that count is 1."""
    power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[balance]
    pixels = np.bincount(targets[counted], minlength=classes)
    weights = np.where(counted, np.maximum(pixels, 1)[targets] ** -power, 0.0)
    return weights * (counted.sum() / weights.sum())


def minimise(design: Design, counted: Tensor, start: Tensor | None = None, log: list[dict] | None = None) -> Tensor:
    """Return the parameters ``[k, r + 1]`` float64 of least loss.

    Args:
        design: the labelled pixels.
        counted: ``[L]`` their weights.
        start: where to start; at 0 by default.
        log: where a row is added for each iteration.

    Raises:
        UserError: the loss is not finite.
    """
    from scipy.optimize import minimize

    shape = design.classes, design.width
    latest = 0.0, 0.0

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal latest
        loss, gradient = design.objective(torch.from_numpy(flat).view(shape), counted)
        if not math.isfinite(loss):
            raise UserError(
                "the loss of the labelled pixels is not finite, so their features are not either",
                remedy="check the backbone and its maps",
            )
        latest = loss, float(gradient.abs().max())
        return loss, gradient.numpy().ravel()

    def note(_: np.ndarray) -> None:
        if log is not None:
            log.append({"iteration": len(log) + 1, "loss": latest[0], "gradient": latest[1]})

    first = torch.zeros(shape, dtype=torch.float64) if start is None else start
    options = {"maxiter": ITERATIONS, "maxfun": 2 * ITERATIONS, "maxcor": 20, "gtol": TOLERANCE, "ftol": 0.0}
    found = minimize(objective, first.numpy().ravel(), jac=True, method="L-BFGS-B", callback=note, options=options)
    return torch.from_numpy(found.x).view(shape)


def held_out(design: Design, images: np.ndarray, parameters: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield labelled pixels as fits see them that know neither their images nor the images near these.

    A class that has labels in such images alone cannot be known then, and its pixels say nothing. Pixels that the head
    labelled itself are learnt, but never told.

    Args:
        design: the labelled pixels.
        images: ``[L]`` the image of each.
        parameters: where fits start.

    Yields:
        A part of the pixels as flags ``[L]``, and their logits ``[n, k]``, -inf for classes that the fit does not know.
    """
    counts, answered = design.weights > 0, torch.arange(len(images)) < design.answered
    labelled = np.unique(images[(counts & answered).numpy()])
    fold_of = torch.from_numpy(FOLDS * np.searchsorted(labelled[:-1], images) // len(labelled))
    for fold in range(1 if design.answered > FOLDED else FOLDS):
        learnt = counts & (fold_of != fold)
        known = torch.zeros(design.classes, dtype=torch.bool)
        known[design.targets[learnt & answered]] = True
        learnt &= known[design.targets]
        told = counts & answered & (fold_of == fold) & known[design.targets]
        if known.sum() < 2 or not told.any():
            continue
        fitted = minimise(design, torch.where(learnt, design.weights, 0.0), parameters)
        yield told, design.logits(fitted)[told].masked_fill(~known, -torch.inf)


def temperature_of(design: Design, images: np.ndarray, parameters: Tensor) -> float | None:
    """Return the temperature by which held-out labels are likeliest (Guo et al. 2017), by cross-validation.

    Args:
        design: the labelled pixels.
        images: ``[L]`` the image of each.
        parameters: where fits start.

    Returns:
        T; None where no fit knows two classes and has a pixel of them held out.
    """
    parts = list(held_out(design, images, parameters))
    if not parts:
        return None
    truth = torch.cat([design.targets[told] for told, _ in parts])
    return likeliest_temperature(torch.cat([logits for _, logits in parts]), truth)


def likeliest_temperature(logits: Tensor, truth: Tensor) -> float:
    """Return T in :data:`TEMPERATURES` that labels ``[n]`` and the prior make likeliest, given ``[n, C]`` logits."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        surprise = torch.nn.functional.cross_entropy(logits / math.exp(log_temperature), truth, reduction="sum")
        return float(surprise) + (log_temperature / DOUBT) ** 2 / 2

    bounds = math.log(TEMPERATURES[0]), math.log(TEMPERATURES[1])
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3}).x)
