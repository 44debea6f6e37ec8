"""What herding in two levels loses against one selection, and what it takes: shards to coresets, these to the picks.

Vectors are drawn around centres of unequal weight, and normalised as those of pixels are. Coverage is that of all
vectors, in both ways. Each cell has a process of its own; memory is what it takes beyond vectors and imports.

    python benchmarks/herding_levels.py --sizes 20000 50000 200000 --dimension 16
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

FRACTION = 0.002  # picks among the vectors: 0.1 a image that lists 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 50_000, 200_000])
    parser.add_argument("--dimension", type=int, default=16)
    parser.add_argument("--shard", type=int, default=5_000, help="vectors of a shard: 100 images of 50")
    parser.add_argument("--kept", type=int, nargs="+", default=[50, 200], help="vectors that stand for a shard")
    parser.add_argument("--picks", type=int, help="by default one in 500 vectors")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        print(json.dumps(cell(**json.loads(options.cell), options=options)))
        return
    print("| vectors | picks | way | coreset | coverage | of one selection's | seconds | MB |")
    print("|--:|--:|---|--:|--:|--:|--:|--:|")
    for n in options.sizes:
        exact = measured(n, 0, options)
        picks = options.picks or picks_of(n)
        show(n, picks, "one selection", n, exact, exact)
        for kept in options.kept:
            coreset = -(-n // options.shard) * kept
            show(n, picks, f"shards of {options.shard:,} keep {kept}", coreset, measured(n, kept, options), exact)


def show(n: int, picks: int, way: str, coreset: int, found: dict, exact: dict) -> None:
    share = f"{100 * found['coverage'] / exact['coverage']:.2f} %"
    took = f"{found['seconds']:.1f} | {found['megabytes']:.0f}"
    print(f"| {n:,} | {picks} | {way} | {coreset:,} | {found['coverage']:.4f} | {share} | {took} |", flush=True)


def picks_of(n: int) -> int:
    return max(round(FRACTION * n), 1)


def measured(n: int, kept: int, options: argparse.Namespace) -> dict:
    """A cell, in a process of its own; ``kept`` 0 is one selection."""
    shape = ["--dimension", str(options.dimension), "--shard", str(options.shard), "--threads", str(options.threads)]
    command = [
        sys.executable,
        __file__,
        "--cell",
        json.dumps({"n": n, "kept": kept, "budget": options.picks or picks_of(n)}),
        *shape,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def cell(n: int, kept: int, budget: int, options: argparse.Namespace) -> dict:
    import torch

    from pixelherd.selection.coverage.herding import max_herding, median_bandwidth
    from pixelherd.selection.coverage.levels import pick, shrink

    torch.set_num_threads(options.threads)
    x = drawn(n, options.dimension)
    bandwidth = median_bandwidth(x)
    max_herding(x[:500], 5, bandwidth=bandwidth)  # imports and first calls are not counted
    before, began = peak(), time.perf_counter()
    if kept:
        starts = range(0, n, options.shard)
        shards = (shrink(x[start : start + options.shard], kept, start, bandwidth=bandwidth) for start in starts)
        picks = pick(shards, budget, bandwidth=bandwidth)
    else:
        picks = max_herding(x, budget, bandwidth=bandwidth, memory=2 * 10**9).indices
    seconds, used = time.perf_counter() - began, peak() - before
    coverage = max_herding(x, 0, bandwidth=bandwidth, covered=x[picks], memory=10**9)
    return {"seconds": seconds, "megabytes": used, "coverage": coverage.credited}


def drawn(n: int, dimension: int) -> "torch.Tensor":
    """Unit vectors around 200 centres, of which some have many vectors and most have few, images in order."""
    import torch

    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(200, dimension, generator=generator)
    likely = 1 / torch.arange(1.0, 201)
    of_image = torch.multinomial(likely.expand(-(-n // 50), 200), 5, generator=generator)  # an image shows a few
    which = of_image.repeat_interleave(10, dim=1).flatten()[:n]
    x = centres[which] + 0.5 * torch.randn(n, dimension, generator=generator)
    return x / x.norm(dim=1, keepdim=True)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
