"""The authors' schedule, which runs the U-Net for every query, epoch and evaluation, against pixelherd's.

Both sides do a round of edald on the first images of a finished study's dataset, one pixel of each labelled. The
authors' schedule is written out plainly: vectors of every pixel are built wherever they are needed, nothing is kept.
pixelherd's side calls the package as its jobs do. What an image (and in training an image and epoch) takes is then
counted up for the whole dataset and all rounds: with the schedule's bound of 50 epochs, and with the epochs that the
study's runs logged under the authors' stop rule. Herding the pool, which is the same work on both sides, and starting
processes are left out.

    python benchmarks/loop.py studies/camvid.yaml --train 10 --test 5
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch
from places import open_dataset, read_study, work_of
from torch.nn import functional as F

from pixelherd.compute.memory import keep_freed_memory
from pixelherd.compute.randomness import torch_generator
from pixelherd.features import extract
from pixelherd.features.backbones import manifest
from pixelherd.features.maps import compute, network_input, vectors_at
from pixelherd.features.perturbations import draw
from pixelherd.heads import dense, network, sources, training
from pixelherd.heads.settings import MlpSettings
from pixelherd.pipeline.inputs.work import Work
from pixelherd.selection import acquisition
from pixelherd.selection.coverage import herding, lists
from pixelherd.study import stages
from pixelherd.study.run import Run

METHOD, BOUND = "edald", 50
COLUMNS = ["side", "phase", "split", "done", "seconds", "forwards"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="study file with finished edald runs, whose dataset is in the cache")
    parser.add_argument("--train", type=int, default=10, help="training images to measure on")
    parser.add_argument("--test", type=int, default=5, help="test images to measure on")
    parser.add_argument("--epochs", type=int, default=2, help="epochs to measure")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("docs/loop.png"), help="picture")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()

    study = read_study(options.study)
    paths, runs = study.paths, [run for run in study.runs() if run.method == METHOD]
    finished = [run for run in runs if Path(paths.seal.format(run=run.path)).is_file()]
    logs = [log for run in finished for log in paths.until(paths.training_log, run, study.rounds - 1)]
    logged = float(np.mean([len(pd.read_csv(log)) for log in logs]))
    case = Case(work_of(study), finished[0], options)
    case.authors()
    case.pixelherd()

    table = pd.DataFrame(case.rows, columns=COLUMNS)
    images = {split: len(getattr(case.dataset, split)) for split in ("train", "test")}
    print(f"{images['train']} training and {images['test']} test images, {study.rounds} rounds of {METHOD};")
    print(
        f"measured on {options.train} and {options.test} images and {options.epochs} epochs, {options.threads} threads"
    )
    print("\nper image; training per image and epoch\n")
    print(table.to_markdown(index=False, floatfmt=".4f"))
    print("\nthe whole study of one run\n")
    queries = study.rounds - 1  # round 0 asks no head
    found, hours = [], {}
    for epochs, name in ((BOUND, f"{BOUND} (the bound)"), (logged, f"{logged:.1f} (logged)")):
        kinds = {"once": 1, "a round": study.rounds, "a query": queries, "an epoch": study.rounds * epochs}
        often = table["done"].map(kinds)
        often *= table["split"].map(images)
        total = (table[["forwards", "seconds"]].mul(often, axis=0)).groupby(table["side"]).sum()
        hours[name] = (table["seconds"] * often / 3600).groupby([table["side"], table["phase"]], sort=False).sum()
        ratio = total.loc["authors"] / total.loc["pixelherd"]
        for side in ("authors", "pixelherd"):
            found.append([name, side, f"{total['forwards'][side]:,.0f}", f"{total['seconds'][side] / 3600:.2f}"])
        found.append([name, "ratio", f"{ratio['forwards']:.0f}", f"{ratio['seconds']:.0f}"])
    print(pd.DataFrame(found, columns=["epochs", "side", "forwards", "hours"]).to_markdown(index=False))
    draw_hours(hours, options.out)


def draw_hours(hours: dict[str, pd.Series], out: Path) -> None:
    """Where the hours of one run go, by phase: a bar for each side and way of counting epochs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    bars = {}
    for name, of in hours.items():
        bars |= {f"{side}\n{name} epochs": of[side] for side in ("authors", "pixelherd")}
    phases = list(dict.fromkeys(phase for of in bars.values() for phase in of.index))
    figure, axes = plt.subplots(figsize=(9, 3.4), layout="constrained")
    left = np.zeros(len(bars))
    for number, phase in enumerate(phases):
        widths = np.array([of.get(phase, 0.0) for of in bars.values()])
        colour = plt.get_cmap("cividis")(number / max(len(phases) - 1, 1))
        axes.barh(list(bars), widths, left=left, label=phase, color=colour, edgecolor="white", linewidth=0.5)
        left += widths
    for place, total in enumerate(left):
        axes.text(total + left.max() / 100, place, f"{total:.1f} h", va="center")
    axes.invert_yaxis()
    axes.set(xlabel="hours of one run counted up from a few images", xlim=(0, left.max() * 1.1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize="small", loc="lower right")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    print(f"\npicture: {out}")


class Case:
    """A few images of a dataset, the backbone, and what was measured."""

    def __init__(self, work: Work, run: Run, options: argparse.Namespace):
        self.rows: list[list] = []
        study = work.study
        self.dataset, self.classes = open_dataset(work, run.dataset)
        self.settings = stages.maps(study, run.dataset, run.features)
        self.listing = stages.lists(study)
        self.draws = study.features[run.features].draws
        self.size = self.dataset.size
        self.backbone = manifest.open_manifest(work.backbone(run.features))[0]
        self.train, self.test = range(options.train), range(options.test)
        truth = self.dataset.train.labels[: options.train].reshape(options.train, -1)
        flat = np.array([int(np.flatnonzero(labels != 255)[0]) for labels in truth])
        self.labelled = np.arange(options.train), flat, truth[np.arange(options.train), flat].astype(np.int64)
        self.training = MlpSettings(kind="mlp", epochs=options.epochs, patience=10**9)

    @contextmanager
    def phase(self, side: str, name: str, split: range, kind: str, done: str) -> Iterator[None]:
        """Measure what is done for every image of a split, ``done`` once, a round, a query or an epoch."""
        times = len(split) * (self.training.epochs if done == "an epoch" else 1)
        forwards, start = self.backbone.forwards, time.perf_counter()
        yield
        seconds, forwards = time.perf_counter() - start, self.backbone.forwards - forwards
        self.rows.append([side, name, kind, done, seconds / times, forwards / times])

    def authors(self) -> None:
        """Vectors of every pixel, made by the U-Net whenever they are needed."""
        images, truth = self.dataset.train.images, self.dataset.train.labels
        pool = {}
        with self.phase("authors", "herding", self.train, "train", "a round"):
            for image in self.train:
                pixels = lists.candidate_pixels(truth[image], "0", str(image), self.listing)
                vectors = self.every_vector(images[image])[pixels]
                pool[image] = pixels[herding.max_herding(vectors, self.listing.listed).indices.numpy()]
        model = network.MlpHead(self.dim, self.classes, generator=torch_generator("benchmark"))
        source = PixelsOfImages(self)
        running = mock.patch.object(training, "exact_statistics", lambda source, head: head.eval())
        with running, self.phase("authors", "training", self.train, "train", "an epoch"):  # they keep running averages
            training.train(source, model, self.training, order_generator=torch_generator("order"))
        with self.phase("authors", "prediction of training images", self.train, "train", "a query"):
            for image in self.train:
                network.log_probabilities(model, self.every_vector(images[image]))
        with self.phase("authors", "base and noise draws, scores", self.train, "train", "a query"):
            for image in self.train:
                base, *samples = (
                    network.log_probabilities(model, self.every_vector(images[image], number)[pool[image]])
                    for number in range(self.draws + 1)
                )
                acquisition.score(METHOD, torch.stack(samples, dim=1), base=base)
        with self.phase("authors", "evaluation", self.test, "test", "a round"):
            for image in self.test:
                network.log_probabilities(model, self.every_vector(self.dataset.test.images[image])).argmax(1)

    def pixelherd(self) -> None:
        """Maps and listed vectors once; the loop without the U-Net."""
        images, truth = self.dataset.train.images, self.dataset.train.labels
        maps, context, listed, draws = {}, [], {}, {}
        with self.phase("pixelherd", "extract", self.train, "train", "once"):
            for image in self.train:
                maps[image] = compute(self.backbone, images[image], self.settings)
                pixels = extract.context_pixels(str(image), self.settings, self.size)
                context.append(vectors_at(maps[image], pixels, self.size).half().numpy())
        with self.phase("pixelherd", "herd", self.train, "train", "once"):
            for image in self.train:
                listed[image] = lists.local_list(maps[image], truth[image], "0", str(image), self.listing)
        with self.phase("pixelherd", "perturb", self.train, "train", "once"):
            for image in self.train:
                perturbed = (
                    compute(self.backbone, images[image], self.settings, number) for number in range(1, self.draws + 1)
                )
                draws[image] = [vectors_at(each, listed[image][0], self.size).half() for each in perturbed]
        own, flat, values = self.labelled
        vectors = [vectors_at(maps[i], flat[i : i + 1], self.size)[0].numpy() for i in own]
        source = sources.VectorSource(np.stack(context), np.stack(vectors), own, values)
        model = network.MlpHead(self.dim, self.classes, generator=torch_generator("benchmark"))
        with self.phase("pixelherd", "training", self.train, "train", "an epoch"):
            training.train(source, model, self.training, order_generator=torch_generator("order"))
        with self.phase("pixelherd", "scores", self.train, "train", "a query"):
            first = slice(self.listing.listed)
            for image in self.train:
                base = network.log_probabilities(model, listed[image][1][first])
                samples = [network.log_probabilities(model, each[first]) for each in draws[image]]
                acquisition.score(METHOD, torch.stack(samples, dim=1), base=base)
        tested = {}
        with self.phase("pixelherd", "extract", self.test, "test", "once"):
            for image in self.test:
                tested[image] = compute(self.backbone, self.dataset.test.images[image], self.settings)
        with self.phase("pixelherd", "evaluation", self.test, "test", "a round"):
            for image in self.test:
                dense.predict(tested[image], [model], self.size)[0].argmax(0)

    @property
    def dim(self) -> int:
        return len(self.settings.timesteps) * sum(
            self.backbone.description.levels[block].channels for block in self.settings.blocks
        )

    def every_vector(self, image: np.ndarray, number: int = 0) -> torch.Tensor:
        """Vectors ``[H·W, D]`` of an image under a noise draw: a pass of the U-Net, up-sampled and normalised."""
        noise = draw(self.settings.noise_seed, number, (3, *self.settings.image_size))
        image = network_input(image, self.settings.image_size)
        asked = {"timesteps": self.settings.timesteps, "blocks": self.settings.blocks}
        maps = self.backbone.maps(image, noise, **asked)
        stacks = [maps[block][0].flatten(0, 1)[None] for block in sorted(maps)]
        with torch.inference_mode():
            large = [F.interpolate(stack, self.size, mode="bilinear", align_corners=False)[0] for stack in stacks]
            return F.normalize(torch.cat(large), dim=0).flatten(1).T


class PixelsOfImages:
    """The authors' batches: every pixel of five images, from the U-Net in every epoch."""

    def __init__(self, case: Case):
        self._case, self.images = case, len(case.train)
        self.counts = sources.counts_of(case.labelled[2])

    def labelled(self, image: int) -> bool:
        return True

    def batch(self, images) -> sources.VectorBatch:
        case, (own, flat, values) = self._case, self._case.labelled
        vectors, labels = [], []
        for image in images:
            vectors.append(case.every_vector(case.dataset.train.images[image]))
            of_image = torch.full((len(vectors[-1]),), 255)
            of_image[flat[own == image]] = torch.from_numpy(values[own == image])
            labels.append(of_image)
        return sources.VectorBatch(torch.cat(vectors).clone(), torch.cat(labels))


if __name__ == "__main__":
    main()
