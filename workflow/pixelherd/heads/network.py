"""Segmentation heads: small per-pixel networks on frozen features, and their files."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors
from torch import Tensor, nn

from pixelherd.compute.matmul import Linear
from pixelherd.errors import UserError
from pixelherd.storage.files import write_bytes, write_csv
from pixelherd.storage.records import write_digests

WEIGHTS_DIGEST = "weights_sha256"

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
        """Return ``x`` with some values 0 and the others larger by ``1 / (1 - probability)``; ``x`` if off."""
        if not self.training or self.probability == 0:
            return x
        kept = torch.rand(x.shape, generator=self.generator).ge_(self.probability)
        return (x * kept.to(x)).div_(1 - self.probability)


class Head(nn.Module):
    """Features [n, D] to logits [n, C].

    The first layer is apart because it is linear: dense prediction applies it to native feature maps, before the
    up-sampling, and only the ``rest`` to every pixel. A class that has no label is never predicted: its logit is -∞.

    Attributes:
        kind: as in :mod:`pixelherd.heads.settings`.
        dim: feature length D.
        classes: number of classes C.
        first: the first layer.
        rest: what follows it.
    """

    kind: str
    dim: int
    classes: int
    first: Linear
    rest: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[n, C]`` of vectors ``x [n, D]`` float32."""
        return self.rest(self.first(x))

    @property
    def last(self) -> Linear:
        """The layer whose outputs are the logits."""
        raise NotImplementedError

    def embed(self, x: Tensor) -> Tensor:
        """Return what enters the last layer, ``[n, h]``, of vectors ``x [n, D]`` float32, in evaluation mode."""
        raise NotImplementedError

    @property
    def known(self) -> Tensor:
        """Classes that may be predicted, bool ``[C]``."""
        return self.last.bias.isfinite()

    @torch.no_grad()
    def know(self, labels: ArrayLike) -> None:
        """Never predict classes that are not among ``labels``, integers of any shape; 255 is no class."""
        present = np.isin(np.arange(self.classes), np.asarray(labels))
        self.last.bias[torch.from_numpy(~present).to(self.last.bias.device)] = -torch.inf

    def inference_layers(self) -> nn.Module:
        """Return what follows the first layer when it predicts: [n, h] to logits [n, C]."""
        return self.rest

    def architecture(self) -> dict[str, Any]:
        """Return what :func:`load` builds the head from, besides its weights."""
        return {"kind": self.kind, "dim": self.dim, "classes": self.classes}


class LinearHead(Head):
    """One layer, which is softmax regression: features [n, D] to logits [n, C]."""

    kind = "linear"

    def __init__(self, dim: int, classes: int):
        super().__init__()
        self.dim, self.classes = dim, classes
        self.first, self.rest = Linear(dim, classes), nn.Identity()

    def embed(self, x: Tensor) -> Tensor:
        """Return the vectors themselves."""
        return x

    @property
    def last(self) -> Linear:
        """The layer whose outputs are the logits."""
        return self.first


class MlpHead(Head):
    """Linear-ReLU-BatchNorm-Dropout twice, then Linear: features [n, D] to logits [n, C].

    Args:
        dim: feature length D.
        classes: number of classes C.
        hidden: widths of the hidden layers; by default (128, 32), or (256, 128) from 30 classes on.
        dropout: probability p of dropping a hidden feature, in [0, 1).
        generator: CPU generator for the weights, N(0, 0.02²), and afterwards for the dropout masks. Biases are 0.
    """

    kind = "mlp"
    rest: nn.Sequential

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

    @property
    def last(self) -> Linear:
        """The layer whose outputs are the logits."""
        return cast(Linear, self.rest[-1])

    def embed(self, x: Tensor) -> Tensor:
        """Return the second hidden layer behind its BatchNorm, ``[n, h]``."""
        return self.rest[:-1](self.first(x))

    def architecture(self) -> dict[str, Any]:
        """Return what :func:`load` builds the head from, besides its weights."""
        return super().architecture() | {"hidden": list(self.hidden), "dropout": self.dropout}

    def inference_layers(self) -> nn.Module:
        """Return what follows the first layer, with BatchNorm folded into the linear layers.

        While dropout is on BatchNorm stays, since dropout stands between the two, and each call of this method is a
        sample with streams of masks of its own: a row's mask depends on the rows before it, and not on how many of
        them are asked at a time, which differs between devices.

        Raises:
            ValueError: BatchNorm is in training mode; call ``eval()`` first.
        """
        norms = [layer for layer in self.rest if isinstance(layer, nn.BatchNorm1d)]
        linears = [layer for layer in self.rest if isinstance(layer, nn.Linear)]
        dropouts = [layer for layer in self.rest if isinstance(layer, Dropout)]
        if any(norm.training for norm in norms):
            raise ValueError("a head to predict with must have its BatchNorm in evaluation mode: call head.eval()")
        if any(dropout.training and dropout.probability for dropout in dropouts):
            return nn.Sequential(*(_branched(layer) if isinstance(layer, Dropout) else layer for layer in self.rest))
        first, second = (_folded(*pair) for pair in zip(norms, linears, strict=True))
        return nn.Sequential(nn.ReLU(), first, nn.ReLU(), second)


