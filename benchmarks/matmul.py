"""What is gained by leaving matrix products to oneDNN instead of torch's default (MKL on x86)?

Products of the shapes that take the time: a head's first layer in training (forward, and its weight's gradient), the
first layers of one head and of ten over a tile of an image, and a piece of herding's kernel matrix. Both sides take
turns in this process; the best of ``--repeats`` counts.

    python benchmarks/matmul.py --threads 1
"""

import argparse
import time

import pandas as pd
import torch

from pixelherd.compute.matmul import matmul

SHAPES = {
    "training, first layer": ((1300, 1440), (1440, 128)),
    "training, its gradient": ((128, 1300), (1300, 1440)),
    "dense, a head": ((2048, 768), (768, 128)),
    "dense, ten heads": ((256, 768), (768, 1280)),
    "herding, D = 1440": ((256, 1440), (1440, 512)),
    "herding, D = 6144": ((256, 6144), (6144, 512)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(0)
    rows = []
    for name, (left, right) in SHAPES.items():
        a = torch.randn(left, generator=generator)
        b = torch.randn(right[::-1], generator=generator).T
        best = {"torch": float("inf"), "pixelherd": float("inf")}
        for _ in range(options.repeats):
            for side, product in (("torch", torch.matmul), ("pixelherd", matmul)):
                start = time.perf_counter()
                product(a, b)
                best[side] = min(best[side], time.perf_counter() - start)
        exact = a.double() @ b.double()
        size = (a.double().norm(dim=1)[:, None] * b.double().norm(dim=0)).max()
        row = {"product": name, "shape": f"{left[0]}×{left[1]}×{right[1]}"}
        for side, product in (("torch", torch.matmul), ("pixelherd", matmul)):
            row[f"{side} ms"] = round(1000 * best[side], 2)
            row[f"{side} error"] = f"{float((product(a, b) - exact).abs().max() / size):.1e}"
        rows.append(row | {"ratio": round(best["torch"] / best["pixelherd"], 2)})
    print(f"{options.threads} threads; error relative to the product of the vectors' lengths\n")
    print(pd.DataFrame(rows).to_markdown(index=False))


if __name__ == "__main__":
    main()
