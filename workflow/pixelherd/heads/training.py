"""Training of the paper's head on the labels so far."""

import io
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from pixelherd.compute.matmul import widest
from pixelherd.datasets.classes import IGNORED
from pixelherd.errors import UserError
from pixelherd.heads.network import Dropout, MlpHead
from pixelherd.heads.settings import MlpSettings
from pixelherd.heads.sources import PixelSource
from pixelherd.storage.files import write_bytes

IMAGES_AT_ONCE = 5


def train(
    source: PixelSource,
    head: MlpHead,
    settings: MlpSettings,
    *,
    order_generator: torch.Generator,
    progress: Callable[[dict], None] | None = None,
    checkpoint: Path | str | None = None,
) -> list[dict]:
    """Train ``head`` in place with Adam on the cross-entropy of the labelled pixels.

    Batches are ``settings.batch_images`` images in an order shuffled once; those without a label are not even read.
    From epoch ``settings.minimum_epochs`` on losses count: training stops at a batch whose labelled pixels are right
    more often than ``settings.accuracy``, once ``settings.patience`` batches in a row have brought no new lowest loss.
    Afterwards BatchNorm's statistics are made exact (:func:`exact_statistics`), and classes without a label are never
    predicted.

    Args:
        source: the training pixels, on the head's device.
        head: the head, as it was built.
        settings: of the training; what a run adds to them is no matter.
        order_generator: CPU generator that shuffles the images.
        progress: called with each row of the log as it is complete.
        checkpoint: file that the state is saved to after every epoch. If it exists, training goes on from there and
            ends with the same bits as if it had never stopped. It is left for the caller to delete.

    Returns:
        The log, a row per epoch: ``epoch`` (from 1), ``loss`` (mean over the batches), ``accuracy`` (of all labelled
        pixels, as they were met), ``learning_rate``, ``steps`` (batches).

    Raises:
        UserError: no labelled pixel, a label outside the classes, a batch of a single pixel (it has no batch
            statistics), a loss that is not finite, or a checkpoint of another training.
    """
    optimizer = Adam(head.parameters(), settings.weight_decay)
    order = torch.randperm(source.images, generator=order_generator).tolist()
    batches = [order[start : start + settings.batch_images] for start in range(0, len(order), settings.batch_images)]
    batches = [images for images in batches if any(map(source.labelled, images))]
    if not batches:
        raise UserError(
            "there is no labelled pixel to train on", remedy="label at least one pixel with a class, not 255"
        )

    log: list[dict] = []
    lowest, since_lowest, stopped = math.inf, 0, False
    identity = {
        "format": 3,
        "settings": settings.model_dump(mode="json", exclude={"kind"}),
        "head": [head.dim, head.classes, *head.hidden, head.dropout],
        "batches": batches,
    }
    if checkpoint is not None and Path(checkpoint).exists():
        state = _read_checkpoint(Path(checkpoint), identity)
        head.load_state_dict(state["weights"])
        head.generator.set_state(state["generator"])
        optimizer.load_state_dict(state["optimizer"])
        log, lowest, since_lowest, stopped = (state[key] for key in ("log", "lowest", "since_lowest", "stopped"))

    while len(log) < settings.epochs and not stopped:
        head.train()
        losses: list[float] = []
        epoch, right, labelled_pixels = len(log) + 1, 0, 0
        rate = learning_rate(settings, epoch)
        for images in batches:
            batch = source.batch(images)
            where = f"batch {len(losses) + 1} of epoch {epoch} (images {', '.join(map(str, images))})"
            labelled = batch.labels != IGNORED
            _check_batch(batch.labels, labelled, head.classes, where)
            logits = head.rest(batch.project(head.first))
            loss = nn.functional.cross_entropy(logits, batch.labels, ignore_index=IGNORED)
            loss.backward()
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise UserError(
                    f"the training loss is {losses[-1]} in {where}: the features hold values that are not finite, or "
                    f"learning_rate {settings.learning_rate} is too high",
                    remedy="check the features or lower it",
                )
            optimizer.step(rate)

            correct = int((logits.argmax(dim=1) == batch.labels)[labelled].sum())
            pixels = int(labelled.sum())
            right, labelled_pixels = right + correct, labelled_pixels + pixels
            if epoch >= settings.minimum_epochs:
                lowest, since_lowest = (losses[-1], 0) if losses[-1] < lowest else (lowest, since_lowest + 1)
                if since_lowest >= settings.patience and correct / pixels > settings.accuracy:
                    stopped = True
                    break
        log.append(
            {
                "epoch": epoch,
                "loss": math.fsum(losses) / len(losses),
                "accuracy": right / labelled_pixels,
                "learning_rate": rate,
                "steps": len(losses),
            }
        )
        if checkpoint is not None:
            state = {
                "identity": identity,
                "weights": head.state_dict(),
                "generator": head.generator.get_state(),
                "optimizer": optimizer.state_dict(),
                "log": log,
                "lowest": lowest,
                "since_lowest": since_lowest,
                "stopped": stopped,
            }
            content = io.BytesIO()
            torch.save(state, content)
            write_bytes(checkpoint, content.getvalue())
        if progress is not None:
            progress(log[-1])
    exact_statistics(source, head)
    head.know(np.flatnonzero(source.counts))
    return log


