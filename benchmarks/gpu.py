"""What a GPU gives and whether it gives the same: one script for one short loan of a machine.

Prints a table of what was measured, below the name of the device, and what was compared; exits with status 1 if a
comparison fails. In this order, each in a process of its own that ends after ``--limit`` seconds:

    tests     unit tests that touch a device
    extract   ADM-256's geometry (552,814,086 parameters, random weights): images a second and memory, in float32 and in
              float16 autocast, beside plain diffusers in the same run; maps of both precisions, and of the CPU, agree
    herding   18,350 x 1440: the picks and coverage of the CPU. 148,750 x 6144, which takes a CPU hours: its coverage
              of these picks, and that none of some random vectors would have been a better one
    dense     maps to class scores of a whole image, on the device and on the CPU
    leases    four jobs on one GPU through the leases: one at a time
    study     the demo's study with `--resources gpu=1`, by default with the first of its seeds: mIoU within 0.02 of the
              CPU's where the queries are the same, within 0.1, two deviations of seeds, where float16 chose others

    python benchmarks/gpu.py                                         # on a machine with a GPU: at most 8 minutes
    python benchmarks/gpu.py --parts study --seeds 5 --limit 480     # the whole demo
    python benchmarks/gpu.py --device cpu --small                    # the same form, small sizes, anywhere
"""

import argparse
import copy
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
TESTS = ("test_on_a_device.py", "test_devices.py", "test_gpus.py")
PARTS = ("tests", "extract", "herding", "dense", "leases", "study")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes that a CPU does in a minute or two")
    parser.add_argument("--limit", type=float, default=150, help="seconds for a part")
    parser.add_argument("--minutes", type=float, default=8, help="for all parts")
    parser.add_argument("--seeds", type=int, default=1, help="of the demo's five")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        for row in globals()[options.part](options):
            print(json.dumps(row), flush=True)
        return
    ends = time.monotonic() + 60 * options.minutes
    print(f"device: {named(options.device)}\n\n| part | what | found | right |\n|---|---|---|---|", flush=True)
    sys.exit(0 if all([shown(part, options, ends) for part in options.parts]) else 1)


def named(device: str) -> str:
    """The name of the card that numbers are of."""
    asked = (
        f"import torch; d = torch.device({device!r}); print(torch.cuda.get_device_name(d) if d.type == 'cuda' else d)"
    )
    return subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True).stdout.strip() or "none"


def shown(part: str, options: argparse.Namespace, ends: float) -> bool:
    """Print the rows of a part as they come; False if one is wrong, or the part failed or took too long."""
    command = [sys.executable, __file__, "--part", part, "--device", options.device, "--seeds", str(options.seeds)]
    command += ["--small"] if options.small else []
    path = os.pathsep.join(filter(None, (str(REPOSITORY / "workflow"), os.environ.get("PYTHONPATH"))))
    began, limit = time.monotonic(), max(min(options.limit, ends - time.monotonic()), 1)
    with tempfile.TemporaryDirectory(prefix="pixelherd-gpu-") as folder, open(f"{folder}/errors", "w+") as errors:
        environment = os.environ | {"PYTHONPATH": path, "TMPDIR": folder}  # what the part leaves goes with it
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, start_new_session=True
        )
        ending = threading.Timer(limit, os.killpg, (process.pid, signal.SIGKILL))  # with all jobs of a Snakemake
        ending.start()
        right = True
        for line in process.stdout or ():
            if line.startswith("{"):
                right &= told(part, **json.loads(line))
        code = process.wait()
        ending.cancel()
        errors.seek(0)
        last = [line for line in errors.read().splitlines() if line.strip()][-1:] or ["no word"]
    if code:
        late = time.monotonic() - began >= limit
        right = told(part, "the part as a whole", f"ended after {limit:.0f} s" if late else last[0], False)
    return right


def told(part: str, what: str, found: str, right: bool | None = None) -> bool:
    """Print a row, and return whether it is not wrong."""
    print(f"| {part} | {what} | {found} | { {True: 'yes', False: 'NO', None: ''}[right] } |", flush=True)
    return right is not False


def tests(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    files = [f"tests/unit/compute/{name}" for name in TESTS]
    environment = os.environ | {"PIXELHERD_TEST_DEVICE": options.device}
    command = [sys.executable, "-m", "pytest", "-n0", "-q", *files]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, env=environment)
    last = (done.stdout.splitlines() or done.stderr.splitlines() or ["no word"])[-1]
    yield {"what": "unit tests that touch a device", "found": last, "right": done.returncode == 0}


