"""How many images a second does each backbone turn into maps here, and how much memory does its process take?

Images are random, one at a time as jobs take them; the first one of each backbone is not counted.

    python benchmarks/images.py --size 256 256 --threads 2
    python benchmarks/images.py --folders data/backbones/camvid-ddpm
    python benchmarks/images.py --size 3000 4000 --window 1024 1024 --images 1
"""

import argparse
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from places import REPOSITORY
from tabulate import tabulate

import pixelherd
from pixelherd.datasets.readers.camvid import samples
from pixelherd.datasets.settings import CamVidSettings
from pixelherd.features.backbones.backbone import Backbone
from pixelherd.features.maps import compute
from pixelherd.features.settings import MapSettings
from pixelherd.features.windows import WindowSettings

BUILT_IN = {"embedded encoder": {"embedded": "efficientnet_lite2"}, "filters": {"filters": [0.7, 1.6, 3.5, 8]}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=[256, 256], help="height and width (default: 256 256)")
    parser.add_argument("--threads", type=int, default=2, help="numerical threads (default: 2)")
    parser.add_argument("--images", type=int, default=10, help="images of each backbone (default: 10)")
    parser.add_argument(
        "--folders", nargs="*", default=[str(REPOSITORY / "backbones" / "demo")], help="diffusers folders too"
    )
    parser.add_argument("--window", type=int, nargs=2, help="height and width of the windows that networks see")
    options = parser.parse_args()
    sources = BUILT_IN | {folder: folder for folder in options.folders}
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:  # each has its own memory
        rows = [[name, *processes.submit(measured, source, options).result()] for name, source in sources.items()]
    headers = ["backbone", "timesteps", "D", "MB of maps an image", "images a second", "GB of memory"]
    print(f"{options.size[0]}x{options.size[1]}, {options.threads} threads, {options.images} images\n")
    print(tabulate(rows, headers, "github", floatfmt=("", "", ",.0f", ".1f", ".2f", ".1f")))


def measured(source: dict | str, options: argparse.Namespace) -> list[object]:
    """Timesteps, D, megabytes of an image's maps, images a second, and gigabytes of this process at most."""
    torch.set_num_threads(options.threads)
    backbone, size, images = pixelherd.load_backbone(source), tuple(options.size), options.images
    settings = settings_of(backbone, size, WindowSettings(size=options.window) if options.window else None)
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (images + 1, *size, 3), dtype=np.uint8)
    maps = compute(backbone, pictures[0], settings)
    start = time.perf_counter()
    for picture in pictures[1:]:
        compute(backbone, picture, settings)
    rate = images / (time.perf_counter() - start)
    bytes_ = sum(values.nbytes for values in maps.values())
    dimension = sum(values.shape[0] * values.shape[1] for values in maps.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return [len(settings.timesteps) or "none", dimension, bytes_ / 1e6, rate, peak]


def settings_of(backbone: Backbone, size: tuple[int, int], window: WindowSettings | None = None) -> MapSettings:
    """What the maps of images of a size depend on, as the studies read them."""
    diffusion = backbone.description.noise is not None
    return MapSettings(
        timesteps=[50, 150, 250] if diffusion else [],
        blocks=blocks_of(backbone, diffusion),
        noise_seed=0,
        context=1,
        maps="recompute",
        image_size=size,
        threads=torch.get_num_threads(),
        window=window,
    )


def training_images(camvid: Path, count: int, size: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images ``[H, W, 3]`` and labels ``[H, W]`` evenly of CamVid's training list, sized as they are prepared."""
    listed = samples(CamVidSettings(kind="camvid", root=str(camvid)))["train"]
    shape = size[1], size[0]
    for place in np.linspace(0, len(listed), count, endpoint=False).astype(int):
        image, labels = listed[place].load()
        smaller = Image.fromarray(labels).resize(shape, Image.Resampling.NEAREST)
        yield np.asarray(image.resize(shape, Image.Resampling.BILINEAR)), np.asarray(smaller)


def blocks_of(backbone: Backbone, diffusion: bool) -> list[int]:
    """Every other block of a decoder, as the studies read them; the last of each stride of an encoder."""
    if diffusion:
        return list(range(1, backbone.blocks, 2))
    last = {level.stride: block for block, level in backbone.description.levels.items()}
    return [block for stride, block in last.items() if stride >= 4] or list(range(backbone.blocks))


if __name__ == "__main__":
    main()
