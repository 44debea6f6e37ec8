"""The data card of an archive: what the runs are, who made them how, what columns mean, and what they cannot say."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from pixelherd.results.archive.carried import Carried, Runs
from pixelherd.results.setups import RUN

KINDS = {
    "metrics": "a row a round of each run: `labelled_pixels`, and what evaluation on the test split gave, in [0, 1]",
    "queries": "the pixels that each round asked for: 0-based row and column of the prepared image, and the score",
    "labels": "their answers: positions in the seal's `classes`, 255 for one that could not be told",
    "expected": "what the head of the round before expected of them",
    "scores": "quantiles of each score over the pool, and over the pixels chosen from it",
    "correlations": "Spearman's rank correlation of every two scores over the pool",
    "training": "how the head was fitted: a row an iteration",
    "stopping": "how far predictions on the training images have settled",
}
"""What the tables are, by the name of a run's file."""

MACHINE = ("processor", "instructions", "system", "torch", "numpy", "scipy")

QUESTION = """import pandas as pd

runs = ["dataset", "features", "budget", "method", "seed"]
metrics = pd.concat(map(pd.read_csv, sorted(Path("{folder}").glob("metrics*.csv.xz"))))
last = metrics.loc[metrics.groupby(runs)["round"].idxmax()]
print(last.groupby(runs[:-1])["miou"].agg(["count", "mean", "std"]))"""


def card(runs: Runs, folder: str, notes: str = "", record: Mapping[str, Any] | None = None, study: str = "") -> str:
    """Write the data card of an archive as Markdown; ``{files}`` in it stands for the table of files.

    Args:
        runs: what the archive holds.
        folder: what the archive is called.
        notes: Markdown that people wrote: licences of the data, why it was made, limits.
        record: what ``results/run.json`` tells of how the results came about, where it is known.
        study: the study file that the runs are of, if it is known.
    """
    seals = [each.seal for each in runs.values()]
    parts = [
        f"# {PurePosixPath(folder).name}: data card",
        f"{len(runs):,} finished runs of [pixelherd](https://arxiv.org/abs/2510.22229)'s active learning, without "
        "heads and pictures: what each round asked, what it was answered, and how good the head was that learned it.",
        *([notes.strip()] if notes.strip() else []),
        "## What it holds",
        _counts(runs),
        _datasets(seals),
        "## Ask it",
        f"```python\nfrom pathlib import Path\n{QUESTION.replace('{folder}', folder)}\n```",
        "Or make all tables, figures and the report again, without images and network:",
        f"```\npixelherd unpack {folder} RESULTS\n"
        f"snakemake tables report --cores 1 --configfile {study or 'STUDY.yaml'}\n```",
        "RESULTS is the folder that the study names under `results`. `pixelherd repeats` compares the runs with those "
        "that another machine made.",
        "## Files",
        "{files}",
        _columns(runs),
        "## How it was made",
        _made(seals),
        *([_recorded(record)] if record else []),
        "## What it cannot say",
        LIMITS,
    ]
    return "\n\n".join(parts) + "\n"


LIMITS = """- Seeds repeat the chance within a run. They do not cover the choice of images: nothing here speaks about
  others.
- Runs of one seed share candidates and the order of images, so methods are to be compared seed by seed.
- Sums round otherwise on another processor, and a score that ties by a digit orders pixels otherwise: the same study
  made elsewhere has other queries from some round on. What a run says of its machine is that of its evaluation.
- Heads and pictures are left out: masks cannot be predicted from this, and a report made of it shows no images."""


def _listed(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(map(str, values)))


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _counts(runs: Runs) -> str:
    """A line a dataset, features and budget: methods with their number of seeds, rounds."""
    groups: dict[tuple[str, str, str], list[Carried]] = {}
    for each in runs.values():
        groups.setdefault((each.run.dataset, each.run.features, each.run.budget), []).append(each)
    rows = []
    for setup, found in groups.items():
        seeds = Counter(each.run.method for each in found)
        methods = ", ".join(f"{method} ({count})" for method, count in seeds.items())
        rows.append([*setup, len(found), _listed(sorted({each.seal["rounds"] for each in found})), methods])
    return _table(["dataset", "features", "budget", "runs", "rounds", "methods (seeds)"], rows)


def _datasets(seals: Sequence[Mapping[str, Any]]) -> str:
    rows = {}
    for seal in seals:
        images, size = seal.get("images", {}), seal.get("image_size", [])
        classes = _listed(entry["name"] for entry in seal.get("classes", []))
        counts = [images.get(split, "–") for split in ("train", "test")]
        rows[seal["run"]["dataset"]] = [seal["run"]["dataset"], *counts, "×".join(map(str, size)), classes]
    return _table(["dataset", "training images", "test images", "height × width", "classes"], rows.values())


def _columns(runs: Runs) -> str:
    stems = {PurePosixPath(name).stem for each in runs.values() for name in each.tables}
    known = [f"- `{stem}…csv.xz`: {meaning}." for stem, meaning in KINDS.items() if stem in stems]
    others = sorted(stems - KINDS.keys())
    more = (
        [f"- {', '.join(f'`{stem}…csv.xz`' for stem in others)}: as the files of that name in a run."] if others else []
    )
    return "\n".join(
        [
            f"Every table begins with {', '.join(f'`{name}`' for name in RUN)}, which name the run. Where a table's "
            "columns differ, as those of metrics do with the classes, there is a file for each kind.",
            "",
            *known,
            *more,
            "- `seals.jsonl.xz`: a line a run: its settings with their hash, the hash of the source, classes, image "
            "counts, machine, and the digest of each of its files.",
            "- `index.json`: the digest of each file of the archive.",
        ]
    )


def _made(seals: Sequence[Mapping[str, Any]]) -> str:
    """Who made how many runs: the hash of the source, and the machine that evaluated them."""
    found = Counter(
        (seal["source_sha256"][:12], *(str((seal.get("made_on") or {}).get(part) or "–") for part in MACHINE))
        for seal in seals
    )
    return "Source (the first digits of the hash of all code that runs depend on) and machine, by runs:\n\n" + _table(
        ["source", *MACHINE, "runs"], [[f"`{source}`", *rest, count] for (source, *rest), count in found.items()]
    )


def _recorded(record: Mapping[str, Any]) -> str:
    git = record.get("git") or {}
    commit = f" at commit `{git['commit'][:12]}`{', changed' if git.get('changed') else ''}" if git else ""
    return (
        f"pixelherd {record.get('pixelherd')}{commit}, Python {record.get('python')}; {record.get('jobs')} jobs from "
        f"{record.get('started')} to {record.get('ended')}, {record.get('seconds', 0) / 3600:.1f} hours of work, "
        f"{record.get('forwards', 0):,} forwards of one image through a network."
    )
