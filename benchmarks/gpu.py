"""What a GPU gives and whether it gives the same: one script for one short loan of a machine.

Prints a table of what was measured, each line with the name of the device, and what was compared; exits with status 1
if a comparison fails. In this order, each in a process of its own that ends after ``--limit`` seconds:

    tests     unit tests that touch a device
    extract   ADM-256's geometry (552,814,086 parameters, random weights): images a second and memory, in float32 and in
              float16 autocast, beside plain diffusers in the same run; maps of the two must agree
    herding   picks on the device against those of the CPU, equal up to ties
    dense     maps to class scores of a whole image, on the device and on the CPU
    leases    four jobs on one GPU through the leases: one at a time
    study     a part of the demo's study with `--resources gpu=1`: mIoU within 0.02 of the CPU's

    python benchmarks/gpu.py                               # on a machine with a GPU: at most 8 minutes
    python benchmarks/gpu.py --device cpu --small          # the same form, small sizes, anywhere
"""

import argparse
import copy
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
TESTS = ("tests/unit/compute", "tests/unit/heads/test_dense.py", "tests/unit/selection/coverage/test_similarities.py")
PARTS = ("tests", "extract", "herding", "dense", "leases", "study")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes that a CPU does in a minute or two")
    parser.add_argument("--limit", type=float, default=150, help="seconds for a part")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        for row in globals()[options.part](options.device, options.small):
            print(json.dumps(row), flush=True)
        return
    print(f"device: {named(options.device)}\n\n| part | what | found | right |\n|---|---|---|---|", flush=True)
    sys.exit(0 if all([shown(part, options) for part in options.parts]) else 1)


def named(device: str) -> str:
    """The name of the card that numbers are of."""
    asked = (
        f"import torch; d = torch.device({device!r}); print(torch.cuda.get_device_name(d) if d.type == 'cuda' else d)"
    )
    return subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True).stdout.strip() or "none"


