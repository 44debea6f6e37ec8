"""How activations should be normalised before a head learns them, on held-out *training* images.

Pixels of a study's training images are labelled by their masks, the given number of them at random in the first half of
the images; the default head predicts random pixels of the second half. The study's features must be there:

    snakemake features --cores all --configfile STUDY
    python benchmarks/normalisation.py STUDY --labels 37 370

prints mIoU in percent for each features entry, mean and standard deviation over seeds: of vectors divided by their
length, as in the paper; of vectors each of whose blocks is divided by its length; and of channels of mean 0 and
variance 1 over random pixels of the labelled half, as they are and divided by their length.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from places import open_dataset, read_study, work_of
from torch.nn.functional import normalize
from tqdm import tqdm

from pixelherd.datasets.classes import IGNORED
from pixelherd.features.interpolation import stacks_of, taps_of
from pixelherd.features.maps import StoredMaps
from pixelherd.heads import linear
from pixelherd.heads.metrics import confusion, miou
from pixelherd.heads.settings import LinearSettings
from pixelherd.heads.sources import Labelled

PIXELS = 256
"""Of each image, as many as a context has."""


def activations(maps: StoredMaps, image: int, flat: np.ndarray, size: tuple[int, int]) -> list[torch.Tensor]:
    """Interpolated activations ``[n, channels]`` of pixels, block by block."""
    found = []
    for stack, covered in stacks_of(maps(image)):
        down, across = taps_of(stack, size, covered)
        down, across = down[torch.from_numpy(flat // size[1])], across[torch.from_numpy(flat % size[1])]
        above, under = (
            torch.lerp(stack[:, row, across.near].float(), stack[:, row, across.far].float(), across.fraction)
            for row in (down.near, down.far)
        )
        found.append(torch.lerp(above, under, down.fraction).T)
    return found


def normalisations(blocks: list[torch.Tensor], learnt: int) -> dict[str, Callable[[], torch.Tensor]]:
    """Vectors ``[N, D]`` of length about 1, by how they are normalised; the first ``learnt`` rows may be looked at."""
    every = torch.cat(blocks, dim=1)

    def standardised() -> torch.Tensor:
        scale = every[:learnt].std(0).clamp(min=1e-12)
        return (every - every[:learnt].mean(0)) / scale / every.shape[1] ** 0.5

    return {
        "unit": lambda: normalize(every, dim=1),
        "unit blocks": lambda: torch.cat([normalize(each, dim=1) for each in blocks], dim=1) / len(blocks) ** 0.5,
        "standardised": standardised,
        "standardised, unit": lambda: normalize(standardised(), dim=1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--labels", type=int, nargs="+", default=[37, 370])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--l2", type=float, nargs="+", default=[LinearSettings().l2], help="of the head")
    options = parser.parse_args()
    torch.set_num_threads(1)
    work = work_of(read_study(options.study))
    print("| features | normalisation | l2 | labels | mIoU (%) |\n|---|---|---:|---:|---:|")
    for name, features in work.study.pairs():
        dataset, classes = open_dataset(work, name)
        maps, half = StoredMaps(work.maps_index(name, features, "train")), len(dataset.train) // 2
        random, blocks, truth = np.random.default_rng(0), list[list[torch.Tensor]](), []
        for image in tqdm(range(2 * half), unit="image", disable=None, leave=False):
            flat = random.choice(dataset.size[0] * dataset.size[1], PIXELS, replace=False)
            blocks.append(activations(maps, image, flat, dataset.size))
            truth.append(dataset.train.labels[image].reshape(-1)[flat])
        labels, learnt = np.concatenate(truth), half * PIXELS
        joined = [torch.cat(each) for each in zip(*blocks, strict=True)]
        for kind, made in normalisations(joined, learnt).items():
            vectors = made()
            for l2 in options.l2:
                for count in options.labels:
                    found = []
                    for seed in range(options.seeds):
                        labelled = np.flatnonzero(labels[:learnt] != IGNORED)
                        chosen = np.random.default_rng(seed).choice(labelled, count, replace=False)
                        few = Labelled(vectors[chosen].numpy(), chosen // PIXELS, labels[chosen].astype(np.int64))
                        head = linear.fit(few, classes, LinearSettings(l2=l2)).head
                        with torch.no_grad():
                            predicted = head(vectors[learnt:]).argmax(1).numpy().astype(np.uint8)
                        found.append(100 * miou(confusion(labels[learnt:], predicted, classes)))
                    spread = f"{np.mean(found):.1f} ± {np.std(found, ddof=1):.1f}"
                    print(f"| {features} | {kind} | {l2:g} | {count} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
