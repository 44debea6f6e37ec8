"""Damage every kind of file of a small study in every way, and print as a table what came of it.

    python benchmarks/damages.py [--examples 100] [--log damages.csv]

A damage flips a bit, cuts, empties, swaps, ages or deletes a file of cache or results of a finished or half-finished
study; then the study is run until no line names anything to delete. *Told* are damages that a line names, after which
the results were those of sound files; *same results* those after which they were so without a word, since the file was
made again or nobody needs it. *Silent* would be other results without a word.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

REPOSITORY = Path(__file__).parents[1]
OUTCOMES = {"told": "told", "same": "same results", "silent": "silent"}


def table(log: Path) -> str:
    """Return the table in Markdown: kinds of files by outcomes, with the ways of damage."""
    rows = pd.read_csv(log, names=["state", "file", "how", "outcome"])
    counts = pd.crosstab(rows["file"], rows["outcome"]).reindex(columns=list(OUTCOMES), fill_value=0)
    ways = rows.groupby("file")["how"].agg(lambda found: ", ".join(sorted(set(found))))
    counts.loc["all"] = counts.sum()
    shown = counts.rename(columns=OUTCOMES).assign(ways=ways).fillna("").reset_index()
    shown["file"] = [f"`{name}`" if name != "all" else name for name in shown["file"]]
    return shown.to_markdown(index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=100, help="damages to each of the two studies")
    parser.add_argument("--log", type=Path, default=Path("damages.csv"), help="each damage and what came of it")
    options = parser.parse_args()
    log = options.log.absolute()
    log.unlink(missing_ok=True)
    environment = os.environ | {"PIXELHERD_DAMAGES": str(options.examples), "PIXELHERD_DAMAGES_LOG": str(log)}
    command = [sys.executable, "-m", "pytest", "-m", "slow", "-n2", "tests/workflow/test_damage.py"]
    failed = subprocess.run(command, cwd=REPOSITORY, env=environment).returncode
    print(table(log))
    sys.exit(failed)