@torch.inference_mode()
def exact_statistics(source: PixelSource, head: MlpHead) -> None:
    """Store in a head's BatchNorms the mean and the variance of what they are given over all pixels of all images.

    Training leaves running averages there, which a few dozen steps do not take far from the variance 1 that they start
    with; the true one is thousands of times smaller, and evaluation would be almost uniform. Dropout is on, as in
    training and sampling. Leaves the head in evaluation mode.
    """
    layers = list(head.rest)
    for place, norm in enumerate(layers):
        if not isinstance(norm, nn.BatchNorm1d):
            continue
        count, mean, squares = 0, torch.zeros(()), torch.zeros(())
        for layer in layers:
            layer.train(isinstance(layer, Dropout))
        for first in range(0, source.images, IMAGES_AT_ONCE):
            values = source.batch(range(first, min(first + IMAGES_AT_ONCE, source.images))).project(head.first)
            for layer in layers[:place]:
                values = layer(values)
            values = values.to(widest(values.device))
            # parts of mean and squared deviation go together (Chan et al. 1979)
            own, total = values.mean(0), count + len(values)
            shift = own - mean
            squares = squares + (values - own).square().sum(0) + shift.square() * (count * len(values) / total)
            mean, count = mean + shift * (len(values) / total), total
        norm.get_buffer("running_mean").copy_(mean)
        norm.get_buffer("running_var").copy_(squares / count)
    head.eval()


def learning_rate(settings: MlpSettings, epoch: int) -> float:
    """The cosine schedule at an epoch, from 1: at its minimum after ``settings.period`` epochs, and then up again."""
    above = settings.learning_rate - settings.minimum_learning_rate
    cosine = math.cos(math.pi * (epoch - 1) / settings.period)
    return settings.minimum_learning_rate + above * (1 + cosine) / 2


def _check_batch(labels: Tensor, labelled: Tensor, classes: int, where: str) -> None:
    if len(labels) < 2:
        raise UserError(
            f"{where} has one pixel, which has no batch statistics", remedy="set the head's context to at least 1"
        )
    outside = labels[labelled & ((labels < 0) | (labels >= classes))]
    if len(outside):
        raise UserError(
            f"label {int(outside[0])} in {where} is outside the classes 0 to {classes - 1}",
            remedy="correct it or the classes",
        )


def _read_checkpoint(path: Path, identity: dict) -> dict:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        same = state["identity"] == identity
    except Exception as error:  # torch.load raises whatever its archive reader meets
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is damaged ({reason})", remedy="delete it to train from the start") from None
    if not same:
        raise UserError(f"{path} belongs to another training", remedy="delete it to train from the start")
    return state


class Adam:
    """``torch.optim.Adam(fused=True)`` to the bit, with the learning rate given at each step.

    Args:
        parameters: what is trained; all of them have a gradient at each step.
        weight_decay: the L2 penalty.
    """

    def __init__(self, parameters: Iterable[Tensor], weight_decay: float):
        self._parameters, self._weight_decay = list(parameters), weight_decay
        self._means = [torch.zeros_like(each) for each in self._parameters]
        self._squares = [torch.zeros_like(each) for each in self._parameters]
        self._steps = [torch.zeros((), device=each.device) for each in self._parameters]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Change the parameters by their gradients, which are dropped."""
        adam(
            self._parameters,
            [each.grad for each in self._parameters if each.grad is not None],
            self._means,
            self._squares,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=learning_rate,
            weight_decay=self._weight_decay,
            eps=1e-8,
            maximize=False,
        )
        for each in self._parameters:
            each.grad = None

    def state_dict(self) -> dict[str, list[Tensor]]:
        """What a checkpoint keeps."""
        return {"means": self._means, "squares": self._squares, "steps": self._steps}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Go on from a :meth:`state_dict` of parameters of the same shapes."""
        for own, kept in ((self._means, "means"), (self._squares, "squares"), (self._steps, "steps")):
            for tensor, value in zip(own, state[kept], strict=True):
                tensor.copy_(value)
