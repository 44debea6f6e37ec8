"""How fast is MaxHerding against a plain rescan and other facility-location libraries, and how does its cost grow?

Every cell runs in a process of its own, one after the other, with the same vectors: seconds with the kernel included,
peak memory beyond the vectors and imports, and the coverage reached (pixelherd's as it tells it). Sides:

    pixelherd        ``max_herding``
    plain            the plain way: the whole kernel in float32, and for every pick all gains anew, in one expression
    rescan           the same by blocks that stay in the processor's caches
    apricot          apricot-select, FacilityLocationSelection with its lazy optimiser on the same kernel
    submodlib        submodlib-py, FacilityLocationFunction with LazyGreedy on the same kernel

Each has run on ten vectors before, so that nobody's imports and compiler count. The kernel of the three others is a
matrix product of torch. A rescan that would go on beyond ``--limit`` seconds stops after at least 20 picks, its time
being extrapolated (≈). The libraries cannot be stopped and continued: what is not done by the limit is
ended (>), and larger cells of the same kind are not begun (–). Libraries that are not installed are left out:
``pip install apricot-select submodlib-py``.

    python benchmarks/herding.py --study studies/camvid.yaml --local --threads 2

``--study`` adds vectors of real images, those of the first union of a study whose cache is there, and the rounds of
their seed; ``--local`` adds candidates of an image with ADM-256's maps, D = 6144, 50 picks of 10,000.
"""

