"""The segmentation head: a small per-pixel network on frozen features, its file, and its training.

Only a handful of pixels are labelled, too few for batch statistics. So a batch holds *all* pixels known of its images,
labelled or not: the unlabelled ones (label 255) count in BatchNorm and not in the loss. Where the pixels of a batch
come from is the business of a :class:`PixelSource`: gathered vectors, or dense maps of which a vector per pixel is
never built.
"""

import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors
from torch import Tensor, nn

from . import dense
from .errors import UserError
from .matmul import Linear
from .optimizer import Adam
from .storage import write_bytes
from .training_settings import HeadSettings

IGNORED = 255
MANY_CLASSES = 30
WEIGHT_SCALE = 0.02
ROWS_AT_ONCE = 8192


# The network


class Dropout(nn.Module):
    """Dropout whose masks come from a generator instead of torch's global one; on while in training mode.

    Masks are drawn on the CPU, so the same calls have the same masks on every device.
    """

    def __init__(self, probability: float, generator: torch.Generator):
        super().__init__()
        self.probability = probability
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return x
        kept = torch.rand(x.shape, generator=self.generator).ge_(self.probability)
        return (x * kept.to(x)).div_(1 - self.probability)


class Head(nn.Module):
    """Linear-ReLU-BatchNorm-Dropout twice, then Linear: features [n, D] to logits [n, C].

    The first layer is apart because it is linear: dense prediction applies it to native feature maps, before the
    up-sampling, and only the ``rest`` to every pixel.

    Args:
        dim: feature length D.
        classes: number of classes C.
        hidden: widths of the hidden layers; by default (128, 32), or (256, 128) from 30 classes on.
        dropout: probability p of dropping a hidden feature, in [0, 1).
        generator: CPU generator for the weights, N(0, 0.02²), and afterwards for the dropout masks. Biases are 0.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        hidden: Sequence[int] | None = None,
        dropout: float = 0.0,
        generator: torch.Generator,
    ):
        super().__init__()
        if hidden is None:
            hidden = (256, 128) if classes >= MANY_CLASSES else (128, 32)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), not {dropout}")
        self.dim, self.classes, self.hidden, self.dropout = dim, classes, tuple(hidden), dropout
        self.generator = generator
        first, second = self.hidden
        self.first = self._linear(dim, first)
        self.rest = nn.Sequential(
            nn.ReLU(),
            nn.BatchNorm1d(first),
            Dropout(dropout, generator),
            self._linear(first, second),
            nn.ReLU(),
            nn.BatchNorm1d(second),
            Dropout(dropout, generator),
            self._linear(second, classes),
        )

    def _linear(self, inputs: int, outputs: int) -> Linear:
        layer = Linear(inputs, outputs)
        nn.init.normal_(layer.weight, std=WEIGHT_SCALE, generator=self.generator)
        nn.init.zeros_(layer.bias)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.first(x))

    def inference_layers(self) -> nn.Sequential:
        """What follows the first layer, [n, hidden] to logits [n, C], with BatchNorm folded into the linear layers.

        While dropout is on BatchNorm stays, since dropout stands between the two, and each call of this method is a
        sample with streams of masks of its own: a row's mask depends on the rows before it, and not on how many of
        them are asked at a time, which differs between devices.

        Raises:
            ValueError: BatchNorm is in training mode; call ``eval()`` first.
        """
        _, norm1, dropout, linear1, _, norm2, _, linear2 = self.rest
        if norm1.training or norm2.training:
            raise ValueError("a head to predict with must have its BatchNorm in evaluation mode: call head.eval()")
        if dropout.training and dropout.probability:
            return nn.Sequential(*(_branched(layer) if isinstance(layer, Dropout) else layer for layer in self.rest))
        return nn.Sequential(nn.ReLU(), _folded(norm1, linear1), nn.ReLU(), _folded(norm2, linear2))


def _branched(layer: Dropout) -> Dropout:
    """The layer with a generator of its own, whose seed the layer's generator draws."""
    seed = torch.randint(2**63 - 1, (), generator=layer.generator).item()
    return Dropout(layer.probability, torch.Generator().manual_seed(seed))


