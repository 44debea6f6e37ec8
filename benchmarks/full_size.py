"""Does the published networks' size fit into an ordinary machine? One 256x256 image through backbone, extract and herd.

A checkpoint of random float16 weights with the names and shapes of the 552,814,086-parameter ImageNet network is
written and goes the way of the real one: converted, stored, loaded, run at timesteps 50, 150 and 250 up to block 17,
its maps stored in float16, and a list of 100 of 10,000 candidates herded from them. The jobs are the workflow's own.
Prints what each cost, and exits with status 1 if a job needs more than 8 GB of memory or the image's maps more than
150 MB of disk.

    python benchmarks/full_size.py --threads 2
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from math import prod
from pathlib import Path

import torch
import yaml
from places import REPOSITORY, read_study, work_of
from tabulate import tabulate

from pixelherd.features.backbones.diffusion.architecture import PRESETS
from pixelherd.pipeline.accounts.costs import read
from pixelherd.storage.stores import read_manifest
from pixelherd.study.plan import readable

PARAMETERS = 552_814_086
MOST_MEMORY = 8_000_000_000
MOST_DISK = 150_000_000
PRESET = "imagenet_256"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="numerical threads of each job")
    parser.add_argument("--folder", type=Path, help="where to work (5 GB); by default a temporary folder")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="pixelherd-full-size-"))
    try:
        sys.exit(run(folder, options.threads))
    finally:
        if options.folder is None:
            shutil.rmtree(folder)


def run(folder: Path, threads: int) -> int:
    """Print the costs of all jobs; 1 if a limit is passed, else 0."""
    checkpoint = folder / "checkpoint.pt"
    if not checkpoint.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_random_checkpoint(checkpoint)
    study = {
        "datasets": {"demo": {"kind": "demo", "train": 1, "test": 1, "size": [256, 256]}},
        "features": {
            "adm": {
                "backbone": {"checkpoint": str(checkpoint), "architecture": PRESET},
                "timesteps": [50, 150, 250],
                "blocks": [5, 8, 12, 17],
            }
        },
        "methods": {"coverage": None},
        "budgets": [1],
        "threads": threads,
        "results": str(folder / "results"),
        "cache": str(folder / "cache"),
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    work = work_of(read_study(folder / "study.yaml"))
    (lists,) = work.lists("demo", "adm", *work.listing)
    command = [sys.executable, "-m", "snakemake", "--cores", str(threads), "--quiet", "all"]
    command += ["--directory", str(folder), "--configfile", str(folder / "study.yaml"), "--", lists]
    subprocess.run(command, cwd=REPOSITORY, check=True)

    costs = read(folder / "results" / "costs" / "jobs")
    maps = Path(work.maps("demo", "adm", "train")[0]).parent / "data" / "maps.zarr"
    disk = sum(file.stat().st_size for file in maps.rglob("*") if file.is_file())
    memory = max(job["peak_memory_mb"] for job in costs) * 1_000_000
    listed = read_manifest(Path(lists).parent)["images"]
    print(tabulate(costs, "keys", "github", floatfmt=",.1f"))
    print(f"{PARAMETERS:,} parameters, {listed} image, {threads} threads")
    print(f"peak memory {readable(memory)} of at most {readable(MOST_MEMORY)}")
    print(f"maps of the image {readable(disk)} of at most {readable(MOST_DISK)}")
    return int(memory > MOST_MEMORY or disk > MOST_DISK)


def write_random_checkpoint(path: Path) -> None:
    """Random float16 weights of the full architecture, scaled so that activations stay moderate."""
    generator = torch.Generator().manual_seed(0)
    state_dict = {}
    for layer in PRESETS[PRESET].architecture.layers():
        is_norm = len(layer.shape) == 1
        scale = 0.1 if is_norm else prod(layer.shape[1:]) ** -0.5
        weight = torch.randn(layer.shape, generator=generator) * scale + is_norm
        state_dict[f"{layer.source}.weight"] = weight.half()
        state_dict[f"{layer.source}.bias"] = (torch.randn(layer.shape[0], generator=generator) * 0.1).half()
    found = sum(tensor.numel() for tensor in state_dict.values())
    assert found == PARAMETERS, f"{found:,} parameters"
    torch.save(state_dict, path)


if __name__ == "__main__":
    main()
