"""What a fork of the server that has imported what jobs import takes, with small pages and with huge ones.

python benchmarks/forks.py --forks 60
"""

import argparse
import os
import time
from importlib import import_module
from pathlib import Path

from pixelherd.compute import memory
from pixelherd.pipeline.job import COMMON, LATER, MODULES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forks", type=int, default=60)
    options = parser.parse_args()
    for name in (*COMMON, *MODULES, "pixelherd.features.backbones.networks.unet", *LATER):
        import_module(name.partition(":")[0])
    print("| pages | MB | of them huge | ms of a fork and its end |")
    print("|---|--:|--:|--:|")
    show("small", options.forks)
    began = time.perf_counter()
    memory.use_huge_pages()
    took = time.perf_counter() - began
    show("huge", options.forks)
    print(f"\nmoving what was allocated took {took:.2f} s")


def show(pages: str, forks: int) -> None:
    began = time.perf_counter()
    for _ in range(forks):
        if (fork := os.fork()) == 0:
            os._exit(0)
        os.waitpid(fork, 0)
    took = 1000 * (time.perf_counter() - began) / forks
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
    held = {name: int(kilobytes) // 1024 for name, kilobytes, _ in lines}
    print(f"| {pages} | {held['Anonymous:']} | {held['AnonHugePages:']} | {took:.1f} |", flush=True)


if __name__ == "__main__":
    main()