@torch.no_grad()
def _folded(norm: nn.BatchNorm1d, linear: nn.Linear) -> Linear:
    """The linear layer behind ``norm`` and the norm's own affine map, as one layer."""
    scale = norm.weight.double() * (norm.running_var.double() + norm.eps).rsqrt()
    shift = norm.bias.double() - norm.running_mean.double() * scale
    weight = linear.weight.double()
    folded = Linear(linear.in_features, linear.out_features, device=linear.weight.device)
    folded.weight.copy_(weight * scale)
    folded.bias.copy_(linear.bias.double() + weight @ shift)
    return folded


@contextmanager
def sampling(head: Head, generator: torch.Generator) -> Iterator[Head]:
    """Within the block ``head`` is in evaluation mode but its dropout is on, with masks from ``generator``.

    Each forward pass is one sample of MC dropout (Gal & Ghahramani 2016).
    """
    layers = [module for module in head.modules() if isinstance(module, Dropout)]
    head.eval()
    for layer in layers:
        layer.generator = generator
        layer.train()
    try:
        yield head
    finally:
        for layer in layers:
            layer.generator = head.generator
            layer.eval()


def log_probabilities(head: Head, vectors: ArrayLike | Tensor) -> Tensor:
    """Log-probabilities, float32 [n, C] on the CPU, of ``vectors`` [n, D] (any float type, memory-mapped or not).

    Leaves the head in evaluation mode.
    """
    head.eval()
    return _log_probabilities(head, vectors)


def dropout_log_probabilities(
    head: Head, vectors: ArrayLike | Tensor, samples: int, *, generator: torch.Generator
) -> Tensor:
    """Log-probabilities, float32 [n, ``samples``, C] on the CPU, with dropout on and BatchNorm in evaluation mode.

    Leaves the head in evaluation mode.
    """
    with sampling(head, generator):
        return torch.stack([_log_probabilities(head, vectors) for _ in range(samples)], dim=1)


@torch.inference_mode()
def _log_probabilities(head: Head, vectors: ArrayLike | Tensor) -> Tensor:
    device = head.first.weight.device
    result = torch.empty(len(vectors), head.classes)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        result[rows] = head(_floats(vectors[rows], device)).log_softmax(dim=1).cpu()
    return result


def _floats(values: ArrayLike | Tensor, device: torch.device | str) -> Tensor:
    """``values`` as float32 on ``device``; sent there first, since they may be half as long before."""
    if not isinstance(values, Tensor):
        values = torch.from_numpy(np.array(values))
    return values.to(device).float()


# Its file


def save(head: Head, path: Path | str, metadata: dict[str, str]) -> None:
    """Write weights and ``metadata`` to a safetensors file, whole or not at all; the same head gives the same bytes.

    The keys ``dim``, ``classes``, ``hidden`` and ``dropout`` of the metadata are set from the head.
    """
    own = {"dim": head.dim, "classes": head.classes, "hidden": list(head.hidden), "dropout": head.dropout}
    metadata = metadata | {key: json.dumps(value) for key, value in own.items()}
    content = safetensors.save({key: value.cpu() for key, value in head.state_dict().items()}, metadata)
    # safetensors writes metadata in the random order of a hash map, so the header is written anew.
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    write_bytes(path, len(header).to_bytes(8, "little") + header + content[8 + length :])


def load(path: Path | str) -> Head:
    """Read a head that :func:`save` wrote, on the CPU and in evaluation mode.

    Raises:
        UserError: no such file, a damaged one, or one that holds no head.
    """
    metadata = read_metadata(path)
    try:
        dim, classes, hidden, dropout = (json.loads(metadata[key]) for key in ("dim", "classes", "hidden", "dropout"))
        head = Head(dim, classes, hidden=hidden, dropout=dropout, generator=torch.Generator())
        head.load_state_dict(safetensors.load_file(path))
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} holds no head of pixelherd ({reason}); give a head.safetensors of a run") from None
    return head.eval()


