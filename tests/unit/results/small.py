"""Small finished runs whose tables can be worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from pixelherd.results.setups import RUN
from pixelherd.results.tables import runs

CLASSES = [{"name": "road", "colour": [128, 64, 128]}, {"name": "sky", "colour": [70, 130, 180]}]

METHODS = ["full", "random", "edald"]


def write_run(root: Path, method: str, miou: list[float], *, budget="0.1", seed=0, pixels=None, labels=None) -> Path:
    """A finished run with ten labelled pixels a round, all of class 0 unless ``labels`` gives some per round."""
    folder = root / "toy" / "ddpm" / method / f"budget-{budget}" / f"seed-{seed}"
    folder.mkdir(parents=True)
    run = {"dataset": "toy", "features": "ddpm", "method": method, "budget": budget, "seed": seed}
    facts = {"rounds": len(miou), "classes": CLASSES, "image_size": [24, 32], "images": {"train": 9, "test": 3}}
    facts["files"] = {}  # so that tests may change tables
    (folder / "run.json").write_text(json.dumps({"run": run, **facts}))
    pixels = pixels or [10 * (number + 1) for number in range(len(miou))]
    lines = ["round,labelled_pixels,miou,pixel_accuracy,mean_class_accuracy,iou_road,iou_sky"]
    lines += [f"{r},{n},{v},0.75,0.5,{v}," for r, (n, v) in enumerate(zip(pixels, miou, strict=True))]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    if method != "full":
        for number in range(len(miou)):
            answers = labels[number] if labels else [0] * 10
            rows = [f"{number},007,{row},3,{label}" for row, label in enumerate(answers)]
            (folder / f"round-{number}").mkdir()
            text = "\n".join(["round,image,row,column,label", *rows]) + "\n"
            (folder / f"round-{number}" / "labels.csv").write_text(text)
    return folder


def write_study(root: Path) -> list[Path]:
    """Two methods, two budgets, the reference; random has one seed."""
    return [
        write_run(root, "edald", [0.2, 0.4, 0.5], seed=0, labels=[[0, 1, 255], [1], [0, 0]]),
        write_run(root, "edald", [0.2, 0.4, 0.7], seed=1, labels=[[1, 1, 1], [1], [0, 0]]),
        write_run(root, "random", [0.1, 0.2, 0.3]),
        write_run(root, "random", [0.1, 0.2, 0.3], budget="0.05"),
        write_run(root, "full", [0.8], budget="all", seed=0, pixels=[4000]),
        write_run(root, "full", [0.9], budget="all", seed=1, pixels=[4000]),
    ]


def row(table: pd.DataFrame, **where) -> pd.Series:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def metrics_of(areas: dict, full: list[float] = (), rounds: int = 2) -> pd.DataFrame:
    """Runs whose mIoU is the same in all rounds, so that this is their area; or one value a round."""
    rows = []
    for method, seeds in [*areas.items(), *([("full", dict(enumerate(full)))] if full else [])]:
        for seed, values in seeds.items():
            count = 1 if method == "full" else rounds
            for number, miou in enumerate(np.broadcast_to(values, count)):
                budget = "all" if method == "full" else "0.1"
                pixels = 4000 if method == "full" else 10 * (number + 1)
                rows.append(["toy", "ddpm", budget, method, seed, number, pixels, float(miou), 0.5, 0.5])
    return pd.DataFrame(rows, columns=[*RUN, "round", "labelled_pixels", *runs.MEASURES])
