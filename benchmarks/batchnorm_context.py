"""Do 256 context pixels an image serve BatchNorm as well as all pixels of the batch's images, the authors' way?

Heads are trained on the same labels of a finished run, once with the kept context pixels (``context: kept``) and once
with every pixel of the batch's images (``context: all``), everything else alike: head initialisation, image order,
epochs. Each head is evaluated on the whole test split. Prints mean mIoU of both sides and the difference with its 95 %
t-interval over seeds. Finished heads are kept in ``--out``, and training resumes from its last epoch, so the command
may be stopped and given again.

    python benchmarks/batchnorm_context.py studies/camvid.yaml --method edald --epochs 10
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from places import open_dataset, read_study, work_of
from scipy import stats

from pixelherd.compute.randomness import torch_generator
from pixelherd.features.maps import StoredMaps
from pixelherd.heads import network, training
from pixelherd.heads.evaluation import tally
from pixelherd.heads.metrics import miou
from pixelherd.heads.settings import MlpSettings
from pixelherd.heads.sources import dense_source
from pixelherd.pipeline.inputs.work import Work
from pixelherd.selection.labelled import labelled_pixels, vector_source
from pixelherd.storage.files import write_json
from pixelherd.study.run import Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="study file whose runs are finished and whose cache is there")
    parser.add_argument("--method", default="edald", help="whose labels to train on")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of both sides; no early stop")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/batchnorm_context"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    study = read_study(options.study)
    work = work_of(study)
    runs = [run for run in study.runs() if run.method == options.method and run.budget == str(study.budgets[0])]
    rows = [
        {"seed": run.seed, **{side: trained_miou(work, run, side, options) for side in ("kept", "all")}} for run in runs
    ]
    table = pd.DataFrame(rows)
    table["difference"] = table["kept"] - table["all"]
    print(f"mIoU (%) with {study.features[runs[0].features].context} context pixels an image, and with all pixels;")
    print(f"labels of {options.method} after round {study.rounds - 1}, {options.epochs} epochs")
    print((table.set_index("seed") * 100).to_markdown(floatfmt=".2f"))
    difference = 100 * table["difference"]
    low, high = stats.t.interval(0.95, len(table) - 1, difference.mean(), stats.sem(difference))
    print(f"difference {difference.mean():+.2f}, 95 % t-interval [{low:+.2f}, {high:+.2f}], {len(table)} seeds")


def trained_miou(work: Work, run: Run, side: str, options: argparse.Namespace) -> float:
    """Test mIoU of a head that was trained with one kind of context; read back if it is there."""
    folder = options.out / f"{run.path}-{work.addresses.run(run)}" / f"epochs-{options.epochs}"
    result = folder / f"{side}.json"
    if result.is_file():
        return json.loads(result.read_text())["miou"]
    folder.mkdir(parents=True, exist_ok=True)
    study, last = work.study, work.study.rounds - 1
    dataset, classes = open_dataset(work, run.dataset)
    train, test = (work.maps_index(run.dataset, run.features, split) for split in ("train", "test"))
    labels = study.paths.until(study.paths.labels, run, last)
    device = torch.device("cpu")
    if side == "all":
        source, dim = dense_source(dataset, labels, StoredMaps(train), device)
    else:
        union = work.union(run) if study.needs_lists(run.method) else None
        pixels = labelled_pixels(dataset, labels, train, union)
        source, dim = vector_source(pixels, train, device), pixels.dim
    settings = MlpSettings(kind="mlp", epochs=options.epochs, patience=10**9)
    new = network.MlpHead(dim, classes, hidden=settings.hidden, generator=torch_generator(run.seed, "head", last))
    training.train(
        source,
        new,
        settings,
        order_generator=torch_generator(run.seed, "image order"),
        progress=lambda row: print(f"{run.path} {side}: epoch {row['epoch']}, loss {row['loss']:.3f}", flush=True),
        checkpoint=folder / f"{side}.checkpoint",
    )
    images = range(len(dataset.test))
    matrix = tally([new], images, StoredMaps(test), dataset.test.labels, classes).matrix[0]
    write_json(result, {"miou": float(miou(matrix)), "confusion": np.asarray(matrix).tolist()})
    return float(miou(matrix))


if __name__ == "__main__":
    main()
