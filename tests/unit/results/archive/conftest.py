"""Small finished runs, sealed as real ones are."""

from pathlib import Path

import pytest

from pixelherd.datasets.pixels import EXPECTED_COLUMNS
from pixelherd.pipeline import seals
from pixelherd.selection.rankings import QUANTILES, SCORE_COLUMNS
from pixelherd.storage.files import write_csv
from pixelherd.study.run import Run
from unit.results import small

SETTINGS = {"selection": {"weight": 1.0}, "training": {"l2": 1e-05}}


class Results:
    """A folder of results that runs are added to."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, method: str, miou: list[float], *, settings=None, shift=0, image="007", **given) -> Path:
        """A sealed run whose queries lie ``shift`` pixels to the right; random has no score, hence no rows of them."""
        folder = small.write_run(self.root / "runs", method, miou, **given)
        if method == "full":
            write_csv(folder / "round-0" / "training.csv", ["iteration", "loss"], [[1, "0.50"]])
        for number in range(len(miou) if method != "full" else 0):
            rows = [[number, image, row, 3 + shift, row / 7] for row in range(10)]
            write_csv(folder / f"round-{number}" / "queries.csv", ["round", "image", "row", "column", "score"], rows)
            found = [] if method == "random" else [[number, method, "pool", 40, *[0.125] * len(QUANTILES)]]
            write_csv(folder / f"round-{number}" / "scores.csv", SCORE_COLUMNS, found)
            write_csv(folder / f"round-{number}" / "training.csv", ["iteration", "loss"], [[1, "0.50"], [2, "1e-05"]])
            (folder / f"round-{number}" / "head.safetensors").write_bytes(b"head" * 99)
        write_csv(folder / "expected.csv", EXPECTED_COLUMNS, [])
        (folder / "thumbnails.npz").write_bytes(b"pictures" * 99)
        run = Run("toy", "ddpm", method, given.get("budget", "0.1"), given.get("seed", 0))
        facts = {"classes": small.CLASSES, "image_size": [24, 32], "images": {"train": 9, "test": 3}}
        seals.seal(folder, run, settings or SETTINGS, len(miou), facts, "f" * 64)
        return folder


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results")


@pytest.fixture
def study(results):
    """Two methods with two seeds, and the reference."""
    for seed in (0, 1):
        results.add("edald", [0.2, 0.4, 0.5 + seed / 10], seed=seed)
        results.add("random", [0.1, 0.2, 0.3], seed=seed, image="=1+1")
    results.add("full", [0.8], budget="all", pixels=[4000])
    return results
