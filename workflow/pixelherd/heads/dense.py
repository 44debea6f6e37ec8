"""Predictions at image resolution from maps at native resolution, for many heads in one pass."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from pixelherd.compute.compiled import compiled
from pixelherd.compute.matmul import linear
from pixelherd.datasets.classes import IGNORED
from pixelherd.features.interpolation import (
    Maps,
    NativeMaps,
    Projection,
    Taps,
    at_once,
    check_normalisation,
    knots_of,
    norms,
    stacks_of,
    taps_of,
)
from pixelherd.heads.metrics import BINS, STEPS, Tally, check_targets, confusion, reliability

if TYPE_CHECKING:
    from pixelherd.heads.network import Head

MEMORY = 256 * 2**20
"""Bytes of first-layer outputs at native resolution that :func:`predict` holds at a time."""

TILE = 8 * 2**20
"""Bytes of first-layer outputs at image resolution at a time on a CPU: more would leave its caches."""

HEADS_AT_ONCE = 32
"""Heads whose logits of an image are held at a time."""


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
    lengths = _lengths(maps, size, lengths).to(device).flatten()
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


def _lengths(maps: Maps, size: tuple[int, int], known: torch.Tensor | None) -> torch.Tensor:
    lengths = norms(maps, size) if known is None else known
    if tuple(lengths.shape) != tuple(size):
        raise ValueError(f"lengths of shape {tuple(lengths.shape)} are not those of an image of size {tuple(size)}")
    return lengths


def surest(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the probability of the likeliest class and that class, ``[H, W]`` float32 and uint8, of ``[C, H, W]``."""
    best, labels = logits.max(0)
    return (logits - best).exp_().sum(0).reciprocal_(), labels.to(torch.uint8)