def shown(part: str, options: argparse.Namespace) -> bool:
    """Print the rows of a part as they come; False if one is wrong, or the part failed or took too long."""
    small = ["--small"] if options.small else []
    command = [sys.executable, __file__, "--part", part, "--device", options.device, *small]
    path = os.pathsep.join(filter(None, (str(REPOSITORY / "workflow"), os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=options.limit, env=os.environ | {"PYTHONPATH": path}
        )
        output, failed = done.stdout, (done.stderr.splitlines() or ["no word"])[-1] if done.returncode else ""
    except subprocess.TimeoutExpired as error:
        output, failed = (error.stdout or b"").decode(), f"ended after {options.limit:.0f} s"
    rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    rows += [{"what": "the part as a whole", "found": failed, "right": False}] if failed else []
    for row in rows:
        right = {True: "yes", False: "NO", None: ""}[row.get("right")]
        print(f"| {part} | {row['what']} | {row['found']} | {right} |", flush=True)
    return all(row.get("right") is not False for row in rows)


def tests(device: str, small: bool) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "pytest", "-n0", "-q", *TESTS]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    return [{"what": "unit tests", "found": done.stdout.splitlines()[-1], "right": done.returncode == 0}]


def extract(device: str, small: bool) -> list[dict[str, Any]]:
    """Maps by the backbone in both precisions, and whole passes of its network by plain diffusers."""
    import torch

    from pixelherd.features.backbones.provide import load_backbone

    timesteps, blocks, side, images = ((50,), (1, 3), 64, 4) if small else ((50, 150, 250), (5, 8, 12, 17), 256, 16)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(images, 3, side, side, generator=generator) * 2 - 1
    noise = torch.randn(3, side, side, generator=generator)
    rows, maps, source = [], {}, backbone_of(small)
    for precision in (None, "float16"):
        backbone = load_backbone(source, device=device, autocast=precision)

        def run(backbone: Any = backbone) -> Any:
            return backbone.maps(x.to(device), noise.to(device), timesteps=timesteps, blocks=blocks)

        run()  # the first call allocates, and chooses algorithms
        maps[precision], seconds, used = timed(device, run)
        rate = f"{images / seconds:.2f} images a second, {used}"
        rows.append({"what": f"{precision or 'float32'}, {len(timesteps)} timesteps, {side} pixels", "found": rate})
    steps = torch.full((images,), timesteps[0], device=device)
    with torch.inference_mode(), torch.autocast(torch.device(device).type, torch.float16, enabled=device != "cpu"):
        backbone.network(x.to(device), steps)
        _, seconds, used = timed(device, lambda: [backbone.network(x.to(device), steps) for _ in timesteps])
    found = f"{images / seconds:.2f} images a second, {used}"
    rows.append({"what": "plain diffusers, whole passes, the precision of the line before", "found": found})
    worst = max(relative(maps["float16"][block], maps[None][block]) for block in blocks)
    rows.append(
        {"what": "float16 against float32, largest error by block", "found": f"{worst:.1e}", "right": worst < 2e-2}
    )
    alone = load_backbone(source, device="cpu").maps(x[:1], noise, timesteps=timesteps[:1], blocks=blocks)
    worst = max(relative(maps[None][block][:1, :1], alone[block]) for block in blocks)
    rows.append({"what": "float32 against the CPU, one image", "found": f"{worst:.1e}", "right": worst < 1e-3})
    return rows


def backbone_of(small: bool) -> Any:
    """The demo's backbone, or a checkpoint of ADM-256's shapes and random weights."""
    if small:
        return REPOSITORY / "backbones" / "demo"
    from full_size import PRESET, write_random_checkpoint

    path = Path(tempfile.mkdtemp()) / "checkpoint.pt"
    write_random_checkpoint(path)
    return {"checkpoint": str(path), "architecture": PRESET}


def relative(found: Any, wanted: Any) -> float:
    """The root mean square of the difference over that of what is right."""
    found, wanted = found.cpu().double(), wanted.cpu().double()
    return float((found - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


def herding(device: str, small: bool) -> list[dict[str, Any]]:
    """Picks on the device and on the CPU; they may differ where gains are ties, so coverage is compared as well."""
    import torch

    from pixelherd.selection.coverage.herding import max_herding, median_bandwidth

    sizes = [(2000, 64, 200)] if small else [(18_350, 1440, 1835), (148_750, 6144, 1000)]
    rows = []
    for n, dimension, budget in sizes:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(n, dimension, generator=generator).half()
        bandwidth = median_bandwidth(x)
        memory = 2 * 10**9 if small else 60 * 10**9

        def run(x: Any = x, budget: int = budget, bandwidth: float = bandwidth, memory: int = memory) -> Any:
            return max_herding(x.to(device), budget, bandwidth=bandwidth, memory=memory)

        found, seconds, used = timed(device, run)
        began = time.perf_counter()
        wanted = max_herding(x, budget if n < 50_000 else 20, bandwidth=bandwidth)
        alike, slow = len(wanted.indices), time.perf_counter() - began
        same = int((found.indices[:alike] == wanted.indices).sum())
        near = bool(torch.allclose(found.coverage[:alike], wanted.coverage, rtol=1e-5))
        what = (
            f"{budget} of {n:,} x {dimension}; {same} of {alike} picks are those of the CPU, which takes {slow:.1f} s"
        )
        rows.append({"what": what, "found": f"{seconds:.1f} s, {used}", "right": near})
    return rows


def dense(device: str, small: bool) -> list[dict[str, Any]]:
    """Class scores of every pixel of an image by ten heads, on the device and on the CPU."""
    import torch

    from pixelherd.heads.dense import predict
    from pixelherd.heads.network import LinearHead

    shapes, side = ({1: (64, 16), 3: (32, 32)}, 64) if small else ({5: (1024, 32), 8: (512, 64), 17: (256, 256)}, 256)
    generator = torch.Generator().manual_seed(0)
    maps = {block: torch.randn(3, c, s, s, generator=generator) for block, (c, s) in shapes.items()}
    dimension = 3 * sum(channels for channels, _ in shapes.values())
    heads = []
    for _ in range(10):
        head = LinearHead(dimension, 11)
        for parameter in head.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        heads.append(head)
    wanted = predict(maps, heads, (side, side))
    there = {block: values.to(device) for block, values in maps.items()}
    moved = [copy.deepcopy(head).to(device) for head in heads]
    predict(there, moved, (side, side))
    found, seconds, used = timed(device, lambda: predict(there, moved, (side, side)))
    worst = max(relative(one, other) for one, other in zip(found, wanted, strict=True))
    what = f"10 linear heads, D = {dimension}, {side} pixels: error against the CPU {worst:.1e}"
    return [{"what": what, "found": f"{seconds:.3f} s, {used}", "right": worst < 1e-4}]


LEASED = """
import time
from pathlib import Path
from pixelherd.compute.gpus import lease
with lease(1, Path({folder!r})) as gpu:
    print(gpu, time.monotonic(), flush=True)
    time.sleep(0.5)
    print(gpu, time.monotonic(), flush=True)
"""


def leases(device: str, small: bool) -> list[dict[str, Any]]:
    """Four jobs that ask for one GPU, by index and by its other names."""
    folder = tempfile.mkdtemp()
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "0"}
    command = [sys.executable, "-c", LEASED.format(folder=folder)]
    jobs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(4)]
    held = sorted([float(line.split()[1]) for line in job.communicate()[0].splitlines()] for job in jobs)
    apart = all(before[1] <= after[0] for before, after in itertools.pairwise(held))
    return [
        {"what": "four jobs on one GPU", "found": f"{held[-1][1] - held[0][0]:.1f} s for 4 x 0.5 s", "right": apart}
    ]


def study(device: str, small: bool) -> list[dict[str, Any]]:
    """A smaller demo study on the device and on the CPU: mIoU of each method, which may differ by rounding alone."""
    import pandas as pd
    import yaml

    settings = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    settings |= {"seeds": [0], "rounds": 2, "methods": {"coverage": None, "random": None}}
    settings["datasets"]["demo"] |= {"train": 16, "test": 8} if small else {}
    finals = []
    for where in (device, "cpu"):
        folder = Path(tempfile.mkdtemp())
        (folder / "study.yaml").write_text(yaml.safe_dump(settings | {"device": where}))
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--cores",
            "all",
            "--resources",
            "gpu=1",
            "tables",
            "--quiet",
            "all",
        ]
        command += ["--directory", str(folder), "--configfile", str(folder / "study.yaml")]
        began = time.perf_counter()
        subprocess.run(command, cwd=REPOSITORY, check=True, stdout=sys.stderr)
        finals.append((pd.read_csv(folder / "results" / "tables" / "final.csv"), time.perf_counter() - began))
    (found, seconds), (wanted, slow) = finals
    columns = [name for name in found if name.startswith("miou")]
    worst = float((found[columns[0]] - wanted[columns[0]]).abs().max())
    told = f"{seconds:.0f} s, {slow:.0f} s on the CPU; {columns[0]} differs by {worst:.4f} at most"
    return [{"what": "demo, two methods, two rounds", "found": told, "right": worst <= 0.02}]


def timed(device: str, work: Callable[[], Any]) -> tuple[Any, float, str]:
    """What work gives, its seconds, and the most memory of the device that it took."""
    import torch

    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    began = time.perf_counter()
    found = work()
    if cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    return found, seconds, f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB" if cuda else "on the CPU"


if __name__ == "__main__":
    main()
