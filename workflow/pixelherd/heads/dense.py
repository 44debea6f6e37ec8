"""Predictions at image resolution from maps at native resolution, for many heads in one pass."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from pixelherd.features.interpolation import Maps, NativeMaps, Projection, at_once, check_normalisation, norms

if TYPE_CHECKING:
    from pixelherd.heads.network import Head

MEMORY = 256 * 2**20
"""Bytes of first-layer outputs at native resolution that :func:`predict` holds at a time."""

TILE = 8 * 2**20
"""Bytes of first-layer outputs at image resolution at a time on a CPU: more would leave its caches."""


@torch.inference_mode()
def predict(
    maps: Maps,
    heads: Sequence["Head"],
    size: tuple[int, int],
    normalisation: str = "unit",
    *,
    lengths: torch.Tensor | None = None,
) -> list[torch.Tensor]:
    """Logits of every pixel for each head: ``[classes, H, W]`` float32 each, on the heads' device.

    The heads share one reading of the maps, the norms and the first layer's products. Without dropout BatchNorm is
    folded into the layer behind it. With dropout on (:func:`pixelherd.heads.network.sampled`) a head may stand several
    times among the heads, and each time is another sample.

    Args:
        maps: of one image.
        heads: trained heads, in evaluation mode.
        size: (H, W) of the predictions.
        normalisation: that of the vectors, see :data:`pixelherd.features.interpolation.NORMALISATIONS`.
        lengths: :func:`norms` of the maps at ``size``, where they are known already.

    Raises:
        ValueError: a head's BatchNorm is in training mode, its D is not the maps', lengths are not ``[H, W]``, or the
            normalisation is unknown.
    """
    check_normalisation(normalisation)
    if not heads:
        return []
    device = heads[0].first.weight.device
    maps = NativeMaps.of(maps).each(lambda values: values.to(device))
    lengths = norms(maps, size) if lengths is None else lengths.to(device)
    if tuple(lengths.shape) != tuple(size):
        raise ValueError(f"lengths of shape {tuple(lengths.shape)} are not those of an image of size {tuple(size)}")
    lengths = lengths.flatten()
    answers = [torch.empty(head.classes, len(lengths), device=device) for head in heads]
    for group in _groups(maps, list(dict.fromkeys(heads)), size):
        places = [place for place, head in enumerate(heads) if head in group]
        layers = [heads[place].inference_layers() for place in places]
        widths = [head.first.out_features for head in group]
        projection = Projection(maps, torch.cat([head.first.weight for head in group]), size)
        bias = torch.cat([head.first.bias for head in group])[:, None]
        tile = max(at_once(TILE, device) // (4 * sum(widths) * size[1]), 1)
        for start in range(0, size[0], tile):
            rows = slice(start, min(start + tile, size[0]))
            pixels = slice(rows.start * size[1], rows.stop * size[1])
            hidden = projection.rows(rows)
            torch.addcdiv(bias, hidden, lengths[pixels], out=hidden)
            parts = dict(zip(group, hidden.split(widths), strict=True))
            for rest, place in zip(layers, places, strict=True):
                part = parts[heads[place]]
                # what is linear is ready, and turning it to rows and back would take longer than all else
                answers[place][:, pixels] = part if isinstance(rest, torch.nn.Identity) else rest(part.T.contiguous()).T
    return [answer.unflatten(1, size) for answer in answers]


def surest(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the probability of the likeliest class and that class, ``[H, W]`` float32 and uint8, of ``[C, H, W]``."""
    best, labels = logits.max(0)
    return (logits - best).exp_().sum(0).reciprocal_(), labels.to(torch.uint8)


def classes(maps: Maps, head: "Head", size: tuple[int, int]) -> np.ndarray:
    """Return the class that a head predicts at every pixel, ``[H, W]`` uint8."""
    return predict(maps, [head], size)[0].argmax(0).to(torch.uint8).cpu().numpy()


def by_name(
    ids: Sequence[str], maps_of: Callable[[int], Maps], head: "Head", size: tuple[int, int]
) -> Callable[[str], np.ndarray]:
    """Return what gives the :func:`classes` ``[H, W]`` of an image by its name.

    Args:
        ids: names of the images of a split.
        maps_of: gives the maps of an image by its position in the split.
        head: a trained head.
        size: (H, W) of the predictions.
    """
    return lambda name: classes(maps_of(ids.index(name)), head, size)


def log_probabilities(
    maps: Maps, heads: Sequence["Head"], size: tuple[int, int], lengths: torch.Tensor | None = None
) -> list[torch.Tensor]:
    """Of every pixel for each head, ``[H·W, classes]`` float32 each, pixels row by row; else as :func:`predict`."""
    # over the outer axis, which is ten times as fast as over rows of a few classes
    return [
        logits.flatten(1).log_softmax(dim=0).T.contiguous() for logits in predict(maps, heads, size, lengths=lengths)
    ]


def _groups(maps: Maps, heads: Sequence["Head"], size: tuple[int, int]) -> list[list["Head"]]:
    """The heads in order, as many together as :data:`MEMORY` allows their first layers at native resolution."""
    positions = sum(values.shape[2] * values.shape[3] for values in maps.values() if tuple(values.shape[2:]) != size)
    groups: list[list[Head]] = []
    taken = 0
    for head in heads:
        needed = 4 * positions * head.first.out_features
        if not groups or taken + needed > MEMORY:
            groups.append([])
            taken = 0
        groups[-1].append(head)
        taken += needed
    return groups