@torch.inference_mode()
def tally(
    maps: Maps, heads: Sequence["Head"], target: np.ndarray, classes: int, *, lengths: torch.Tensor | None = None
) -> Tally:
    """Count the pixels of an image by how every head predicts them, at the size of the labels.

    Of linear heads on a CPU no logits are held: a pixel's are counted as soon as they are there.

    Args:
        maps: of the image.
        heads: trained heads, in evaluation mode.
        target: ``[H, W]`` labels, 255 ignored.
        classes: C.
        lengths: as for :func:`predict`.

    Raises:
        UserError: a label is outside the classes.
        ValueError: a head's D is not the maps', or lengths are not ``[H, W]``.
    """
    check_targets(target, classes)
    found, size = [], (target.shape[0], target.shape[1])
    maps = NativeMaps.of(maps)
    positions = sum(values.shape[2] * values.shape[3] for values in maps.values())
    at_a_time = min(max(MEMORY // (4 * positions * classes), 1), HEADS_AT_ONCE)
    for start in range(0, len(heads), at_a_time):
        group = heads[start : start + at_a_time]
        if all(head.kind == "linear" and head.first.weight.device.type == "cpu" for head in group):
            found.append(_tally_linear(maps, group, target, classes, lengths))
            continue
        for logits in predict(maps, group, size, lengths=lengths):
            confidence, predicted = (each.cpu().numpy() for each in surest(logits))
            one = Tally(confusion(target, predicted, classes), reliability(target, predicted, confidence))
            found.append(Tally.stack([one]))
    return Tally.join(found)


def _tally_linear(
    maps: NativeMaps, heads: Sequence["Head"], target: np.ndarray, classes: int, lengths: torch.Tensor | None
) -> Tally:
    size = target.shape[0], target.shape[1]
    weight = torch.cat([head.first.weight for head in heads])
    stacks = stacks_of(maps)
    channels = [len(stack) for stack, _ in stacks]
    if weight.shape[1] != sum(channels):
        raise ValueError(f"the layer takes vectors of length {weight.shape[1]}, the maps have {sum(channels)}")
    places = knots_of(stacks, size)
    native, rows, columns, start, first = [], [], [], 0, 0
    for (stack, covered), part in zip(stacks, weight.split(channels, dim=1), strict=True):
        height, width = stack.shape[1:]
        down, across = taps_of(stack, size, covered, places)
        native.append(linear(stack.flatten(1).float().T, part))
        rows.append(_numbers(Taps(start + width * down.near, start + width * down.far, down.fraction)))
        columns.append(_numbers(Taps(first + across.near, first + across.far, across.fraction)))
        start, first = start + height * width, first + width
    counted = Tally.nothing(len(heads), classes)
    _count_pixels(
        torch.cat(native).numpy(),
        (np.array([stack.shape[2] for stack, _ in stacks]), _stacked(rows), _stacked(columns)),
        (_numbers(Taps.between(places[0], size[0])), _numbers(Taps.between(places[1], size[1]))),
        torch.cat([head.first.bias for head in heads]).numpy(),
        (np.ascontiguousarray(target), _lengths(maps, size, lengths).numpy()),
        (counted.matrix, counted.bins),
    )
    return counted


Axis = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Where interpolation along an axis reads: from, to, and how far from the first."""


def _numbers(taps: Taps) -> Axis:
    return taps.near.numpy(), taps.far.numpy(), taps.fraction.numpy()


def _stacked(taps: Sequence[Axis]) -> Axis:
    near, far, fraction = (np.stack(each) for each in zip(*taps, strict=True))
    return near, far, fraction


@compiled
def _count_pixels(
    native: np.ndarray,
    blocks: tuple[np.ndarray, Axis, Axis],
    between: tuple[Axis, Axis],
    bias: np.ndarray,
    image: tuple[np.ndarray, np.ndarray],
    counted: tuple[np.ndarray, np.ndarray],
) -> None:
    """Count pixels by their label and by what heads predict; O outputs are C classes of each head.

    Blocks are added up at *knots*, K along the height and L along the width, between which all of them are linear, and
    which are fewer than the rows and columns of the image.

    Args:
        native: ``[positions, O]`` float32 outputs at native positions, block after block, row after row.
        blocks: ``[B]`` native columns of each block; ``[B, K]`` each, where the two native rows begin that a knot lies
            between, and how far from the first; ``[B, L]`` each, likewise native columns, counted through all blocks.
        between: ``[H]`` each, the two knots that a row of the image lies between, one after the other, and how far
            from the first; ``[W]`` each, likewise for its columns.
        bias: ``[O]`` float32; -inf for classes that are not known.
        image: ``[H, W]`` each, labels, and float32 lengths of the vectors.
        counted: matrix and bins of a :class:`~pixelherd.heads.metrics.Tally`, to which is added.
    """
    (widths, rows, columns), (target, lengths), (matrix, bins) = blocks, image, counted
    (above, below, share), across, heads, outputs, width = *between, len(matrix), len(bias), target.shape[1]
    lines, sums = np.empty((widths.sum(), outputs), np.float32), np.empty((columns[0].shape[1], outputs), np.float32)
    held, knots = np.full(2, -1), np.empty((2, outputs, width), np.float32)  # the latest even and odd knot
    logits = np.empty((outputs, width), np.float32)
    likeliest, total = np.empty((heads, width), np.int32), np.empty((heads, width), np.float32)
    for row in range(len(target)):
        for knot in (above[row], below[row]):
            if held[knot % 2] != knot:
                _blend_rows(native, widths, rows, knot, lines)
                _blend_columns(lines, columns, sums)
                _spread(sums, across, knots[knot % 2])
                held[knot % 2] = knot
        _blend_knots(knots[above[row] % 2], knots[below[row] % 2], share[row], lengths[row], bias, logits)
        _judge(logits, likeliest, total)
        for column in range(width):
            true = target[row, column]
            if true == IGNORED:
                continue
            for head in range(heads):
                predicted = likeliest[head, column]
                sure = np.int64(np.rint(STEPS / np.float64(total[head, column])))
                place = max(min(int(sure) * BINS // STEPS, BINS - 1), 0)
                matrix[head, true, predicted] += 1
                bins[head, place, 0] += 1
                bins[head, place, 1] += predicted == true
                bins[head, place, 2] += sure


@compiled
def _blend_rows(native: np.ndarray, widths: np.ndarray, rows: Axis, row: int, lines: np.ndarray) -> None:
    """Interpolate a row at native columns: ``lines [columns of all blocks, O]``."""
    above, below, share = rows
    line = 0
    for block in range(len(widths)):
        fraction = share[block, row]
        for column in range(widths[block]):
            upper, lower = native[above[block, row] + column], native[below[block, row] + column]
            for k in range(lines.shape[1]):
                lines[line, k] = upper[k] + fraction * (lower[k] - upper[k])
            line += 1


@compiled
def _blend_columns(lines: np.ndarray, columns: Axis, sums: np.ndarray) -> None:
    """Interpolate a row at its knots, and add up its blocks: ``sums [L, O]``."""
    left, right, share = columns
    for knot in range(len(sums)):
        total = sums[knot]
        for k in range(len(total)):
            total[k] = 0
        for block in range(len(left)):
            near, far, fraction = lines[left[block, knot]], lines[right[block, knot]], share[block, knot]
            for k in range(len(total)):
                total[k] += near[k] + fraction * (far[k] - near[k])


@compiled
def _spread(sums: np.ndarray, across: Axis, outputs: np.ndarray) -> None:
    """Interpolate a row ``[L, O]`` at the pixels of the image: ``outputs [O, W]``, pixels side by side."""
    left, right, share = across
    for column in range(outputs.shape[1]):
        near, far, fraction = sums[left[column]], sums[right[column]], share[column]
        for k in range(len(outputs)):
            outputs[k, column] = near[k] + fraction * (far[k] - near[k])


@compiled
def _blend_knots(
    near: np.ndarray, far: np.ndarray, fraction: float, lengths: np.ndarray, bias: np.ndarray, logits: np.ndarray
) -> None:
    """Write logits ``[O, W]`` of a row of the image between two knots, ``[O, W]`` each."""
    scales = np.float32(1) / lengths
    for k in range(len(logits)):
        for column in range(logits.shape[1]):
            blended = near[k, column] + fraction * (far[k, column] - near[k, column])
            logits[k, column] = blended * scales[column] + bias[k]


@compiled
def _judge(logits: np.ndarray, likeliest: np.ndarray, total: np.ndarray) -> None:
    """Write each head's ``likeliest`` class, and the ``total`` odds of all classes against it, ``[heads, W]`` each.

    Loops go along the row, for which they take the processor's vectors: pixel by pixel they would take twice the time.
    """
    heads, width = likeliest.shape
    classes = len(logits) // heads
    best, odds, powers = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.int32)
    for head in range(heads):
        first = head * classes
        for column in range(width):  # numba takes seconds to compile assignments of whole rows
            best[column], likeliest[head, column], total[head, column] = logits[first, column], 0, 0
        for label in range(1, classes):
            for column in range(width):
                value = logits[first + label, column]
                better = value > best[column]
                best[column] = value if better else best[column]
                likeliest[head, column] = np.int32(label) if better else likeliest[head, column]
        for label in range(classes):
            _add_odds(logits[first + label], best, total[head], odds, powers)


@compiled
def _add_odds(logits: np.ndarray, best: np.ndarray, total: np.ndarray, odds: np.ndarray, powers: np.ndarray) -> None:
    """Add ``exp(logits - best)`` to the total, each ``[W]`` float32, to within 1e-7 of itself: 0 counts as exp(-87).

    By powers of two and a polynomial (Cephes, expf), so that a loop takes the processor's vectors. Both are written to
    the last two arrays, ``[W]`` float32 and int32.
    """
    for k in range(len(odds)):
        x = max(logits[k] - best[k], np.float32(-87))
        whole = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
        x = x - whole * np.float32(0.693359375) + whole * np.float32(2.12194440e-4)
        p = np.float32(1.9875691500e-4) * x + np.float32(1.3981999507e-3)
        p = p * x + np.float32(8.3334519073e-3)
        p = p * x + np.float32(4.1665795894e-2)
        p = p * x + np.float32(1.6666665459e-1)
        p = p * x + np.float32(5.0000001201e-1)
        odds[k] = p * (x * x) + x + np.float32(1)
        powers[k] = (np.int32(whole) + np.int32(127)) << np.int32(23)
    scales = powers.view(np.float32)
    for k in range(len(odds)):
        total[k] += odds[k] * scales[k]


def classes(maps: Maps, head: "Head", size: tuple[int, int]) -> np.ndarray:
    """Return the class that a head predicts at every pixel, ``[H, W]`` uint8."""
    # argmax takes five times as long over the outer axis
    return predict(maps, [head], size)[0].max(0).indices.to(torch.uint8).cpu().numpy()


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


def load_loops() -> None:
    """Compile or load what is compiled here, by counting a pixel: a process that forks does so for its forks."""
    one, first = np.ones((2, 2), np.float32), np.zeros((2, 2), np.int64)
    counted, axis = Tally.nothing(1, 1), (first, first, one)
    image = np.zeros((2, 2), np.uint8), one
    blocks = np.ones(2, np.int64), axis, axis
    between = first[0], first[0], one[0]
    _count_pixels(one[:, :1].copy(), blocks, (between, between), one[0, :1], image, (counted.matrix, counted.bins))
