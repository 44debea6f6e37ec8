"""How many images a dataset has that nobody has looked at before."""

from pathlib import Path

from pixelherd.datasets import originals
from pixelherd.datasets.settings import DatasetSettings

NOWHERE = Path("no", "cache", "originals.json")


def counts(settings: DatasetSettings) -> dict[str, int]:
    """Return the number of images of each split."""
    return originals.counts(settings, NOWHERE)[0]


def is_labelled(settings: DatasetSettings) -> bool:
    """Return whether training images have masks."""
    return originals.counts(settings, NOWHERE)[1]
