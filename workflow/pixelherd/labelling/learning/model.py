"""The live model: a head that is fitted again after each answer, and what it says of photographs and pixels.

Between checkpoints the head is fitted with the temperature of the last one. At a checkpoint it is fitted from scratch
on the rows of the study, in their order, as the rule `fit` does it: the bytes are the same.
"""

import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pixelherd.annotation.contradictions import contradictions
from pixelherd.compute.randomness import numpy_generator
from pixelherd.datasets.classes import IGNORED
from pixelherd.features.maps import vectors_at
from pixelherd.heads import linear, network
from pixelherd.heads.dense import predict
from pixelherd.heads.network import LinearHead
from pixelherd.heads.settings import LinearSettings
from pixelherd.heads.sources import Labelled
from pixelherd.labelling.learning.reading import POOL, Known, Reader
from pixelherd.labelling.state import Row
from pixelherd.labelling.store import Place
from pixelherd.selection import acquisition
from pixelherd.selection.coverage.herding import herd, median_bandwidth
from pixelherd.selection.coverage.similarities import Similarities
from pixelherd.study import stages
from pixelherd.study.run import Run
from pixelherd.study.study import Study

MEMORY = 200 * 10**6
"""Bytes for kernel values of the pool."""

SURE = 0.9
"""Probability of another class from which on the model contradicts an answer strongly."""


@dataclass(frozen=True)
class Belief:
    """What the model thinks of a pixel that it proposes to ask.

    Attributes:
        place: the pixel.
        label: position of the likeliest class among those that the head was fitted for; None before there is a head.
        probability: of that class.
    """

    place: Place
    label: int | None
    probability: float