def read_metadata(path: Path | str) -> dict[str, str]:
    """The metadata of a head's file, without reading its weights.

    Raises:
        UserError: no such file, or a damaged one.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; train the run that it belongs to first") from None
    except SafetensorError as error:
        raise UserError(
            f"{path} is truncated or no safetensors file ({error}); delete it and run the same command again"
        ) from None


# Where the pixels of a batch come from


class Batch(Protocol):
    """The n pixels of a few images."""

    labels: Tensor
    """int64 [n], 255 = ignored by the loss."""

    def project(self, first: nn.Linear) -> Tensor:
        """The head's first layer at the n pixels, float32 [n, h], differentiable in its weight and bias."""


class PixelSource(Protocol):
    """A training set, by image."""

    images: int
    """Number of images N."""

    def labelled(self, image: int) -> bool:
        """Whether the image has a pixel whose label counts."""

    def batch(self, images: Sequence[int]) -> Batch:
        """All pixels known of these images."""


class VectorBatch:
    """Pixels as vectors [n, D]."""

    def __init__(self, vectors: Tensor, labels: Tensor):
        self.vectors, self.labels = vectors, labels

    def project(self, first: nn.Linear) -> Tensor:
        return first(self.vectors)


class VectorSource:
    """Gathered vectors: context pixels without a label, and labelled pixels.

    The context stays on disk where it is memory-mapped. Reading a batch costs a tenth of the first layer's time, and
    jobs that train on the same context share its pages.

    Args:
        context: [N, P, D], any float type; None for labelled pixels alone.
        vectors: [L, D] features of the labelled pixels.
        images: [L] the image of each, in [0, N).
        labels: [L] the class of each; 255 = cannot tell, which counts like a context pixel.
        device: where batches are put.
    """

    def __init__(
        self,
        context: np.ndarray | None,
        vectors: np.ndarray,
        images: ArrayLike,
        labels: ArrayLike,
        device: torch.device | str = "cpu",
    ):
        images, labels = np.asarray(images, dtype=np.int64), np.asarray(labels, dtype=np.int64)
        if not len(vectors) == len(images) == len(labels):
            raise ValueError(f"{len(vectors)} vectors, {len(images)} images and {len(labels)} labels must be as many")
        self.images = int(images.max(initial=-1)) + 1 if context is None else len(context)
        if images.size and not 0 <= images.min() <= images.max() < self.images:
            raise ValueError(f"images of labelled pixels must be in [0, {self.images})")
        self._context, self._vectors, self._labels, self._device = context, vectors, labels, device
        self._buffer = torch.empty(0, 0, device=device)
        order = np.argsort(images, kind="stable")
        self._rows = np.split(order, np.searchsorted(images[order], np.arange(1, self.images)))

    def labelled(self, image: int) -> bool:
        return bool((self._labels[self._rows[image]] != IGNORED).any())

    def batch(self, images: Sequence[int]) -> VectorBatch:
        """The batch lies in memory that the next one overwrites: fresh memory for each costs a fifth of the step."""
        rows = np.concatenate([self._rows[image] for image in images])
        parts = [] if self._context is None else list(self._context[list(images)])
        parts.append(self._vectors[rows])
        count = sum(map(len, parts))
        if len(self._buffer) < count:
            self._buffer = torch.empty(count, parts[0].shape[1], device=self._device)
        vectors = self._buffer[:count]
        for into, part in zip(vectors.split([len(part) for part in parts]), parts, strict=True):
            into.copy_(torch.from_numpy(part))
        labels = torch.full((count,), IGNORED)
        labels[count - len(rows) :] = torch.from_numpy(self._labels[rows])
        return VectorBatch(vectors, labels.to(self._device))


class DenseBatch:
    """Pixels as native feature maps, which the first layer is applied to before they are up-sampled."""

    def __init__(self, maps: list[dict[int, Tensor]], norms: list[Tensor], size: tuple[int, int], labels: Tensor):
        self.maps, self.norms, self.size, self.labels = maps, norms, size, labels

    def project(self, first: nn.Linear) -> Tensor:
        projected = [
            dense.project(maps, first.weight, self.size, norms)
            for maps, norms in zip(self.maps, self.norms, strict=True)
        ]
        return torch.cat(projected) + first.bias


