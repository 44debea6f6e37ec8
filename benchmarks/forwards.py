"""How often the network runs for a grid of studies: the authors' schedule against pixelherd's, counted exactly.

The datasets and features of one study, the methods of another (without the fully labelled reference), the same seeds
for every method. Nothing is measured and no data is needed: pixelherd's side is its plan, the authors' side the
schedule that ``benchmarks/loop.py`` runs. There a run takes, each time at all timesteps,

- for every round and epoch, a pass over the training images;
- for every round, a pass over the training images where the method herds (single-stage methods: in round 0 only),
  and a pass over the test images;
- for every round that asks a head, so not for round 0, a pass over the training images for its predictions, and where
  the score needs noise draws 1 + M more.

Draws of single-stage methods, which cost the same on both sides, are left out of both. Epochs: the bound of the
method's training, and with ``--runs`` the mean number that finished runs logged under the authors' stop rule.

    python benchmarks/forwards.py studies/paper.yaml studies/table2.yaml --runs results/table2/runs
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from pixelherd.study import plan, stages
from pixelherd.study.study import Study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path, help="study whose datasets and features are taken")
    parser.add_argument("methods", type=Path, help="study whose methods are taken")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, help="finished runs whose logged epochs are averaged")
    options = parser.parse_args()
    grid = yaml.safe_load(options.datasets.read_text())
    entries = yaml.safe_load(options.methods.read_text())["methods"]
    methods = {name: dict(entry or {}, seeds=list(range(options.seeds))) for name, entry in entries.items()}
    methods.pop("full", None)
    study = Study.read(grid | {"methods": methods, "seeds": list(range(options.seeds))})
    images = plan.images_of(study, list(study.datasets))
    epochs = {"bound": [stages.training(study, run).head.epochs for run in study.runs()]}
    if options.runs:
        logs = [log for log in options.runs.glob("*/*/*/*/*/*/training.csv") if "/full/" not in log.as_posix()]
        logged = float(np.mean([len(pd.read_csv(log)) for log in logs]))
        epochs[f"logged, mean {logged:.2f}"] = [logged] * len(study.runs())

    print(
        f"{len(study.runs())} runs: {len(study.datasets)} datasets, {len(methods)} methods, {options.seeds} seeds, "
        f"{study.rounds} rounds\n"
    )
    rows = []
    for dataset, of_split in images.items():
        alone = study.model_copy(update={"datasets": {dataset: study.datasets[dataset]}})
        ours = sum(item.forwards for item in plan.items(alone, images)) - single_stage_draws(alone, of_split)
        row = {"dataset": dataset, "training images": of_split["train"], "test images": of_split["test"], "ours": ours}
        for name, counts in epochs.items():
            pairs = zip(study.runs(), counts, strict=True)
            row[name] = round(sum(authors(study, run, each, of_split) for run, each in pairs if run.dataset == dataset))
        rows.append(row)
    table = pd.DataFrame(rows)
    total = table.drop(columns="dataset").sum()
    table = pd.concat([table, pd.DataFrame([{"dataset": "all"} | total.to_dict()])])
    for name in epochs:
        table[f"{name}: ratio"] = (table[name] / table["ours"]).round().astype(int)
    print(table.map(lambda value: f"{value:,}" if isinstance(value, int) else value).to_markdown(index=False))


def authors(study: Study, run, epochs: float, images: dict[str, int]) -> float:
    """Forwards of a run on the authors' schedule."""
    method, rounds = run.method, study.rounds
    single, draws = study.is_single_stage(method), study.draws_of(method, run.features)
    herds = (1 if single else rounds) * study.needs_lists(method)
    asks = (rounds - 1) * study.needs_head(method)
    drawn = (rounds - 1) * (1 + draws) * study.needs_listed_draws(method)
    steps = len(study.features[run.features].timesteps)
    return steps * (images["train"] * (rounds * epochs + herds + asks + drawn) + images["test"] * rounds)


def single_stage_draws(study: Study, images: dict[str, int]) -> int:
    """Forwards of single-stage noise draws that the plan counts."""
    return sum(
        (study.rounds - 1)
        * images["train"]
        * len(study.features[run.features].timesteps)
        * study.draws_of(run.method, run.features)
        for run in study.runs()
        if study.is_single_stage(run.method) and study.needs_draws(run.method)
    )


if __name__ == "__main__":
    main()
