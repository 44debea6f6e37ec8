"""Labelling by a person, acted by a browser: what a page costs, and how long the machine takes between two pages.

    python benchmarks/annotation.py page --camvid data/camvid
    python benchmarks/annotation.py walk --camvid data/camvid --backbone data/backbones/camvid-ddpm --train 48
    python benchmarks/annotation.py scenes photos
    python benchmarks/annotation.py pictures docs

``page`` makes a page of 500 queries over 300 images of CamVid, with a prediction to lay over each, and answers all of
them in headless Chromium: size, seconds until the first pixel is shown, milliseconds from a key to the next pixel.

``walk`` is the walk of docs/own-images.md without a person: a folder of images without masks, a
study with `oracle: csv`, and for each round a browser that opens the page, presses the key of the class that CamVid's
mask has, downloads labels.csv and puts it where the study waits for it. It tells the seconds from the saved answers to
the next page, and whether the last head is, byte for byte, that of `oracle: masks`.

``scenes`` draws images to try `studies/own-images.yaml` with; ``pictures`` walks through that study on such scenes and
makes the pictures of docs/own-images.md.

All but ``scenes`` need playwright and a Chromium (`pip install -e '.[browser]'`, Debian's package chromium).
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from places import REPOSITORY, read_study

from pixelherd.annotation.page import KEYS, Questions, Shown
from pixelherd.annotation.page import page as page_of
from pixelherd.datasets.pixels import CANNOT_TELL
from pixelherd.datasets.prepare import classes_of, samples_of
from pixelherd.datasets.readers.demo import scene
from pixelherd.datasets.settings import CamVidSettings

TEMPLATE = REPOSITORY / "workflow" / "report" / "annotation.html.j2"
SIZE = (128, 128)
SCENE = (192, 192)
NOW = "(() => { const [image, ...at] = content.asked[now()]; return [content.images[image].id, ...at] })()"
PRESS = """async key => {
    const start = performance.now();
    document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    const wanted = String(now());
    while (document.body.dataset.drawn !== wanted) await new Promise(resolve => setTimeout(resolve, 0));
    return performance.now() - start;
}"""


@contextmanager
def chromium() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_context(accept_downloads=True).new_page()
        page.on("pageerror", lambda error: sys.exit(f"the page has an error: {error}"))
        yield page
        browser.close()


def key_of(label: int) -> str:
    return "0" if label == CANNOT_TELL else KEYS[label]


def page(options: argparse.Namespace) -> None:
    settings = CamVidSettings(kind="camvid", root=str(options.camvid), size=SIZE)
    found, classes = samples_of(settings)["train"], classes_of(settings)
    generator = np.random.default_rng(0)
    chosen = [found[place] for place in np.linspace(0, len(found) - 1, options.images).astype(int)]
    images = [Shown(each.id, each.load()[0], generator.integers(0, 11, SIZE)) for each in chosen]
    asked = [
        (chosen[number % options.images].id, *generator.integers(0, 128, 2).tolist())
        for number in range(options.queries)
    ]
    start = time.perf_counter()
    text = page_of(TEMPLATE.read_text(), Questions("camvid", 1, asked, SIZE, classes, "labels.csv"), images)
    made = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        path = Path(folder) / "page.html"
        path.write_text(text, encoding="utf-8")
        browser.goto(path.as_uri())
        browser.wait_for_selector("body[data-drawn]")
        first = browser.evaluate("performance.now()") / 1000
        took = [browser.evaluate(PRESS, key_of(number % 11)) for number in range(options.queries)]
        browser.reload()
        browser.wait_for_selector("body[data-drawn]")
        again = browser.evaluate("performance.now()") / 1000
        assert browser.inner_text("#counts") == f"{options.queries} of {options.queries} answered"
    print(
        f"{options.queries} queries over {options.images} images of {images[0].image.width}x{images[0].image.height}:"
    )
    print(f"page of {len(text.encode()) / 1e6:.1f} MB, made in {made:.1f} s")
    print(f"first pixel shown after {first:.2f} s; after a reload with all answers {again:.2f} s")
    print(f"from a key to the next pixel: median {np.median(took):.1f} ms, 99 % {np.quantile(took, 0.99):.1f} ms")


def walk(options: argparse.Namespace) -> None:
    folder = options.folder or Path(tempfile.mkdtemp(prefix="pixelherd-"))
    truth = make_images(options, folder / "data")
    study = study_of(options, folder, "csv")
    waits = []
    with chromium() as browser:
        while True:
            start = time.perf_counter()
            done = run(folder, study)
            waits.append(time.perf_counter() - start)
            lines = [line for line in done.stderr.splitlines() if line.startswith("pixelherd: ")]
            print(f"{waits[-1]:6.1f} s  {' '.join(lines) or 'the study is finished'}", flush=True)
            if not lines:
                break
            (asked,) = (line.split(" for labels in ")[1].split("; open ")[0] for line in lines)
            answer(browser, Path(asked).parent, truth)
    print(f"from saved answers to the next page: {', '.join(f'{each:.0f}' for each in waits[1:-1])} s")
    start = time.perf_counter()
    run(folder, study_of(options, folder, "masks"))
    print(f"the same by masks, from the start: {time.perf_counter() - start:.0f} s")
    same = last_head(folder / "csv.yaml").read_bytes() == last_head(folder / "masks.yaml").read_bytes()
    print(f"the last heads are {'the same, byte for byte' if same else 'DIFFERENT'}; everything is in {folder}")
    sys.exit(0 if same else 1)


def last_head(path: Path) -> Path:
    """The head of the last round of a study's only run."""
    study = read_study(path)
    return Path(study.paths.of_round(study.paths.head, study.runs()[0], study.rounds - 1))


