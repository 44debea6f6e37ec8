"""Single-stage selection: a score ranks every pixel of every training image.

Images are looked at one by one. Of each round only the best pixels so far are kept, and a small sample of all pixels,
to tell how the scores are spread: neither vectors nor scores of all pixels are ever stored.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pixelherd.compute.randomness import numpy_generator, torch_generator
from pixelherd.datasets.classes import IGNORED
from pixelherd.datasets.dataset import Split, labels_of
from pixelherd.datasets.pixels import Pixels
from pixelherd.errors import UserError
from pixelherd.features.maps import DrawSource, ImageMaps, MapSource
from pixelherd.heads import dense
from pixelherd.heads.network import Head, sampled
from pixelherd.selection import acquisition
from pixelherd.selection.methods import comparable
from pixelherd.selection.rankings import Ranking
from pixelherd.selection.settings import Round, SelectionSettings, used
from pixelherd.storage.stores import load_arrays, save_arrays

SAMPLED = 64
"""Pixels of each image whose scores are kept."""


@dataclass(frozen=True)
class Best:
    """The best pixels of some images, the best first, and the scores of a sample of all their ranked pixels.

    Attributes:
        images: ``[m]`` positions in the split.
        flat: ``[m]`` flat pixels.
        scores: by name ``[m]``, the method's own first.
        sample: by name ``[s]``.
    """

    images: np.ndarray
    flat: np.ndarray
    scores: dict[str, np.ndarray]
    sample: dict[str, np.ndarray]

    @classmethod
    def of(cls, parts: "Iterable[Best]", budget: int) -> "Best":
        """The ``budget`` best of several parts, whatever their order; ties to the first image and pixel."""
        parts = list(parts)
        images, flat = (np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "flat"))
        scores, sample = (
            {name: np.concatenate([getattr(part, kind)[name] for part in parts]) for name in parts[0].scores}
            for kind in ("scores", "sample")
        )
        order = np.lexsort((flat, images, -next(iter(scores.values()))))[:budget]
        return cls(images[order], flat[order], {name: values[order] for name, values in scores.items()}, sample)

    @classmethod
    def read(cls, path: Path | str) -> "Best":
        """What :meth:`write` wrote."""
        arrays = load_arrays(path)
        scores, sample = (
            {name.removeprefix(kind): arrays[name] for name in arrays if name.startswith(kind)}
            for kind in ("score ", "sample ")
        )
        return cls(arrays["images"], arrays["flat"], scores, sample)

    def write(self, path: Path | str) -> None:
        """Write an ``.npz`` file."""
        arrays: dict[str, Any] = {"images": self.images, "flat": self.flat}
        arrays |= {f"score {name}": values for name, values in self.scores.items()}
        arrays |= {f"sample {name}": values for name, values in self.sample.items()}
        save_arrays(path, **arrays)

    def queries(self, budget: int) -> tuple[Pixels, Ranking]:
        """The pixels to ask for, and how all pixels were ranked.

        Raises:
            UserError: there are fewer pixels than the budget.
        """
        if len(self.images) < budget:
            raise UserError(
                f"budget: the training images have {len(self.images)} unlabelled pixels, fewer than the {budget} of a "
                "round",
                remedy="lower `budgets` or `rounds`",
            )
        sampled = len(next(iter(self.sample.values())))
        scores = {name: np.concatenate([self.sample[name], values]) for name, values in self.scores.items()}
        ranking = Ranking(scores, np.arange(sampled, sampled + budget), np.arange(sampled))
        return Pixels(self.images, self.flat, next(iter(self.scores.values()))), ranking


@dataclass(frozen=True)
class Sources:
    """What every pixel of an image is predicted from.

    Attributes:
        maps_of: native maps of the base draw by position.
        head: the head of the round before.
        perturbed: native maps by position and draw 1…M; None if the score needs no draws.
        sampled_head: what :func:`pixelherd.heads.network.sampled` takes, where the score compares samples of a head.
    """

    maps_of: MapSource
    head: Head
    perturbed: DrawSource | None = None
    sampled_head: torch.nn.Module | None = None


def rank(
    positions: Iterable[int],
    split: Split,
    sources: Sources,
    current: Round,
    *,
    progress: Callable[[], object] = lambda: None,
) -> Best:
    """The pixels of some images that score highest, at most the budget; ties go to the first image and pixel.

    Args:
        positions: images in the split, ascending.
        split: the training split; its labels are read only to leave out ignored pixels (``avoid_ignored``).
        sources: what predicts the pixels.
        current: the round; what is random is keyed by its number and the image's id.
        progress: called after each image.
    """
    settings, labelled = current.settings, current.labelled
    names = list(dict.fromkeys([settings.score, *comparable(settings.score)]))
    nowhere, no_scores = np.zeros(0, dtype=np.int64), {name: np.zeros(0) for name in names}
    best = nothing = Best(nowhere, nowhere, no_scores, no_scores)
    for image in positions:
        labels, key = labels_of(split, image), (settings.seed, current.number, split.ids[image])
        free = np.ones(labels.size, dtype=bool)
        free[labelled.flat[labelled.images == image]] = False
        if settings.avoid_ignored:
            free &= labels.reshape(-1) != IGNORED
        pixels = np.flatnonzero(free)
        if len(pixels):
            predicted = predictions(sources, image, labels.shape, settings, key)
            found = _best_of(image, pixels, predicted, names, current, key)
        else:
            found = nothing
        best = Best.of([best, found], current.budget)
        progress()
    return best


def predictions(
    sources: Sources, image: int, size: tuple[int, int], settings: SelectionSettings, key: tuple[str | int, ...]
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Log-probabilities of every pixel of an image: of M samples ``[H·W, M, C]``, or None, and of the base.

    Args:
        sources: what predicts the pixels.
        image: position in the split.
        size: (H, W).
        settings: of the run.
        key: of what is random.
    """

    def of(heads: Sequence[Head], maps: ImageMaps, norms: torch.Tensor | None) -> list[torch.Tensor]:
        return dense.log_probabilities(maps, heads, size, norms)

    head, perturbed, sampled_head = sources.head, sources.perturbed, sources.sampled_head
    base = sources.maps_of(image), sources.maps_of.norms(image)
    samples: list[torch.Tensor] = []
    if perturbed is not None:
        for number in range(1, 1 + used(settings.draws)):
            samples += of([head], perturbed(image, number), perturbed.norms(image, number))
    if sampled_head is not None:
        with sampled(sampled_head, used(settings.samples), torch_generator("dropout", *key)) as heads:
            samples = of(heads, *base)
    return torch.stack(samples, dim=1) if samples else None, of([head], *base)[0]


def _best_of(
    image: int,
    pixels: np.ndarray,
    predicted: tuple[torch.Tensor | None, torch.Tensor],
    names: Sequence[str],
    current: Round,
    key: tuple[str | int, ...],
) -> Best:
    """The best of some ``pixels`` of an image; scores besides the method's own are computed where they are kept."""
    samples, base = predicted

    def scores(name: str, at: np.ndarray) -> np.ndarray:
        where = torch.from_numpy(at).to(base.device)
        return (
            acquisition.score(
                name,
                None if samples is None else samples[where],
                base=base[where],
                weight=used(current.settings.weight),
                generator=torch_generator("score", *key),
            )
            .cpu()
            .numpy()
        )

    own = scores(names[0], pixels)
    order = np.argsort(-own, kind="stable")[: current.budget]
    sampled = numpy_generator("sample", *key).choice(len(pixels), min(SAMPLED, len(pixels)), replace=False)
    kept = [{names[0]: own[at]} | {name: scores(name, pixels[at]) for name in names[1:]} for at in (order, sampled)]
    return Best(np.full(len(order), image), pixels[order], *kept)
