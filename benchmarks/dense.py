"""Dense prediction from native maps against the naive way: up-sample, concatenate, normalise, multiply.

Each side runs in a process of its own, on the same smooth random maps (or on CamVid's, with ``--study``) and the same
heads. Prints seconds (best of ``--repeats``), peak memory beyond maps and heads, and the largest difference of logits.

    python benchmarks/dense.py --geometry adm --heads 1 10 50
    python benchmarks/dense.py --study studies/camvid.yaml    # mIoU of both sides on a finished study's test split
"""

import argparse
import ctypes
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from pixelherd.compute.memory import keep_freed_memory
from pixelherd.features import interpolation
from pixelherd.heads import dense
from pixelherd.heads.metrics import confusion, miou
from pixelherd.heads.network import Head, LinearHead, MlpHead

TIMESTEPS, CLASSES = 3, 11
GEOMETRIES = {  # block: channels, side; and the side of the image
    "adm": ({5: (1024, 32), 8: (512, 64), 12: (256, 128), 17: (256, 256)}, 256),
    "small": ({1: (256, 32), 3: (128, 64), 5: (64, 128), 7: (32, 128)}, 128),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--geometry", nargs="+", choices=GEOMETRIES, default=list(GEOMETRIES))
    parser.add_argument("--kinds", nargs="+", choices=("linear", "mlp"), default=["linear", "mlp"], help="of heads")
    parser.add_argument("--heads", nargs="+", type=int, default=[1, 10, 50])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--study", type=Path, help="compare mIoU on the test split of this finished study instead")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--logits", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as every job does; both sides are faster for it
    if options.side:
        measure(options)
    elif options.study:
        compare_miou(options.study)
    else:
        compare(options)


def naive(maps: interpolation.Maps, heads: list[Head], size: tuple[int, int]) -> list[torch.Tensor]:
    """Every pixel's vector is built, once for all heads."""
    with torch.inference_mode():
        stacks = [maps[block].flatten(0, 1).float()[None] for block in sorted(maps)]
        vectors = torch.cat([F.interpolate(stack, size, mode="bilinear", align_corners=False)[0] for stack in stacks])
        vectors = F.normalize(vectors, dim=0).flatten(1).T
        return [head(vectors).T.unflatten(1, size) for head in heads]


SIDES = {"naive": naive, "factorised": dense.predict}


def compare(options: argparse.Namespace) -> None:
    print(f"{options.threads} threads, {TIMESTEPS} timesteps, best of {options.repeats}, seconds and peak MB")
    print("| maps | kind | heads | naive s | pixelherd s | ratio | naive MB | pixelherd MB | ratio | max difference |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for geometry, kind, heads in itertools.product(options.geometry, options.kinds, options.heads):
        with tempfile.TemporaryDirectory() as folder:
            files = {side: Path(folder) / f"{side}.npy" for side in SIDES}
            found = {side: run(options, (geometry, kind, heads), side, file) for side, file in files.items()}
            one, other = (np.load(file, mmap_mode="r") for file in files.values())
            difference = max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))
        (slow, much), (fast, little) = (found[side] for side in SIDES)
        print(
            f"| {geometry} | {kind} | {heads} | {slow:.2f} | {fast:.3f} | {slow / fast:.1f} "
            f"| {much / 1e6:,.0f} | {little / 1e6:,.0f} | {little / much:.2f} | {difference:.1e} |",
            flush=True,
        )


def run(options: argparse.Namespace, case: tuple[str, str, int], side: str, logits: Path) -> tuple[float, int]:
    geometry, kind, heads = case
    command = [sys.executable, __file__, "--geometry", geometry, "--kinds", kind, "--heads", str(heads), "--side", side]
    command += ["--threads", str(options.threads), "--repeats", str(options.repeats), "--logits", str(logits)]
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return answer["seconds"], answer["bytes"]


def measure(options: argparse.Namespace) -> None:
    """One side of one case, in a child process: the first call gives the memory, the best of all the time."""
    shapes, side = GEOMETRIES[options.geometry[0]]
    generator = torch.Generator().manual_seed(0)
    maps = {block: smooth(channels, edge, generator) for block, (channels, edge) in shapes.items()}
    dim = sum(TIMESTEPS * channels for channels, _ in shapes.values())
    heads = [made(options.kinds[0], dim, number) for number in range(options.heads[0])]
    predict, seconds = SIDES[options.side], []
    ctypes.CDLL(None).malloc_trim(0)  # memory kept from making the inputs would hide what the side needs
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = status("VmRSS")
    for repeat in range(options.repeats):
        start = time.perf_counter()
        answer = predict(maps, heads, (side, side))
        seconds.append(time.perf_counter() - start)
        if repeat == 0:
            peak = status("VmHWM") - before
            np.save(options.logits, np.stack([logits.numpy() for logits in answer]))
        del answer
    print(json.dumps({"seconds": min(seconds), "bytes": peak}))


def smooth(channels: int, edge: int, generator: torch.Generator) -> torch.Tensor:
    """Random maps ``[T, channels, edge, edge]`` float16 in which neighbours are alike, as in a decoder."""
    coarse = torch.randn(TIMESTEPS, channels, max(edge // 8, 2), max(edge // 8, 2), generator=generator)
    return F.interpolate(coarse, (edge, edge), mode="bicubic").half()


def made(kind: str, dim: int, seed: int) -> Head:
    """A head with random weights; BatchNorm of the paper's has seen data."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "linear":
        plain = LinearHead(dim, CLASSES)
        for values in plain.parameters():
            torch.nn.init.normal_(values, generator=generator)
        return plain.eval()
    head = MlpHead(dim, CLASSES, generator=generator)
    for _ in range(3):
        head(F.normalize(torch.randn(256, dim, generator=generator)))
    return head.eval()


def status(key: str) -> int:
    """Bytes of a line of ``/proc/self/status``."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference of logits; both are -inf for classes that the head does not know."""
    return float(torch.where(one == other, 0, one - other).abs().max())


def compare_miou(path: Path) -> None:
    """mIoU of the first finished run's last head on the whole test split, both ways."""
    from places import open_dataset, read_study, work_of
    from tqdm import tqdm

    from pixelherd.features.maps import StoredMaps
    from pixelherd.heads.network import load

    study = read_study(path)
    work = work_of(study)
    lasts = {run: study.rounds_of(run.method) - 1 for run in study.runs()}
    heads = {run: Path(study.paths.of_round(study.paths.head, run, last)) for run, last in lasts.items()}
    run = next(run for run, head in heads.items() if head.is_file())
    head = load(heads[run])
    dataset, classes = open_dataset(work, run.dataset)
    maps_of = StoredMaps(work.maps_index(run.dataset, run.features, "test"))
    matrices = {side: np.zeros((classes, classes), dtype=np.int64) for side in SIDES}
    largest = 0.0
    for image in tqdm(range(len(dataset.test)), unit="image", disable=None):
        target, maps = dataset.test.labels[image], maps_of(image)
        logits = {side: predict(maps, [head], target.shape)[0] for side, predict in SIDES.items()}
        largest = max(largest, difference(*logits.values()))
        for side in SIDES:
            matrices[side] += confusion(target, logits[side].argmax(0).numpy(), classes)
    values = {side: float(miou(matrix)) for side, matrix in matrices.items()}
    print(f"{run.path}, {len(dataset.test)} test images, largest difference of logits {largest:.1e}")
    print(f"mIoU {values['naive']:.8f} naive, {values['factorised']:.8f} factorised", end="; ")
    print(f"difference {abs(values['naive'] - values['factorised']):.1e}")


if __name__ == "__main__":
    main()
