"""Random generators keyed by what they are for, so that results depend on neither job order nor job size."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_of(*key: str | int) -> int:
    """Map a key such as ``(seed, "candidates", "image-7")`` to a 63-bit seed, the same on every machine."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def numpy_generator(*key: str | int) -> np.random.Generator:
    """A NumPy generator of its own for ``key``."""
    return np.random.default_rng(seed_of(*key))


def torch_generator(*key: str | int) -> "torch.Generator":
    """A torch CPU generator of its own for ``key``; draws are made on the CPU, so devices do not change them."""
    import torch

    return torch.Generator().manual_seed(seed_of(*key))