def _branched(layer: Dropout) -> Dropout:
    """The layer with a generator of its own, whose seed the layer's generator draws."""
    seed = int(torch.randint(2**63 - 1, (), generator=layer.generator))
    return Dropout(layer.probability, torch.Generator().manual_seed(seed))


@torch.no_grad()
def _folded(norm: nn.BatchNorm1d, linear: nn.Linear) -> Linear:
    """The linear layer behind ``norm`` and the norm's own affine map, as one layer."""
    scale = norm.weight.double() * (norm.get_buffer("running_var").double() + norm.eps).rsqrt()
    shift = norm.bias.double() - norm.get_buffer("running_mean").double() * scale
    weight = linear.weight.double()
    folded = Linear(linear.in_features, linear.out_features, device=linear.weight.device)
    folded.weight.copy_(weight * scale)
    folded.bias.copy_(linear.bias.double() + weight @ shift)
    return folded


class SampledHead(nn.Module):
    """M linear heads that are samples of one, from the posterior of its weights.

    Args:
        dim: feature length D.
        classes: number of classes C.
        samples: M.
    """

    kind = "posterior"

    def __init__(self, dim: int, classes: int, samples: int):
        super().__init__()
        self.dim, self.classes = dim, classes
        self.heads = nn.ModuleList(LinearHead(dim, classes) for _ in range(samples))

    def architecture(self) -> dict[str, Any]:
        """Return what :func:`load` builds the heads from, besides their weights."""
        return {"kind": self.kind, "dim": self.dim, "classes": self.classes, "samples": len(self.heads)}


@contextmanager
def sampled(head: nn.Module, samples: int, generator: torch.Generator) -> Iterator[list[Head]]:
    """Within the block, heads of which each is a sample of what was learnt, M altogether.

    Those of a :class:`SampledHead` are there already. An :class:`MlpHead` stands there M times, in evaluation mode but
    with its dropout on, and masks from ``generator``: each forward pass is a sample of MC dropout (Gal & Ghahramani
    2016).

    Raises:
        ValueError: there are fewer samples.
    """
    if isinstance(head, SampledHead):
        if len(head.heads) < samples:
            raise ValueError(f"there are {len(head.heads)} samples of the head, not {samples}")
        yield [cast(Head, each) for each in head.heads[:samples]]
        return
    if not isinstance(head, MlpHead):
        raise ValueError(f"a head of kind {head.kind!r} has no samples")
    layers = [module for module in head.modules() if isinstance(module, Dropout)]
    head.eval()
    for layer in layers:
        layer.generator = generator
        layer.train()
    try:
        yield [head] * samples
    finally:
        for layer in layers:
            layer.generator = head.generator
            layer.eval()


def log_probabilities(head: Head, vectors: np.ndarray | Tensor) -> Tensor:
    """Log-probabilities, float32 [n, C] on the CPU, of ``vectors`` [n, D] (any float type, memory-mapped or not).

    Leaves the head in evaluation mode.
    """
    head.eval()
    return _log_probabilities(head, vectors)


@torch.inference_mode()
def embeddings(head: Head, vectors: np.ndarray | Tensor) -> Tensor:
    """What enters the head's last layer, float32 [n, h] on the CPU, of ``vectors`` [n, D] as above.

    Leaves the head in evaluation mode.
    """
    head.eval()
    device = head.first.weight.device
    blocks = (vectors[start : start + ROWS_AT_ONCE] for start in range(0, len(vectors), ROWS_AT_ONCE))
    return torch.cat([head.embed(_floats(block, device)).cpu() for block in blocks])


def sampled_log_probabilities(
    head: nn.Module, vectors: np.ndarray | Tensor, samples: int, *, generator: torch.Generator
) -> Tensor:
    """Log-probabilities, float32 [n, ``samples``, C] on the CPU, of samples of a head: see :func:`sampled`."""
    with sampled(head, samples, generator) as heads:
        return torch.stack([_log_probabilities(each, vectors) for each in heads], dim=1)