def extract(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Maps by the backbone in both precisions, and whole passes of its network by plain diffusers."""
    import torch

    from pixelherd.features.backbones.provide import load_backbone

    device, small = options.device, options.small
    timesteps, blocks, side, images = ((50,), (1, 3), 64, 4) if small else ((50, 150, 250), (5, 8, 12, 17), 256, 16)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(images, 3, side, side, generator=generator) * 2 - 1
    noise = torch.randn(3, side, side, generator=generator)
    where, maps, source = {"timesteps": timesteps, "blocks": blocks}, {}, backbone_of(small)
    is_cpu = torch.device(device).type == "cpu"
    for precision in (None, "float16"):
        name = "float32" if precision is None or is_cpu else "float16 autocast"
        backbone = load_backbone(source, device=device, autocast=precision)
        maps[precision], found = rate(
            device, images, lambda net=backbone: net.maps(x.to(device), noise.to(device), **where)
        )
        yield {"what": f"{name}, {len(timesteps)} timesteps, {side} pixels", "found": found}
        steps = torch.full((images,), timesteps[0], device=device)

        def plain(network: Any = backbone.network, steps: Any = steps, reduced: bool = name != "float32") -> None:
            with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=reduced):
                for _ in timesteps:
                    network(x.to(device), steps)

        yield {"what": f"{name}, plain diffusers, whole passes", "found": rate(device, images, plain)[1]}
        del backbone, plain
    worst = max(relative(maps["float16"][block], maps[None][block]) for block in blocks)
    what = "float16 against float32, largest error of a block" + " (a CPU computes in float32)" * is_cpu
    yield {"what": what, "found": f"{worst:.1e}", "right": worst < 2e-2}
    alone = load_backbone(source, device="cpu").maps(x[:1], noise, timesteps=timesteps[:1], blocks=blocks)
    # maps of the first timestep come first; convolutions of cuDNN round factors to 10 bits (TF32)
    worst = max(relative(maps[None][block][:1, :1], alone[block]) for block in blocks)
    yield {"what": "float32 against the CPU, one image", "found": f"{worst:.1e}", "right": worst < 5e-3}


def rate(device: str, images: int, work: Callable[[], Any]) -> tuple[Any, str]:
    """What work gives, and its images a second at best of two, with the most memory."""
    work()  # the first call allocates, and chooses algorithms
    found, seconds, used = min((timed(device, work) for _ in range(2)), key=lambda each: each[1])
    return found, f"{images / seconds:.2f} images a second, {used}"


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


def herding(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Picks on the device against those of the CPU; they may differ where gains are ties, coverage may not."""
    import torch
    from herding_levels import drawn

    from pixelherd.selection.coverage.herding import max_herding, median_bandwidth

    device = options.device
    max_herding(torch.randn(500, 8).to(device), 50, bandwidth=1.0)  # compiles, and loads libraries
    for n, dimension, budget in [(2000, 64, 200)] if options.small else [(18_350, 1440, 1835), (148_750, 6144, 1000)]:
        x = drawn(n, dimension).half()
        bandwidth = median_bandwidth(x)
        memory = 70 * 10**9 if n > 100_000 else None  # upper bounds of all kernel values, beside the vectors

        def run(x: Any = x, picks: int = budget, sigma: float = bandwidth, memory: int | None = memory) -> Any:
            return max_herding(x.to(device), picks, bandwidth=sigma, memory=memory)

        found, seconds, used = timed(device, run)
        told = {"found": f"{seconds:.1f} s, {used}"}
        if memory is None:
            began = time.perf_counter()
            wanted = max_herding(x, budget, bandwidth=bandwidth)
            slow, same = time.perf_counter() - began, int((found.indices == wanted.indices).sum())
            near = bool(torch.allclose(found.coverage, wanted.coverage, rtol=1e-5))
            what = f"{budget} of {n:,} x {dimension}; {same} picks are those of the CPU, which takes {slow:.1f} s"
            yield {"what": what, **told, "right": near}
    # in either size the last of the loop: what a CPU can tell of picks that it would need hours to find
    worst, better = doubts(x.float(), found, bandwidth, checked=(0, 1, 10, 100, budget - 1))
    what = f"{budget} of {n:,} x {dimension}; coverage is {worst:.0e} off the CPU's at most, {better} of 5 x 100 better"
    yield {"what": what, **told, "right": worst < 1e-4 and better == 0}


def doubts(x: Any, found: Any, bandwidth: float, checked: tuple[int, ...]) -> tuple[float, int]:
    """How far the coverage after some picks is off, and how many random vectors would have raised it more."""
    import torch

    squares = (x * x).sum(dim=1)

    def rows(of: Any) -> Any:
        return (-(squares[of][:, None] + squares - 2 * x[of] @ x.T).clamp(min=0) / bandwidth**2).exp()

    kernel = rows(torch.randperm(len(x), generator=torch.Generator().manual_seed(1))[:100])
    covered, worst, better, number = torch.zeros(len(x)), 0.0, 0, 0
    for picks in found.indices.split(100):
        for row in rows(picks):
            if number in checked:
                gains = (kernel - covered).clamp(min=0).double().sum(dim=1)
                better += int((gains > (row - covered).clamp(min=0).double().sum() * (1 + 1e-4)).sum())
            covered = torch.maximum(covered, row)
            if number in checked:
                worst = max(worst, abs(float(covered.double().mean()) - float(found.coverage[number])))
            number += 1
    return worst, better


def dense(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Class scores of every pixel of an image by ten heads, on the device and on the CPU."""
    import torch

    from pixelherd.heads.dense import predict
    from pixelherd.heads.network import LinearHead

    device = options.device
    shapes, side = (
        ({1: (64, 16), 3: (32, 32)}, 64) if options.small else ({5: (1024, 32), 8: (512, 64), 17: (256, 256)}, 256)
    )
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
    yield {"what": what, "found": f"{seconds:.3f} s, {used}", "right": worst < 1e-4}


LEASED = """
import time
from pathlib import Path
from pixelherd.compute.gpus import lease
with lease(1, Path({folder!r})) as gpu:
    print(gpu, time.monotonic(), flush=True)
    time.sleep(0.5)
    print(gpu, time.monotonic(), flush=True)
"""


def leases(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Four jobs that ask for one GPU: by its index, and by its UUID where there is a driver that tells."""
    folder = tempfile.mkdtemp()
    from pixelherd.compute.gpus import of_machine

    names = ["0", of_machine()[0].uuid] if of_machine() else ["0", "0"]
    command = [sys.executable, "-c", LEASED.format(folder=folder)]
    jobs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": name})
        for name in 2 * names
    ]
    held = sorted([float(line.split()[1]) for line in job.communicate()[0].splitlines()] for job in jobs)
    apart = all(before[1] <= after[0] for before, after in itertools.pairwise(held))
    what = f"four jobs on one GPU, named {' and '.join(dict.fromkeys(names))}"
    yield {"what": what, "found": f"{held[-1][1] - held[0][0]:.1f} s for 4 x 0.5 s", "right": apart}


def study(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The demo's study on the device and on the CPU: the runs' queries, and mIoU after the last round."""
    import yaml

    settings = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    settings["seeds"] = settings["seeds"][: options.seeds]
    if options.small:
        settings |= {"rounds": 2, "methods": {"coverage": None, "random": None}}
        settings["datasets"]["demo"] |= {"train": 16, "test": 8}
    outcomes, seconds = [], []
    for device in (options.device, "cpu"):
        folder = Path(tempfile.mkdtemp())
        (folder / "study.yaml").write_text(yaml.safe_dump(settings | {"device": device}))
        command = [sys.executable, "-m", "snakemake", "tables", "--cores", "all", "--resources", "gpu=1"]
        command += ["--directory", str(folder), "--configfile", str(folder / "study.yaml"), "--quiet", "all"]
        began = time.perf_counter()
        subprocess.run(command, cwd=REPOSITORY, check=True, stdout=sys.stderr)
        seconds.append(time.perf_counter() - began)
        outcomes.append([outcome(seal) for seal in sorted(folder.glob("results/runs/**/seed-*/run.json"))])
    apart: dict[bool, list[float]] = {True: [], False: []}  # by whether the queries are the same
    for (asked, one), (wanted, other) in zip(*outcomes, strict=True):
        apart[asked == wanted].append(abs(one - other))
    same, others = (max(apart[each], default=0.0) for each in (True, False))
    what = f"demo, {len(outcomes[1])} runs, {settings['rounds']} rounds; {len(apart[True])} asked the CPU's queries"
    found = f"{seconds[0]:.0f} s, {seconds[1]:.0f} s on the CPU; mIoU differs by {same:.4f} at most"
    found += f", by {others:.4f} where queries do" if apart[False] else ""
    yield {"what": what, "found": found, "right": same <= 0.02 and others <= 0.1}


def outcome(seal: Path) -> tuple[Any, float]:
    """The queries of all rounds of a run, and its last mIoU."""
    import pandas as pd

    queries = [path.read_text() for path in sorted(seal.parent.glob("round-*/queries.csv"))]
    metrics = pd.read_csv(seal.with_name("metrics.csv"))
    return queries, float(metrics["miou"].iloc[-1])


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
