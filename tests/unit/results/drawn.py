"""Small finished runs of random numbers, with everything that figures are drawn from."""

import json
from pathlib import Path

import numpy as np

from pixelherd.annotation import stopping
from pixelherd.selection import rankings

CLASSES = [
    {"name": "road", "colour": [128, 64, 128]},
    {"name": "sky", "colour": [70, 130, 180]},
    {"name": "traffic_sign", "colour": [220, 220, 0]},
]

SIZE = (24, 32)

METHODS = ["random", "edald"]


def write_run(root: Path, method: str, *, features="ddpm", budget="0.1", seed=0, rounds=3) -> Path:
    """A finished run of random numbers, the same for the same arguments."""
    generator = np.random.default_rng([len(method), seed])
    folder = root / "toy" / features / method / f"budget-{budget}" / f"seed-{seed}"
    folder.mkdir(parents=True)
    run = {"dataset": "toy", "features": features, "method": method, "budget": budget, "seed": seed}
    facts = {"run": run, "rounds": rounds, "classes": CLASSES, "image_size": SIZE, "images": {"train": 9, "test": 3}}
    facts["files"] = {}  # so that tests may change tables
    (folder / "run.json").write_text(json.dumps(facts))
    lines = ["round,labelled_pixels,miou,pixel_accuracy,mean_class_accuracy,iou_road,iou_sky,iou_traffic_sign"]
    for number in range(rounds):
        values = generator.uniform(0.2, 0.9, 6)
        lines.append(f"{number},{6 * (number + 1)}," + ",".join(f"{value:.6f}" for value in values))
        if method != "full":
            answers = ["round,image,row,column,label"]
            for image in generator.choice(["a", "b"], 6):
                place = f"{generator.integers(SIZE[0])},{generator.integers(SIZE[1])}"
                answers.append(f"{number},{image},{place},{generator.choice([0, 1, 2, 255])}")
            (folder / f"round-{number}").mkdir()
            (folder / f"round-{number}" / "labels.csv").write_text("\n".join(answers) + "\n")
            ranked = number > 0 and method == "edald"
            scores = {name: generator.random(30) for name in ("edald", "dald")} if ranked else {}
            ranking = rankings.Ranking(scores, np.arange(6))
            rankings.write_scores(folder / f"round-{number}" / "scores.csv", number, ranking)
            settled = stopping.Stability(*((0.5, 0.4) if number else (np.nan, np.nan)), 1.5)
            stopping.write(folder / f"round-{number}" / "stopping.csv", number, 6 * number + 6, 0, settled)
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    arrays = {}
    for split, ids in (("train", ["a", "b"]), ("queried", [] if method == "full" else ["d"]), ("test", ["c"])):
        shape = (len(ids), *SIZE)
        arrays[f"{split}_ids"] = np.array(ids)
        arrays[f"{split}_images"] = generator.integers(0, 256, (*shape, 3), dtype=np.uint8)
        arrays[f"{split}_truth"] = generator.choice(np.array([0, 1, 2, 255], np.uint8), shape)
        arrays[f"{split}_prediction"] = generator.integers(0, 3, shape, dtype=np.uint8)
    if "dald" in method:
        arrays["train_edald"] = generator.random((2, *SIZE)).astype(np.float16)
    elif method == "full":
        arrays["train_entropy"] = generator.random((2, *SIZE)).astype(np.float16)
    np.savez(folder / "thumbnails.npz", **arrays)
    return folder


def write_own_run(root: Path) -> Path:
    """A finished run whose labels a person gave, without test images; two answers contradict the model."""
    folder = write_run(root, "edald")
    seal = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(seal | {"images": {"train": 9, "test": 0}, "masks": False}))
    head, *rows = (folder / "metrics.csv").read_text().splitlines()
    rows = [",".join([*row.split(",")[:2], *[""] * 6]) for row in rows]
    (folder / "metrics.csv").write_text("\n".join([head, *rows]) + "\n")
    arrays = dict(np.load(folder / "thumbnails.npz"))
    arrays |= {f"test_{part}": arrays[f"test_{part}"][:0] for part in ("ids", "images", "truth", "prediction")}
    arrays |= {
        "contradicted_ids": np.array(["a", "b"]),
        "contradicted_pixels": np.array([[3, 30, 0, 2], [20, 4, 1, 0]], np.int32),
        "contradicted_confidence": np.array([0.91, 0.6], np.float32),
        "contradicted_images": arrays["train_images"],
        "contradicted_told": np.array(14),
    }
    np.savez(folder / "thumbnails.npz", **arrays)
    return folder


def write_study(root: Path) -> list[Path]:
    runs = [write_run(root, method, seed=seed) for method in METHODS for seed in (0, 1)]
    return [*runs, write_run(root, "full", budget="all", rounds=1)]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
