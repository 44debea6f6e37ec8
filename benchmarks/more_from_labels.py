"""What more the same labels give: self-training, masks that keep to edges, and the mirror image, from finished runs.

    snakemake runs --cores all --configfile STUDY
    python benchmarks/more_from_labels.py STUDY --self-training 0.2:0.5 --guided 4:0.001 --flip

takes the labels of the study's finished runs after their last round. By default heads learn those in four fifths of the
training images, images that follow each other, and predict the masks of the others: strengths are chosen so. With
--test they learn all labels and predict the test images, to report what was chosen. Prints mIoU in percent of the
default linear head, what each option adds to it (mean over runs, and its 95 % t-interval over seeds), and the seconds
of a fit with self-training and without.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from places import open_dataset, read_study, work_of
from scipy.stats import t as student
from torch import Tensor
from tqdm import tqdm

from pixelherd.datasets.classes import IGNORED
from pixelherd.datasets.dataset import Dataset
from pixelherd.datasets.pixels import LABEL_COLUMNS, Pixels, read_pixels
from pixelherd.features.backbones.manifest import load
from pixelherd.features.maps import StoredMaps, compute_joined, vectors_at
from pixelherd.heads import dense, linear
from pixelherd.heads.metrics import confusion, miou
from pixelherd.heads.network import Head
from pixelherd.heads.settings import LinearSettings, SelfTrainingSettings
from pixelherd.heads.sources import Labelled
from pixelherd.pipeline.inputs.work import Work
from pixelherd.results.prediction.edges import keep_to_edges
from pixelherd.storage.shards import Shards
from pixelherd.study import stages
from pixelherd.study.run import Run

FOLDS = 5

PLAIN = "linear head"

Change = Callable[[int, Tensor], Tensor]
"""Probabilities ``[C, H, W]`` of an image, by its position, made better."""


@dataclass(frozen=True)
class Setting:
    """A dataset with the maps of a features entry, as this script asks them."""

    work: Work
    dataset: Dataset
    name: str
    features: str
    classes: int

    def maps(self, split: str) -> StoredMaps:
        return StoredMaps(self.work.maps_index(self.name, self.features, split))

    def context(self) -> Shards:
        return Shards.open(self.work.maps_index(self.name, self.features, "train"))

    def labels(self, run: Run) -> Pixels:
        """All labels of a finished run."""
        paths, last = self.work.paths, self.work.study.rounds_of(run.method) - 1
        files = paths.until(paths.labels, run, last)
        return read_pixels(files, LABEL_COLUMNS, self.dataset.train.ids, self.dataset.size[1])


def vectors_of(setting: Setting, runs: list[Pixels]) -> list[np.ndarray]:
    """Vectors ``[n, D]`` float16 of the labels of many runs; each image is read once."""
    maps, found = setting.maps("train"), [dict[int, np.ndarray]() for _ in runs]
    for image in tqdm(np.unique(np.concatenate([each.images for each in runs])).tolist(), leave=False, disable=None):
        native = maps(image)
        for pixels, into in zip(runs, found, strict=True):
            places = np.flatnonzero(pixels.images == image)
            if len(places):
                vectors = vectors_at(native, pixels.flat[places], setting.dataset.size).half().numpy()
                into |= dict(zip(places.tolist(), vectors, strict=True))
    return [np.stack([each[place] for place in range(len(each))]) for each in found]


def unlabelled(context: Shards, images: np.ndarray, pixels: int) -> Labelled:
    """Context pixels of images, spread over their lists."""
    of_an_image = context.image("context_pixels", 0).shape[0]
    places = np.unique(np.linspace(0, of_an_image - 1, pixels).round().astype(int))
    vectors = np.concatenate([context.image("context", image)[places] for image in images.tolist()])
    return Labelled(vectors, np.repeat(images, len(places)), np.full(len(vectors), IGNORED))


def changes(options: argparse.Namespace, images: np.ndarray) -> dict[str, Change]:
    """What is done to the probabilities of an image, by name."""
    found: dict[str, Change] = {}
    for radius, epsilon in options.guided:
        found[f"guided filter {radius:g}:{epsilon:g}"] = lambda image, given, r=int(radius), e=epsilon: keep_to_edges(
            given, images[image], r, e
        )
    return found


def fits_of(
    setting: Setting, labels: Pixels, vectors: np.ndarray, learnt: np.ndarray, options: argparse.Namespace
) -> Iterator[tuple[str, Callable[[], linear.Fit]]]:
    """Fits of the default head to the labels in the images ``learnt``, and of what self-training makes of it."""
    rows = np.isin(labels.images, learnt)
    few = Labelled(vectors[rows], labels.images[rows], labels.values[rows].astype(np.int64))
    yield PLAIN, partial(linear.fit, few, setting.classes, LinearSettings())
    for share, weight, *more in options.self_training:
        rounds, pixels = map(int, more or (1, 32))
        asked = SelfTrainingSettings(share=share, weight=weight, rounds=rounds, pixels=pixels)
        others = unlabelled(setting.context(), learnt, pixels)
        settings = LinearSettings(self_training=asked)
        name = f"self-training {':'.join(format(each, 'g') for each in (share, weight, rounds, pixels))}"
        yield name, partial(linear.fit, few, setting.classes, settings, unlabelled=others)


def mirrored(setting: Setting, images: np.ndarray) -> Callable[[int], object]:
    """Native maps of the mirror images, by the network."""
    source = setting.work.study.features[setting.features].backbone
    settings = stages.maps(setting.work.study, setting.name, setting.features)
    network = load(source.stored(), device=torch.device("cpu"))
    return lambda image: compute_joined([network], np.ascontiguousarray(np.asarray(images[image])[:, ::-1]), settings)


def matrices(
    setting: Setting, runs: list[Run], options: argparse.Namespace
) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """Confusion matrices ``[runs, C, C]`` of the head alone and of each option, and the seconds of fits."""
    seconds: dict[str, list[float]] = {}
    labels, count = [setting.labels(run) for run in runs], len(setting.dataset.train)
    vectors, found = vectors_of(setting, labels), dict[str, np.ndarray]()
    split = setting.dataset.test if options.test else setting.dataset.train
    blocks = [np.arange(len(split))] if options.test else np.array_split(np.arange(count), FOLDS)
    maps, changed = setting.maps("test" if options.test else "train"), changes(options, split.images)
    flipped = mirrored(setting, split.images) if options.flip else None
    for predicted in tqdm(blocks, unit="fold", leave=False, disable=None):
        learnt = np.arange(count) if options.test else np.setdiff1d(np.arange(count), predicted)
        heads: list[tuple[int, str, Head]] = []
        for place, (own, of) in enumerate(zip(labels, vectors, strict=True)):
            for name, fit in fits_of(setting, own, of, learnt, options):
                began = perf_counter()
                heads.append((place, name, fit().head))
                seconds.setdefault(name, []).append(perf_counter() - began)
        for image in tqdm(predicted[:: options.every].tolist(), unit="image", leave=False, disable=None):
            truth = np.asarray(split.labels[image])
            native, every = maps(image), [head for _, _, head in heads]
            logits = dense.predict(native, every, setting.dataset.size)
            plain = [head for _, name, head in heads if name == PLAIN]
            other = iter(dense.predict(flipped(image), plain, setting.dataset.size)) if flipped else None
            for (place, name, _), each in zip(heads, logits, strict=True):
                answers = {name: each}
                if name == PLAIN:
                    chances = each.softmax(0)
                    answers |= {key: change(image, chances) for key, change in changed.items()}
                    if other:
                        mean = (chances + next(other).softmax(0).flip(2)) / 2
                        answers["mirror image"] = mean
                        answers |= {f"mirror image, {key}": change(image, mean) for key, change in changed.items()}
                for key, values in answers.items():
                    counts = found.setdefault(key, np.zeros((len(runs), setting.classes, setting.classes), int))
                    counts[place] += confusion(truth, values.argmax(0).numpy().astype(np.uint8), setting.classes)
    return found, seconds


def interval(gains: list[float], confidence: float = 0.95) -> str:
    """Mean of gains and its t-interval."""
    mean, n = float(np.mean(gains)), len(gains)
    if n < 2:
        return f"{mean:+.2f}"
    half = student.ppf((1 + confidence) / 2, n - 1) * np.std(gains, ddof=1) / n**0.5
    return f"{mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(":")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--datasets", nargs="+", help="by default all")
    parser.add_argument("--methods", nargs="+", help="by default all but the reference")
    parser.add_argument("--seeds", type=int, nargs="+", help="by default all")
    parser.add_argument("--every", type=int, default=1, help="predict each so many-th image alone")
    parser.add_argument("--test", action="store_true", help="learn all labels and predict the test images")
    parser.add_argument("--self-training", type=numbers, nargs="+", default=[], metavar="SHARE:WEIGHT[:ROUNDS:PIXELS]")
    parser.add_argument("--guided", type=numbers, nargs="+", default=[], metavar="RADIUS:EPSILON")
    parser.add_argument("--flip", action="store_true", help="average with the mirror image's prediction")
    options = parser.parse_args()
    torch.set_num_threads(1)
    work = work_of(read_study(options.study))
    study = work.study
    print("| dataset | features | method | what | mIoU (%) | gain (95 % interval) | seconds a fit |")
    print("|---|---|---|---|---:|---:|---:|")
    for name, features in study.pairs():
        if options.datasets and name not in options.datasets:
            continue
        dataset, classes = open_dataset(work, name)
        setting = Setting(work, dataset, name, features, classes)
        for method in options.methods or [each for each in study.methods if study.score(each) != "full"]:
            runs = [
                each for each in study.runs() if (each.dataset, each.features, each.method) == (name, features, method)
            ]
            runs = [run for run in runs if options.seeds is None or run.seed in options.seeds]
            found, seconds = matrices(setting, runs, options)
            base = [100 * miou(each) for each in found[PLAIN]]
            for what, counts in found.items():
                values = [100 * miou(each) for each in counts]
                gain = "" if what == PLAIN else interval([a - b for a, b in zip(values, base, strict=True)])
                taken = f"{np.mean(seconds[what]):.2f}" if what in seconds else ""
                row = name, features, method, what, f"{np.mean(values):.1f}", gain, taken
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