def make_images(options: argparse.Namespace, root: Path) -> dict[str, np.ndarray]:
    """Images of CamVid spread over its training split, with masks in a folder of their own; returns the masks' labels
    at the prepared size, by image."""
    settings = CamVidSettings(kind="camvid", root=str(options.camvid), size=SIZE)
    found, truth = samples_of(settings)["train"], {}
    for place in np.linspace(0, len(found) - 1, options.train).astype(int):
        image, labels = found[place].load()
        for part, content in (("images", image), ("masks", Image.fromarray(labels))):
            path = root / part / f"{found[place].id}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            content.save(path)
        truth[found[place].id] = np.asarray(Image.fromarray(labels).resize(SIZE[::-1], Image.Resampling.NEAREST))
    return truth


def study_of(options: argparse.Namespace, folder: Path, kind: str) -> Path:
    """Write the study file; both kinds have the same images, but only one has their masks."""
    names = [each.name for each in classes_of(CamVidSettings(kind="camvid", root=str(options.camvid), size=SIZE))]
    images = {"kind": "folder", "root": str(folder / "data"), "size": list(SIZE), "train_images": "images"}
    images |= {"classes": [{"name": name} for name in names]}
    study = {
        "datasets": {"camvid": images | ({"train_masks": "masks"} if kind == "masks" else {})},
        "features": {
            "ddpm": {"backbone": str(options.backbone.resolve()), "timesteps": [50, 150, 250], "blocks": [1, 3, 5, 7]}
        },
        "candidates": {"pixels": 2500, "avoid_ignored": False},
        "methods": {"edald": None},
        "budgets": [options.budget],
        "rounds": options.rounds,
        "oracle": kind,
        "results": str(folder / kind),
        "cache": str(folder / f"cache-{kind}"),
        "images_per_job": 48,
    }
    path = folder / f"{kind}.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def run(folder: Path, study: Path, *targets: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "snakemake", *targets, "--cores", "all", "--directory", str(folder)]
    command += ["--configfile", str(study)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-4000:])
    return done


