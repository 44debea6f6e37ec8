"""How long does an installation take, and how much do the package and each of its extras add?

    python benchmarks/install.py --first torch==2.13.0

makes a virtual environment in a temporary folder, installs what is to come first there (a build of torch, say), then
the package, then one extra after the other in the order of `pyproject.toml`. Prints seconds and megabytes of each.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from places import REPOSITORY
from tabulate import tabulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", nargs="*", default=[], help="requirements that are installed before the package")
    options = parser.parse_args()
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    steps = {"first": options.first} if options.first else {}
    steps |= {"package": ["-e", str(REPOSITORY)]}
    steps |= {f"`{extra}`": ["-e", f"{REPOSITORY}[{extra}]"] for extra in extras}
    with tempfile.TemporaryDirectory(prefix="pixelherd-") as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        rows, before = [], megabytes(Path(folder))
        for name, requirements in steps.items():
            began = time.perf_counter()
            subprocess.run([f"{folder}/bin/pip", "install", "-q", *requirements], check=True)
            seconds, after = time.perf_counter() - began, megabytes(Path(folder))
            rows.append([name, seconds, after - before])
            before = after
        print(tabulate(rows, ["what", "seconds", "MB"], "github", floatfmt=("", ".0f", ",.0f")))


def megabytes(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    main()
