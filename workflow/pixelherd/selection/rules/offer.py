"""What every rule is given: the pixels to choose from, and all that is known before a round asks."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from pixelherd.compute.randomness import numpy_generator, seed_of, torch_generator
from pixelherd.heads.network import Head, log_probabilities
from pixelherd.selection.coverage.union import Union
from pixelherd.selection.settings import Round, used


@dataclass(frozen=True)
class Offer:
    """The n pixels that the training images offer in a round, the L that are labelled, and what a head makes of them.

    Rules speak of pixels by their rows in the union.

    Attributes:
        union: the listed pixels of all training images: vectors, images, places in the lists.
        current: the round; ``current.labelled`` are the labelled pixels with their labels.
        classes: C.
        head: of the round before. None in round 0, where the rule asks none, and where fewer than two classes have a
            label: such a head is sure everywhere.
    """

    union: Union
    current: Round
    classes: int
    head: Head | None = None

    @cached_property
    def labelled(self) -> np.ndarray:
        """Rows ``[L]`` of the labelled pixels, in the order of ``labels``."""
        return self.union.rows_of(self.current.labelled.images, self.current.labelled.flat)

    @property
    def labels(self) -> np.ndarray:
        """Labels ``[L]`` int64; 255 where nobody could tell."""
        return self.current.labelled.values.astype(np.int64)

    @cached_property
    def rows(self) -> np.ndarray:
        """Rows ``[n]`` that are offered, ascending: of each image's list the first K that are not labelled."""
        return self.union.offered(self.labelled, used(self.current.settings.listed))

    @cached_property
    def vectors(self) -> np.ndarray:
        """Vectors ``[n, D]`` float16 of the offered rows."""
        return np.asarray(self.union.vectors[self.rows])

    @property
    def predictor(self) -> Head:
        """The head, which is there for rules that say ``needs_head``.

        Raises:
            ValueError: there is none.
        """
        if self.head is None:
            raise ValueError("there is no head: a rule that asks one says `needs_head`")
        return self.head

    @cached_property
    def log_probs(self) -> torch.Tensor:
        """Log-probabilities ``[n, C]`` float32 of the offered rows, by the :attr:`predictor`."""
        return log_probabilities(self.predictor, self.vectors)

    def seed(self, purpose: str) -> int:
        """Seed of the round for a purpose, in [0, 2³²), as scikit-learn takes it."""
        return seed_of(*self._key(purpose)) % 2**32

    def generator(self, purpose: str) -> torch.Generator:
        """Return a CPU generator of torch of the round for a purpose."""
        return torch_generator(*self._key(purpose))

    def numpy_generator(self, purpose: str) -> np.random.Generator:
        """Return a generator of NumPy of the round for a purpose."""
        return numpy_generator(*self._key(purpose))

    def _key(self, purpose: str) -> tuple[int, str, int]:
        return self.current.settings.seed, purpose, self.current.number