@torch.inference_mode()
def _log_probabilities(head: Head, vectors: np.ndarray | Tensor) -> Tensor:
    device = head.first.weight.device
    result = torch.empty(len(vectors), head.classes)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        result[rows] = head(_floats(vectors[rows], device)).log_softmax(dim=1).cpu()
    return result


def _floats(values: np.ndarray | Tensor, device: torch.device | str) -> Tensor:
    """``values`` as float32 on ``device``; sent there first, since they may be half as long before."""
    if not isinstance(values, Tensor):
        values = torch.from_numpy(np.array(values))
    return values.to(device).float()


# Its file


def save(head: Head | SampledHead, path: Path | str, metadata: Mapping[str, Any]) -> None:
    """Write weights and ``metadata`` to a safetensors file, whole or not at all; the same head gives the same bytes.

    Values of the metadata that are no strings are written as JSON, and keys that say how the head is built are set from
    the head.
    """
    noted = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    noted |= {key: json.dumps(value) for key, value in head.architecture().items()}
    weights = {key: value.cpu().contiguous() for key, value in head.state_dict().items()}
    noted[WEIGHTS_DIGEST] = _digest(weights)
    content = safetensors.save(weights, noted)
    # safetensors writes metadata in the random order of a hash map, so the header is written anew.
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    write_bytes(path, len(header).to_bytes(8, "little") + header + content[8 + length :])


def _digest(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, values in sorted(weights.items()):
        digest.update(f"{name} {values.dtype} {list(values.shape)}".encode() + values.numpy().tobytes())
    return digest.hexdigest()


def write_log(path: Path | str, log: Sequence[dict]) -> None:
    """Write ``training.csv``, a row per epoch, or per iteration of :mod:`pixelherd.heads.linear`."""
    rows = [[f"{value:.9g}" if isinstance(value, float) else value for value in row.values()] for row in log]
    write_csv(path, log[0], rows)


def write_trained(
    made: Sequence[str], head: Head | SampledHead, log: Sequence[dict], metadata: Mapping[str, Any]
) -> None:
    """Write what a training leaves: the head's file, its log, and a record of the digests of both, in this order."""
    save(head, made[0], metadata)
    write_log(made[1], log)
    write_digests(made[2], made[:2])


def load(path: Path | str) -> Head:
    """Read a head that :func:`save` wrote, on the CPU and in evaluation mode.

    Raises:
        UserError: no such file, a damaged one, or one that holds no head.
    """
    head = load_any(path)
    if not isinstance(head, Head):
        raise UserError(f"{path} holds samples of a head", remedy="give a head.safetensors of a run")
    return head


def load_any(path: Path | str) -> Head | SampledHead:
    """Read a head or samples of one; else as :func:`load`."""
    metadata = read_metadata(path)
    try:
        head, weights = _built(metadata), safetensors.load_file(path)
        if metadata.get(WEIGHTS_DIGEST, _digest(weights)) != _digest(weights):
            raise ValueError("its weights are damaged")
        head.load_state_dict(weights)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} holds no head of pixelherd ({reason})", remedy="give a head.safetensors of a run"
        ) from None
    return head.eval()


def _built(metadata: Mapping[str, str]) -> Head | SampledHead:
    # heads of pixelherd 0.1 name no kind
    known = ("dim", "classes", "hidden", "dropout", "samples")
    kind, given = (
        json.loads(metadata.get("kind", '"mlp"')),
        {key: json.loads(metadata[key]) for key in known if key in metadata},
    )
    if kind == "mlp":
        return MlpHead(**given, generator=torch.Generator())
    kinds: dict[str, type[LinearHead | SampledHead]] = {each.kind: each for each in (LinearHead, SampledHead)}
    return kinds[kind](**given)


def is_calibrated(path: Path | str) -> bool:
    """Return whether the confidence of a head in a file was calibrated on its labels, so far as these allowed.

    Raises:
        UserError: as :func:`read_metadata`.
    """
    return read_metadata(path).get("calibrated") == "true"


def read_metadata(path: Path | str) -> dict[str, str]:
    """The metadata of a head's file, without reading its weights.

    Raises:
        UserError: no such file, or a damaged one.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist", remedy="train the run that it belongs to first") from None
    except SafetensorError as error:
        raise UserError(
            f"{path} is truncated or no safetensors file ({error})", remedy="delete it and run the same command again"
        ) from None
