"""Draw how masks grow with labels: test photographs as the heads of one finished run see them.

    R=results/runs/camvid/photo/rare_herding/budget-0.1/seed-106
    python benchmarks/growth.py $R data/camvid/test docs/growth.png

makes rows of a photograph, its mask by the heads of some rounds, and the mask of the data set, with the number of
labels above. With `--animation docs/growth.webp` the masks of all rounds, laid over the photographs, follow each other
there. Run it where the study ran, so that what its seal names is found.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pixelherd import Predictor
from pixelherd.results.figures.overlays import class_colours

GAP, HEAD = 4, 18

SECONDS, LAST_SECONDS, OPACITY = 0.9, 3.0, 0.6
"""How long a frame of the animation and its last one stay, and how much masks cover."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument(
        "images", type=Path, help="folder of photographs; that of their masks has `annot` behind its name"
    )
    parser.add_argument("picture", type=Path)
    parser.add_argument("--rounds", type=int, nargs="+", default=[0, 2, 9], help="whose heads (default: 0 2 9)")
    parser.add_argument("--shown", type=int, default=3, help="photographs, evenly of the folder (default: 3)")
    parser.add_argument("--width", type=int, default=240, help="of each in pixels (default: 240)")
    parser.add_argument("--animation", type=Path, help="where to write an animation, as WebP")
    options = parser.parse_args()
    predictors = [Predictor.load(options.run, round_number=number, device="cpu") for number in options.rounds]
    labels = [labels_until(options.run, number) for number in options.rounds]
    titles = ["photograph", *(f"{count} labels" for count in labels), "by hand"]
    colours, paths = class_colours(predictors[0].classes), sorted(options.images.iterdir())
    places = np.linspace(0, len(paths), options.shown, endpoint=False).astype(int)
    rows = [row_of(paths[place], predictors, colours) for place in places]
    height = round(options.width * rows[0][0].height / rows[0][0].width)
    down, along = height + GAP, options.width + GAP
    sheet = Image.new("RGB", (len(titles) * along - GAP, HEAD + len(rows) * down - GAP), "white")
    write = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        write.text((column * along, 2), title, fill="black")
        for number, row in enumerate(rows):
            how = Image.Resampling.NEAREST if column else Image.Resampling.LANCZOS
            sheet.paste(row[column].resize((options.width, height), how), (column * along, HEAD + number * down))
    sheet.quantize(192, dither=Image.Dither.NONE).save(options.picture, optimize=True)
    if options.animation:
        animate(options, [paths[place] for place in places])


def animate(options: argparse.Namespace, paths: list[Path]) -> None:
    """Write the masks of all rounds over photographs side by side, a frame a round."""
    rounds = range(sum(1 for _ in options.run.glob("round-*")))
    predictors = [Predictor.load(options.run, round_number=number, device="cpu") for number in rounds]
    colours, frames = class_colours(predictors[0].classes), []
    photographs = [Image.open(path).convert("RGB") for path in paths]
    height = round(options.width * photographs[0].height / photographs[0].width)
    for number, predictor in zip(rounds, predictors, strict=True):
        frame = Image.new("RGB", (len(paths) * (options.width + GAP) - GAP, HEAD + height), "white")
        ImageDraw.Draw(frame).text((0, 2), f"{labels_until(options.run, number)} labelled pixels", fill="black")
        for along, (path, photograph) in enumerate(zip(paths, photographs, strict=True)):
            seen = Image.blend(photograph, Image.fromarray(colours[predictor(path)]), OPACITY)
            frame.paste(
                seen.resize((options.width, height), Image.Resampling.LANCZOS), (along * (options.width + GAP), HEAD)
            )
        frames.append(frame)
    stay = [round(1000 * SECONDS)] * (len(frames) - 1) + [round(1000 * LAST_SECONDS)]
    frames[0].save(
        options.animation, save_all=True, append_images=frames[1:], duration=stay, loop=0, quality=80, method=6
    )


def labels_until(run: Path, last: int) -> int:
    """Labels of a run's rounds as far as the given one."""
    files = [run / f"round-{number}" / "labels.csv" for number in range(last + 1)]
    return sum(len(file.read_text().splitlines()) - 1 for file in files)


def row_of(path: Path, predictors: list[Predictor], colours: np.ndarray) -> list[Image.Image]:
    with (
        Image.open(path) as photograph,
        Image.open(path.parent.with_name(f"{path.parent.name}annot") / path.name) as mask,
    ):
        masks = [*(predictor(path) for predictor in predictors), np.asarray(mask)]
        return [photograph.convert("RGB"), *(Image.fromarray(colours[each]) for each in masks)]


if __name__ == "__main__":
    main()