class DenseSource:
    """Every pixel of every image.

    Args:
        maps: gives the native maps of an image, {block: [T, C, h, w]}; called once per batch that the image is in.
        labels: uint8 [N, H, W], 255 = unlabelled or ignored.
        size: (H, W).
        device: where batches are put.
    """

    def __init__(
        self,
        maps: Callable[[int], dict[int, Tensor]],
        labels: np.ndarray,
        size: tuple[int, int],
        device: torch.device | str = "cpu",
    ):
        if tuple(labels.shape[1:]) != tuple(size):
            raise ValueError(f"labels have size {tuple(labels.shape[1:])}, not {tuple(size)}")
        self.images = len(labels)
        self._maps, self._labels, self._size, self._device = maps, labels, tuple(size), device
        self._norms: dict[int, Tensor] = {}

    def labelled(self, image: int) -> bool:
        return bool((np.asarray(self._labels[image]) != IGNORED).any())

    def batch(self, images: Sequence[int]) -> DenseBatch:
        maps = [{block: values.to(self._device) for block, values in self._maps(image).items()} for image in images]
        for image, blocks in zip(images, maps, strict=True):
            if image not in self._norms:
                self._norms[image] = dense.norms(blocks, self._size).cpu()
        norms = [self._norms[image].to(self._device) for image in images]
        labels = np.concatenate([np.asarray(self._labels[image]).ravel() for image in images]).astype(np.int64)
        return DenseBatch(maps, norms, self._size, torch.from_numpy(labels).to(self._device))


# Training


def train(
    source: PixelSource,
    head: Head,
    settings: HeadSettings,
    *,
    order_generator: torch.Generator,
    progress: Callable[[dict], None] | None = None,
    checkpoint: Path | str | None = None,
) -> list[dict]:
    """Train ``head`` in place with Adam on the cross-entropy of the labelled pixels.

    Batches are ``settings.batch_images`` images in an order shuffled once; those without a label are not even read.
    From epoch ``settings.minimum_epochs`` on, training stops at a batch whose labelled pixels are right more often
    than ``settings.accuracy``, once ``settings.patience`` batches in a row have brought no new lowest loss.

    Args:
        source: the training pixels, on the head's device.
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
        raise UserError("there is no labelled pixel to train on; label at least one pixel with a class, not 255")

    log: list[dict] = []
    lowest, since_lowest, stopped = math.inf, 0, False
    identity = {
        "format": 2,
        "settings": settings.model_dump(mode="json"),
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
        epoch, losses, right, labelled_pixels = len(log) + 1, [], 0, 0
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
                    f"learning_rate {settings.learning_rate} is too high; check the features or lower it"
                )
            optimizer.step(rate)

            correct = int((logits.argmax(dim=1) == batch.labels)[labelled].sum())
            pixels = int(labelled.sum())
            right, labelled_pixels = right + correct, labelled_pixels + pixels
            lowest, since_lowest = (losses[-1], 0) if losses[-1] < lowest else (lowest, since_lowest + 1)
            stalled = since_lowest >= settings.patience and correct / pixels > settings.accuracy
            if stalled and epoch >= settings.minimum_epochs:
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
    head.eval()
    return log


def learning_rate(settings: HeadSettings, epoch: int) -> float:
    """The cosine schedule at an epoch, from 1: at its minimum after ``settings.period`` epochs, and then up again."""
    above = settings.learning_rate - settings.minimum_learning_rate
    cosine = math.cos(math.pi * (epoch - 1) / settings.period)
    return settings.minimum_learning_rate + above * (1 + cosine) / 2


def _check_batch(labels: Tensor, labelled: Tensor, classes: int, where: str) -> None:
    if len(labels) < 2:
        raise UserError(f"{where} has one pixel, which has no batch statistics; set the head's context to at least 1")
    outside = labels[labelled & ((labels < 0) | (labels >= classes))]
    if len(outside):
        raise UserError(
            f"label {int(outside[0])} in {where} is outside the classes 0 to {classes - 1}; correct it or the classes"
        )


def _read_checkpoint(path: Path, identity: dict) -> dict:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        same = state["identity"] == identity
    except Exception as error:  # torch.load raises whatever its archive reader meets
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is damaged ({reason}); delete it to train from the start") from None
    if not same:
        raise UserError(f"{path} belongs to another training; delete it to train from the start")
    return state