import argparse
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SIDES = ("pixelherd", "plain", "rescan", "apricot", "submodlib")
ENDED, SKIPPED, MEMORY = ">", "–", "out of memory"
MARKERS = (("o", "white"), ("^", "gray"))  # of what is extrapolated, and of what was ended
ADM = {5: (1024, 32), 8: (512, 64), 12: (256, 128), 17: (256, 256)}  # channels and side of ADM-256's decoder blocks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 2000, 5000, 10000, 20000])
    parser.add_argument("--dimensions", type=int, nargs="*", default=[64, 6144])
    parser.add_argument("--picks", nargs="+", default=["50", "half"])
    parser.add_argument("--sides", nargs="+", default=SIDES, choices=SIDES)
    parser.add_argument("--study", type=Path, help="also vectors of real images: those of this study's first union")
    parser.add_argument("--local", action="store_true", help="also candidates of one image from native maps")
    parser.add_argument("--limit", type=float, default=120, help="seconds for a cell")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs/herding.png"), help="picture")
    parser.add_argument("--union", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        run_cell(json.loads(options.cell), options)
        return

    kinds: list[int | str] = list(options.dimensions)
    if options.study:
        name, options.union = first_union(options.study)
        kinds.append(name)
    cells = []
    for dimension in kinds:
        for n in options.sizes:
            n = min(n, len(offered(options.union))) if isinstance(dimension, str) else n
            for picks in options.picks:
                budget = n // 2 if picks == "half" else int(picks)
                cells.append({"kind": "global", "data": dimension, "n": n, "picks": budget, "label": picks})
    if options.local:
        cells.append({"kind": "local", "data": "maps", "n": 10000, "picks": 50, "label": "50"})
    found = []
    for cell in cells:
        for side in options.sides if cell["kind"] == "global" else ("pixelherd", "rescan"):
            cell = cell | {"side": side}
            hopeless = any(
                row["mark"] in (ENDED, SKIPPED) and all(row[key] == cell[key] for key in ("data", "label", "side"))
                for row in found
            )
            found.append(cell | (nothing(options.limit, SKIPPED) if hopeless else measured(cell, options)))
            print(found[-1], file=sys.stderr, flush=True)
    rounds = [measured({"kind": name}, options) for name in ("first", "small", "later")] if options.union else []
    report(found, rounds, options)


def nothing(seconds: float | None, mark: str = "") -> dict:
    """The result of a cell that was not measured to its end."""
    return {"seconds": seconds, "mark": mark, "memory": None, "coverage": None}


def measured(cell: dict, options: argparse.Namespace) -> dict:
    """What a process of its own measures; no seconds where the side is not installed."""
    command = [sys.executable, __file__, "--cell", json.dumps(cell), "--limit", str(options.limit)]
    command += ["--threads", str(options.threads)] + (["--union", str(options.union)] if options.union else [])
    threads = str(options.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode == -signal.SIGALRM:
        return nothing(options.limit, ENDED)
    if done.returncode == -signal.SIGKILL:
        return nothing(None, MEMORY)
    if done.returncode:
        raise SystemExit(f"{cell}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def run_cell(cell: dict, options: argparse.Namespace) -> None:
    """Measure one cell and print it as JSON."""
    import torch

    from pixelherd.compute.memory import keep_freed_memory

    torch.set_num_threads(options.threads)
    if cell.get("side") != "plain":
        keep_freed_memory()  # as every job does; rescans gain by it, too
    if cell["kind"] in ("first", "small", "later"):
        result = round_of_union(cell["kind"], options.union)
    elif cell["kind"] == "local":
        result = local(cell, options.limit)
    else:
        x = vectors(cell, options.union)
        result = side_of(cell["side"])(x, cell["picks"], options.limit)
    print(json.dumps(result))


def vectors(cell: dict, union: Path | None) -> np.ndarray:
    """Unit vectors ``[n, D]`` float32: of real images, or around random centres."""
    if isinstance(cell["data"], str):
        from pixelherd.storage.stores import open_array

        return open_array(union, "vectors", inside="")[offered(union)[: cell["n"]]].astype(np.float32)
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((100, cell["data"]), dtype=np.float32)
    x = centres[generator.integers(100, size=cell["n"])]
    x += 0.7 * generator.standard_normal(x.shape, dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def first_union(path: Path) -> tuple[str, Path]:
    """What the vectors of a study's first union are called, and its folder."""
    from places import read_study, work_of

    from pixelherd.storage.stores import open_array

    work = work_of(read_study(path))
    run = next(run for run in work.study.runs() if work.study.needs_lists(run.method))
    folder = Path(work.union(run)).parent
    return f"{run.dataset}, D = {open_array(folder, 'vectors', inside='').shape[1]}", folder


def offered(union: Path) -> np.ndarray:
    """Rows of a union that are offered without labels."""
    from pixelherd.storage.stores import open_array, read_manifest

    return np.flatnonzero(open_array(union, "ranks", inside="") < read_manifest(union)["listed"])


class Meter:
    """Seconds, and peak memory beyond what the process held at the start.

    Args:
        limit: ends the process after so many seconds.
    """

    def __init__(self, limit: float | None = None) -> None:
        import psutil

        self._held = psutil.Process().memory_info().rss
        # Writing 5 resets the peak, which making the vectors has raised.
        Path("/proc/self/clear_refs").write_text("5")
        signal.setitimer(signal.ITIMER_REAL, limit or 0)
        self._start = time.perf_counter()

    def stop(self) -> dict:
        """What was measured so far."""
        seconds = time.perf_counter() - self._start
        signal.setitimer(signal.ITIMER_REAL, 0)
        return {"seconds": seconds, "mark": "", "memory": peak() - self._held, "coverage": None}


def peak() -> int:
    """Peak resident memory of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def side_of(name: str):
    return {"pixelherd": pixelherd, "plain": plain, "rescan": rescan, "apricot": apricot, "submodlib": submodlib}[name]


def pixelherd(x: np.ndarray, picks: int, limit: float) -> dict:
    from pixelherd.selection.coverage.herding import max_herding

    max_herding(x[:10], 2)
    meter = Meter()
    herding = max_herding(x, picks)
    return meter.stop() | {"coverage": float(herding.coverage[-1])}


def plain_kernel(x: np.ndarray, dtype: str = "float32"):
    """The whole kernel ``[n, n]``, computed in row blocks in float32."""
    import torch

    from pixelherd.selection.coverage.herding import median_bandwidth

    bandwidth = median_bandwidth(x)
    x = torch.from_numpy(x)
    norms = x.square().sum(dim=1)
    kernel = torch.empty(len(x), len(x), dtype=getattr(torch, dtype))
    for rows in range(0, len(x), 512):
        block = x[rows : rows + 512] @ x.T
        block.mul_(-2).add_(norms).add_(norms[rows : rows + 512, None]).clamp_(min=0).div_(-(bandwidth**2)).exp_()
        kernel[rows : rows + 512] = block
    return kernel


def plain(x: np.ndarray, picks: int, limit: float) -> dict:
    return rescan(x, picks, limit, rows=len(x))


def rescan(x: np.ndarray, picks: int, limit: float, rows: int = 64) -> dict:
    import torch

    plain_kernel(x[:10])
    meter = Meter()
    kernel = plain_kernel(x)
    before = meter.stop()["seconds"]
    c = torch.zeros(len(x))
    for count in range(1, picks + 1):
        gains = torch.cat([(block - c).clamp_(min=0).sum(dim=1) for block in kernel.split(rows)])
        torch.maximum(c, kernel[gains.argmax()], out=c)
        if count >= 20 and meter.stop()["seconds"] > limit:
            break
    result = meter.stop()
    if count == picks:
        return result | {"coverage": float(c.double().mean())}
    each = (result["seconds"] - before) / count
    return result | {"seconds": before + picks * each, "mark": f"≈ ({count} picks)"}


def apricot(x: np.ndarray, picks: int, limit: float) -> dict:
    try:
        from apricot import FacilityLocationSelection
    except ImportError:
        return nothing(None)
    FacilityLocationSelection(2, metric="precomputed", optimizer="lazy").fit(plain_kernel(x[:10], "float64").numpy())
    meter = Meter(limit)
    kernel = plain_kernel(x, "float64").numpy()  # its compiled functions take float64 only
    selection = FacilityLocationSelection(picks, metric="precomputed", optimizer="lazy").fit(kernel)
    return meter.stop() | {"coverage": reached(kernel, selection.ranking)}


def submodlib(x: np.ndarray, picks: int, limit: float) -> dict:
    try:
        from submodlib import FacilityLocationFunction
    except ImportError:
        return nothing(None)
    plain_kernel(x[:10])
    meter = Meter(limit)
    kernel = plain_kernel(x).numpy()
    function = FacilityLocationFunction(n=len(x), mode="dense", sijs=kernel, separate_rep=False)
    chosen = function.maximize(
        budget=picks, optimizer="LazyGreedy", stopIfZeroGain=False, stopIfNegativeGain=False, show_progress=False
    )
    return meter.stop() | {"coverage": reached(kernel, [index for index, _ in chosen])}


def reached(kernel: np.ndarray, chosen) -> float:
    best = np.zeros(len(kernel))
    for index in chosen:
        np.maximum(best, kernel[index], out=best)
    return float(best.mean())


def smooth_maps() -> dict:
    """Random maps of ADM-256's shapes at three timesteps that vary smoothly over the image, float16."""
    import torch
    from torch.nn import functional as F

    generator = torch.Generator().manual_seed(0)
    maps = {}
    for block, (channels, side) in ADM.items():
        coarse = torch.randn(1, 3 * channels, 16, 16, generator=generator)
        parts = [F.interpolate(part, (side, side), mode="bicubic").half() for part in coarse.split(64, dim=1)]
        maps[block] = torch.cat(parts, dim=1)[0].unflatten(0, (3, channels))
    return maps


def local(cell: dict, limit: float) -> dict:
    """Candidates of one image, from its maps: the rescan's seconds and memory count the gathered vectors."""
    import torch

    from pixelherd.features import interpolation
    from pixelherd.selection.coverage.herding import max_herding
    from pixelherd.selection.coverage.lists import MEMORY
    from pixelherd.selection.coverage.products import MapProducts

    maps, size = smooth_maps(), (256, 256)
    pixels = np.sort(np.random.default_rng(0).choice(size[0] * size[1], cell["n"], replace=False))
    if cell["side"] == "pixelherd":
        meter = Meter()
        herding = max_herding(MapProducts(maps, pixels, size), cell["picks"], memory=MEMORY)
        return meter.stop() | {"coverage": float(herding.coverage[-1])}
    start = time.perf_counter()
    x = interpolation.vectors(maps, torch.as_tensor(pixels // size[1]), torch.as_tensor(pixels % size[1]), size).numpy()
    seconds = time.perf_counter() - start
    result = rescan(np.ascontiguousarray(x), cell["picks"], limit)
    return result | {"seconds": seconds + result["seconds"], "memory": result["memory"] + x.nbytes}


def round_of_union(kind: str, folder: Path) -> dict:
    """Half of what a union offers: a first round, the same with 200 MB, or a round with labels of the same seed."""
    from pixelherd.selection.coverage.herding import herd
    from pixelherd.selection.coverage.products import VectorProducts
    from pixelherd.selection.coverage.similarities import Similarities
    from pixelherd.selection.coverage.union import POOL_MEMORY, read_union

    union = read_union(folder)
    listed, kernel, nothing_labelled = union.shared.listed, union.shared.kernel, np.array([], dtype=np.int64)
    if kind in ("first", "small"):
        rows = union.offered(nothing_labelled, listed)
        meter = Meter()
        memory = 200 * 10**6 if kind == "small" else POOL_MEMORY
        products = VectorProducts(union.vectors[rows])
        herding = herd(Similarities(products, union.bandwidth, kernel, memory), len(rows) // 2)
        digest = hashlib.sha256(herding.indices.numpy().tobytes()).hexdigest()
        return meter.stop() | {"n": len(rows), "picks": len(rows) // 2, "digest": digest}
    images = int(union.images.max()) + 1
    labelled, _ = union.herd(nothing_labelled, listed, kernel, max(images // 10, 1))
    meter = Meter()
    chosen, _ = union.herd(np.sort(labelled), listed, kernel, 0.5)
    return meter.stop() | {"n": len(union.offered(labelled, listed)), "picks": len(chosen)}


def report(found: list[dict], rounds: list[dict], options: argparse.Namespace) -> None:
    """Print the tables and write the picture."""
    import pandas as pd

    def text(row: dict) -> str:
        if row["mark"] in (SKIPPED, MEMORY):
            return row["mark"]
        if row["seconds"] is None:
            return "not installed"
        seconds = f"{row['seconds']:.2g}" if row["seconds"] < 10 else f"{row['seconds']:,.0f}"
        parts = [f"{row['mark']} {seconds} s".strip()]
        if row["memory"] is not None:
            parts.append(f"{row['memory'] / 1e6:,.0f} MB")
        if row["coverage"] is not None:
            parts.append(f"{row['coverage']:.5f}")
        return ", ".join(parts)

    keys = ["data", "n", "picks"]
    table: dict[tuple, dict] = {}
    for row in found:
        cells = table.setdefault(tuple(row[key] for key in keys), {})
        cells[row["side"]] = text(row)
        ours = next(
            (each for each in found if each["side"] == "pixelherd" and all(each[k] == row[k] for k in keys)), None
        )
        if row["side"] in ("plain", "rescan") and ours and row["seconds"]:
            cells[f"{row['side']} / pixelherd"] = f"{row['seconds'] / ours['seconds']:.3g}"
    lines = [
        dict(zip(["vectors", *keys[1:]], (title(key[0]), *key[1:]), strict=True)) | cells
        for key, cells in table.items()
    ]
    print(f"{options.threads} threads; seconds with the kernel, peak memory, coverage reached\n")
    print(pd.DataFrame(lines).fillna("").to_markdown(index=False, disable_numparse=True))
    if rounds:
        first, small, later = rounds
        print(f"\nUnion of a seed, {first['n']} vectors, {first['picks']} picks, with pixelherd:")
        print(f"- first round {first['seconds']:.1f} s, {first['memory'] / 1e6:.0f} MB")
        print(
            f"- with 200 MB for the kernel {small['seconds']:.1f} s, {small['memory'] / 1e6:.0f} MB, "
            f"picks the same: {small['digest'] == first['digest']}"
        )
        print(f"- a later round of the same seed {later['seconds']:.1f} s, {later['memory'] / 1e6:.0f} MB")
    picture(found, options.out)


def title(data: str | int) -> str:
    if data == "maps":
        return "an image's maps, D = 6144"
    return data if isinstance(data, str) else f"D = {data}"


def picture(found: list[dict], out: Path) -> None:
    """Seconds over n, log-log: a row of panels for few picks and one for half of all, a column for a kind of vectors.

    Full points are measured, hollow ones extrapolated; where an arrow stands the library was ended.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    found = [row for row in found if row["kind"] == "global" and row["seconds"] is not None and row["mark"] != SKIPPED]
    kinds, labels = (list(dict.fromkeys(row[key] for row in found)) for key in ("data", "label"))
    if not found:
        return
    figure = Figure(figsize=(3.2 * len(kinds) + 1.4, 2.6 * len(labels) + 0.3), layout="constrained")
    panels = figure.subplots(len(labels), len(kinds), sharex=True, sharey=True, squeeze=False)
    for panel_row, label in zip(panels, labels, strict=True):
        for axes, kind in zip(panel_row, kinds, strict=True):
            for colour, side in enumerate(SIDES):
                mine = [row for row in found if (row["data"], row["side"], row["label"]) == (kind, side, label)]
                n, seconds = [row["n"] for row in mine], [row["seconds"] for row in mine]
                axes.loglog(n, seconds, color=f"C{colour}", linewidth=1.2)
                for row in mine:
                    axes.plot(
                        row["n"],
                        row["seconds"],
                        "^" if row["mark"] == ENDED else "o",
                        color=f"C{colour}",
                        markersize=7 if row["mark"] == ENDED else 4,
                        markerfacecolor="white" if row["mark"].startswith("≈") else f"C{colour}",
                    )
            axes.set_title(f"{title(kind)}, {'half picked' if label == 'half' else f'{label} picks'}", fontsize=9)
            axes.grid(which="major", linewidth=0.3)
    for axes in panels[-1]:
        axes.set_xlabel("vectors")
    for axes in panels[:, 0]:
        axes.set_ylabel("seconds")
    handles = [Line2D([], [], color=f"C{colour}", marker="o", markersize=4) for colour in range(len(SIDES))]
    handles += [Line2D([], [], color="gray", linestyle="", marker=m, markerfacecolor=f) for m, f in MARKERS]
    figure.legend(handles, [*SIDES, "extrapolated", "ended"], loc="outside right upper", fontsize=8)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main()