@dataclass(frozen=True)
class Pool:
    """Pixels that questions are chosen from.

    Attributes:
        places: the pixels.
        vectors: ``[n, D]`` float16 of these.
        bandwidth: σ of the kernel over them.
        photographs: of how many photographs it was made.
    """

    places: list[Place]
    vectors: np.ndarray
    bandwidth: float
    photographs: int


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint found.

    Attributes:
        rounds: that the study has.
        temperature: T of the head.
        doubtful: answers that a fit without their photographs contradicts strongly, with the position of the class that
            it gives them instead.
        moved: share of sampled pixels whose class is another than at the checkpoint before; None at the first.
    """

    rounds: int
    temperature: float
    doubtful: list[tuple[Place, int]]
    moved: float | None


class Model:
    """What is known of photographs, and the head that predicts them.

    Args:
        reader: reads photographs.
        size: (H, W) of prepared images.
    """

    def __init__(self, reader: Reader, size: tuple[int, int]) -> None:
        self.reader, self.size = reader, size
        self.known: dict[str, Known] = {}
        self.head: LinearHead | None = None
        self.temperature: float | None = None
        self._vectors: dict[Place, np.ndarray] = {}
        self._pool: Pool | None = None
        self._before: tuple[int, dict[str, np.ndarray]] | None = None

    # Vectors of pixels.

    def vectors(self, places: Sequence[Place]) -> np.ndarray:
        """Return ``[n, D]`` float16 of pixels of photographs that are known; each photograph's maps are read once."""
        missing: dict[str, list[Place]] = {}
        for place in dict.fromkeys(places):
            if place not in self._vectors:
                missing.setdefault(place[0], []).append(place)
        for name, wanted in missing.items():
            flat = np.array([row * self.size[1] + column for _, row, column in wanted])
            found = vectors_at(self.reader.maps(self.known[name].key), flat, self.size).half().numpy()
            self._vectors |= dict(zip(wanted, found, strict=True))
        return np.stack([self._vectors[place] for place in places])

    def labelled(self, rows: Sequence[Row], order: Sequence[str]) -> Labelled:
        """Return rows as a fit takes them.

        Args:
            rows: of photographs that are known.
            order: all photographs as the study has them.
        """
        position = {name: number for number, name in enumerate(order)}
        images = np.array([position[row[0]] for row in rows], dtype=np.int64)
        return Labelled(self.vectors([row[:3] for row in rows]), images, np.array([row[3] for row in rows]))

    def forget(self, name: str) -> bool:
        """Forget a photograph that is gone, or whose file is another; returns whether it was known."""
        if self.known.pop(name, None) is None:
            return False
        self._vectors = {place: vector for place, vector in self._vectors.items() if place[0] != name}
        self._pool = None
        return True

    # The head.

    def fit(self, rows: Sequence[Row], order: Sequence[str], classes: int, settings: LinearSettings) -> bool:
        """Fit the head to what may be learnt of photographs that are known; returns whether there is a head."""
        found = [row for row in rows if row[0] in self.known]
        if not any(row[3] != IGNORED for row in found):
            self.head = None
            return False
        labelled = self.labelled(found, order)
        self.head = linear.fit(labelled, classes, settings, temperature=self.temperature or 1.0).head
        return True

    def log_probabilities(self, vectors: np.ndarray) -> torch.Tensor:
        """Return ``[n, C]`` of the head; there is one."""
        assert self.head is not None
        return network.log_probabilities(self.head, np.asarray(vectors, np.float32))

    def right(self, rows: Iterable[Row]) -> tuple[int, int]:
        """Return how many rows the head predicts as they say, and of how many it can: those of a class."""
        found = [row for row in rows if row[0] in self.known and row[3] != IGNORED]
        if not found or self.head is None:
            return 0, 0
        predicted = self.log_probabilities(self.vectors([row[:3] for row in found])).argmax(1).numpy()
        return int((predicted == np.array([row[3] for row in found])).sum()), len(found)

    def paint(self, name: str, ids: Sequence[int]) -> bytes | None:
        """Return what the head predicts in a photograph as a PNG of (H, W); None before there is a head.

        Its red is the number of the likeliest class, its green the probability of that, 255 for 1, and its blue the
        number of the second class.

        Args:
            name: of a photograph that is known.
            ids: numbers of the classes by their positions.
        """
        if self.head is None or name not in self.known:
            return None
        logits = predict(self.reader.maps(self.known[name].key), [self.head], self.size)[0]
        numbers = torch.tensor([*ids], dtype=torch.uint8)
        chances, labels = logits.softmax(0).topk(min(2, len(logits)), dim=0)
        sure = (255 * chances[0]).round().to(torch.uint8)
        picture = torch.stack([numbers[labels[0]], sure, numbers[labels[-1]]], dim=2)
        content = io.BytesIO()
        Image.fromarray(picture.numpy()).save(content, "PNG", compress_level=1)
        return content.getvalue()

    def doubt(self, name: str) -> float:
        """Return how unsure the head is of a photograph: 1 minus the mean probability of the likeliest class."""
        chances = self.log_probabilities(self.known[name].sampled).exp().amax(1)
        return 1 - float(chances.mean())

    # Questions.

    def propose(self, count: int, labelled: Sequence[Place], taken: Collection[Place]) -> list[Belief]:
        """Return pixels to ask next, the best first: Uncertainty Herding, or coverage as long as it has no head.

        Args:
            count: how many.
            labelled: pixels that have answers.
            taken: pixels that are asked now or were left open, which shall not be asked again.
        """
        if not self.known:
            return []
        pool, without = self._pooled(), {*labelled, *taken}
        rows = np.array([row for row, place in enumerate(pool.places) if place not in without], dtype=np.int64)
        if not len(rows):
            return []
        vectors = np.asarray(pool.vectors[rows], np.float32)
        chances = self.log_probabilities(vectors).exp() if self.head is not None else None
        weights = None
        if chances is not None and int(self.head.known.sum()) > 1:  # type: ignore[union-attr]
            margin = acquisition.score("margin", None, base=chances.log())
            weights = (1 + margin).clamp(min=torch.finfo(torch.float32).tiny).numpy()
        seen = [place for place in without if place[0] in self.known]
        covered = self.vectors(seen) if seen else None
        chosen = herd(
            Similarities(vectors, pool.bandwidth, "rbf", MEMORY), count, covered=covered, weights=weights
        ).indices.tolist()
        if chances is None:
            return [Belief(pool.places[rows[row]], None, 0.0) for row in chosen]
        sure, labels = chances[chosen].max(1)
        beliefs = zip(chosen, labels.tolist(), sure.tolist(), strict=True)
        return [Belief(pool.places[rows[row]], label, probability) for row, label, probability in beliefs]

    def _pooled(self) -> Pool:
        """The first pixels of the lists of all photographs that are known, as many of each as the pool has room for."""
        count = len(self.known)
        if self._pool is not None and self._pool.photographs <= count < 1.1 * self._pool.photographs + 1:
            return self._pool
        names = list(self.known)
        if count > POOL:
            names = [names[place] for place in numpy_generator("pool", count).choice(count, POOL, replace=False)]
        share = max(POOL // len(names), 1)
        places: list[Place] = []
        for name in names:
            flat = self.known[name].pixels[:share].tolist()
            places += [(name, each // self.size[1], each % self.size[1]) for each in flat]
        vectors = np.concatenate([self.known[name].vectors[:share] for name in names])
        self._pool = Pool(places, vectors, median_bandwidth(vectors.astype(np.float32), least=100), count)
        return self._pool

    # Checkpoints.

    def checkpoint(
        self, study: Study, run: Run, rounds: Sequence[Sequence[Row]], order: Sequence[str], path: Path
    ) -> Checkpoint:
        """Fit the head of the last round from scratch, as Snakemake will, and write it.

        Args:
            study: that was written.
            run: of it.
            rounds: what each round learns, of photographs that are known.
            order: all photographs as the study has them.
            path: of the head.

        Raises:
            UserError: as :func:`pixelherd.heads.linear.fit`.
        """
        rows, classes = [row for each in rounds for row in each], len(stages.class_names(study, run.dataset))
        settings = study.head_of(run.method)
        assert isinstance(settings, LinearSettings)
        labelled = self.labelled(rows, order)
        fitted = linear.fit(labelled, classes, settings)
        facts = {"run": stages.identity(study, run), "round": len(rounds) - 1, "labelled_pixels": labelled.count}
        network.save(fitted.head, path, {**facts, **fitted.facts()})
        self.head, self.temperature = fitted.head, fitted.temperature
        found = contradictions(labelled, classes, settings)
        strong = found.confidence >= SURE
        pairs = zip(found.places[strong].tolist(), found.predicted[strong].tolist(), strict=True)
        return Checkpoint(
            len(rounds), fitted.temperature, [(rows[at][:3], label) for at, label in pairs], self._moved(classes)
        )

    def _moved(self, classes: int) -> float | None:
        """The share of sampled pixels whose class is another than the last time, if classes are as many as then."""
        now = {name: self.log_probabilities(each.sampled).argmax(1).numpy() for name, each in self.known.items()}
        before, self._before = self._before, (classes, now)
        if before is None or before[0] != classes:
            return None
        pairs = [(before[1][name], labels) for name, labels in now.items() if name in before[1]]
        return float(np.mean([(old != new).mean() for old, new in pairs])) if pairs else None