def answer(browser, folder: Path, truth: dict[str, np.ndarray]) -> None:
    """Label a round's page as the masks say, and save what it gives where the study waits for it."""
    browser.goto((folder / "page.html").as_uri())
    browser.wait_for_selector("body[data-drawn]")
    for _ in range(browser.evaluate("order.length")):
        image, row, column = browser.evaluate(NOW)
        browser.keyboard.press(key_of(int(truth[image][row, column])))
    with browser.expect_download() as download:
        browser.click("#download")
    download.value.save_as(folder / "labels.csv")


def scenes(options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Draw scenes as files; returns their labels at the size of `studies/own-images.yaml`, by image."""
    options.folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for number in range(options.first, options.first + options.number):
        image, labels = scene(0, number, SCENE)
        Image.fromarray(image).save(options.folder / f"street-{number:04}.png")
        truth[f"street-{number:04}"] = labels
    return truth


def pictures(options: argparse.Namespace) -> None:
    """The page in its fourth round with the prediction over the image, the report, and masks of images that nobody
    labelled."""
    folder = Path(tempfile.mkdtemp(prefix="pixelherd-"))
    truth = scenes(argparse.Namespace(folder=folder / "photos", first=0, number=40))
    scenes(argparse.Namespace(folder=folder / "more-photos", first=1000, number=4))
    study = yaml.safe_load((REPOSITORY / "studies" / "own-images.yaml").read_text()) | {"rounds": 4}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    asking = read_study(folder / "study.yaml")
    with chromium() as browser:
        browser.set_viewport_size({"width": 1180, "height": 700})
        for number in range(4):
            run(folder, folder / "study.yaml")
            page = folder / asking.paths.of_round(asking.paths.page, asking.runs()[0], number)
            browser.goto(page.as_uri())
            browser.wait_for_selector("body[data-drawn]")
            browser.keyboard.press(".")
            browser.wait_for_timeout(500)
            browser.screenshot(path=options.folder / "annotation-page.png")
            answer(browser, page.parent, truth)
        run(folder, folder / "study.yaml")
        browser.set_viewport_size({"width": 1280, "height": 800})
        browser.goto((folder / asking.paths.report).as_uri())
        browser.screenshot(path=options.folder / "own-images-report.png")
    run(folder, folder / "study.yaml", "predict")
    sheet = Image.new("RGB", (4 * 200 - 8, 2 * 200 - 8), "white")
    for column, path in enumerate(sorted((folder / "more-photos").iterdir())):
        for row, shown in enumerate((path, folder / "predictions" / "overlays" / f"{path.stem}.jpg")):
            with Image.open(shown) as image:
                sheet.paste(image.convert("RGB"), (200 * column, 200 * row))
    sheet.save(options.folder / "predicted-masks.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, act in (("page", page), ("walk", walk)):
        command = commands.add_parser(name)
        command.set_defaults(act=act)
        command.add_argument("--camvid", type=Path, default=Path("data/camvid"), help="folder CamVid")
        if act is page:
            command.add_argument("--images", type=int, default=300)
            command.add_argument("--queries", type=int, default=500)
        else:
            command.add_argument("--backbone", type=Path, default=Path("data/backbones/camvid-ddpm"))
            command.add_argument("--train", type=int, default=48, help="images in the folder")
            command.add_argument("--budget", type=int, default=20, help="pixels a round")
            command.add_argument("--rounds", type=int, default=3)
            command.add_argument("--folder", type=Path, help="where to work; a new temporary folder by default")
    command = commands.add_parser("scenes")
    command.set_defaults(act=scenes)
    command.add_argument("folder", type=Path)
    command.add_argument("--first", type=int, default=0, help="number of the first scene")
    command.add_argument("--number", type=int, default=40, help="how many scenes")
    command = commands.add_parser("pictures")
    command.set_defaults(act=pictures)
    command.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.act(options)


if __name__ == "__main__":
    main()
