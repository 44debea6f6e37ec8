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

from . import acquisition, dense
from .datasets import labels_of
from .errors import UserError
from .features import DrawSource, ImageMaps, MapSource
from .head import Head, sampling
from .queries import Pixels
from .randomness import numpy_generator, torch_generator
from .rankings import Ranking
from .scores import comparable

IGNORED = 255

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
    def of(cls, parts: "Sequence[Best]", budget: int) -> "Best":
        """The ``budget`` best of several parts, whatever their order; ties to the first image and pixel."""
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
        with np.load(path) as arrays:
            scores, sample = (
                {name.removeprefix(kind): arrays[name] for name in arrays if name.startswith(kind)}
                for kind in ("score ", "sample ")
            )
            return cls(arrays["images"], arrays["flat"], scores, sample)

    def write(self, path: Path | str) -> None:
        """Write an ``.npz`` file."""
        scores = {f"score {name}": values for name, values in self.scores.items()}
        sample = {f"sample {name}": values for name, values in self.sample.items()}
        np.savez(path, images=self.images, flat=self.flat, **scores, **sample)

    def queries(self, budget: int) -> tuple[Pixels, Ranking]:
        """The pixels to ask for, and how all pixels were ranked.

        Raises:
            UserError: there are fewer pixels than the budget.
        """
        if len(self.images) < budget:
            raise UserError(
                f"budget: the training images have {len(self.images)} unlabelled pixels, fewer than the {budget} of a "
                "round; lower `budgets` or `rounds`"
            )
        sampled = len(next(iter(self.sample.values())))
        scores = {name: np.concatenate([self.sample[name], values]) for name, values in self.scores.items()}
        ranking = Ranking(scores, np.arange(sampled, sampled + budget), np.arange(sampled))
        return Pixels(self.images, self.flat, next(iter(self.scores.values()))), ranking


def rank(
    positions: Iterable[int],
    split: Any,
    maps_of: MapSource,
    perturbed: DrawSource | None,
    head: Head,
    dropout_head: Head | None,
    labelled: Pixels,
    budget: int,
    round_number: int,
    settings: dict[str, Any],
    *,
    progress: Callable[[], object] = lambda: None,
) -> Best:
    """The ``budget`` pixels of some images that score highest; ties go to the first image and pixel.

    Args:
        positions: images in the split, ascending.
        split: the training split; its labels are read only to leave out ignored pixels (``avoid_ignored``).
        maps_of: native maps of the base draw by position.
        perturbed: native maps by position and draw 1…M; None if the score needs no draws.
        head: the head of the round before.
        dropout_head: a head trained with dropout, where the score samples it.
        labelled: the pixels labelled already, which are not asked again.
        budget: b.
        round_number: keys what is random, with the image's id.
        settings: the run's selection settings.
        progress: called after each image.
    """
    names = list(dict.fromkeys([settings["score"], *comparable(settings["score"])]))
    best = nothing = Best(
        *(np.zeros(0, dtype=np.int64) for _ in range(2)), *({name: np.zeros(0) for name in names} for _ in range(2))
    )
    for image in positions:
        labels, key = labels_of(split, image), (settings["seed"], round_number, split.ids[image])
        free = np.ones(labels.size, dtype=bool)
        free[labelled.flat[labelled.images == image]] = False
        if settings["avoid_ignored"]:
            free &= labels.reshape(-1) != IGNORED
        pixels = np.flatnonzero(free)
        if len(pixels):
            base = maps_of(image), maps_of.norms(image)
            numbers = range(1, 1 + settings["draws"]) if perturbed else ()
            draws = ((perturbed(image, number), perturbed.norms(image, number)) for number in numbers)
            predicted = predictions(base, draws, head, dropout_head, labels.shape, settings, key)
            found = _best_of(image, pixels, predicted, names, budget, settings, key)
        else:
            found = nothing
        best = Best.of([best, found], budget)
        progress()
    return best


def predictions(
    base: tuple[ImageMaps, torch.Tensor | None],
    draws: Iterable[tuple[ImageMaps, torch.Tensor | None]],
    head: Head,
    dropout_head: Head | None,
    size: tuple[int, int],
    settings: dict[str, Any],
    key: tuple[str | int, ...],
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Log-probabilities of every pixel of an image: of M samples ``[H·W, M, C]``, or None, and of the base.

    Of the base draw and of the draws 1…M: native maps, and their norms where they are stored.
    """

    def of(heads: Sequence[Head], maps: ImageMaps, norms: torch.Tensor | None) -> list[torch.Tensor]:
        return dense.log_probabilities(maps, heads, size, norms)

    samples = [each for draw in draws for each in of([head], *draw)]
    if dropout_head is not None:
        with sampling(dropout_head, torch_generator("dropout", *key)):
            samples = of([dropout_head] * settings["samples"], *base)
    return torch.stack(samples, dim=1) if samples else None, of([head], *base)[0]


def _best_of(
    image: int,
    pixels: np.ndarray,
    predicted: tuple[torch.Tensor | None, torch.Tensor],
    names: Sequence[str],
    budget: int,
    settings: dict[str, Any],
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
                weight=settings["weight"],
                generator=torch_generator("score", *key),
            )
            .cpu()
            .numpy()
        )

    own = scores(names[0], pixels)
    order = np.argsort(-own, kind="stable")[:budget]
    sampled = numpy_generator("sample", *key).choice(len(pixels), min(SAMPLED, len(pixels)), replace=False)
    kept = [{names[0]: own[at]} | {name: scores(name, pixels[at]) for name in names[1:]} for at in (order, sampled)]
    return Best(np.full(len(order), image), pixels[order], *kept)
