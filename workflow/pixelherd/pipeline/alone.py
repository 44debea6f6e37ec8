"""Run the script of one job alone, in the foreground, so that ``breakpoint()`` in it opens a debugger.

    python -m pixelherd.pipeline.alone train step=demo/ddpm/edald/budget-0.1/seed-0/round-0

Options of Snakemake may follow. What the job reads must be there already; what it made is made again. A finished run
has no rule that makes its files: delete its ``run.json`` first.
"""

import subprocess
import sys
from collections.abc import Sequence


def command(arguments: Sequence[str]) -> list[str]:
    """Return the call of Snakemake that runs one job alone.

    Args:
        arguments: a rule, its wildcards as ``name=value``, and further options of Snakemake.

    Raises:
        ValueError: no rule is named.
    """
    if not arguments or arguments[0].startswith("-"):
        raise ValueError(
            "name a rule and its wildcards, such as `train step=demo/ddpm/edald/budget-0.1/seed-0/round-0`"
        )
    rule, *rest = arguments
    wildcards = [each for each in rest if "=" in each and not each.startswith("-")]
    options = [each for each in rest if each not in wildcards]
    job = f"{rule}:{','.join(wildcards)}"
    alone = ["--cores", "1", "--force", "--debug", "--allowed-rules", rule, "--target-jobs", job]
    return [sys.executable, "-m", "snakemake", *alone, *options]


if __name__ == "__main__":
    try:
        call = command(sys.argv[1:])
    except ValueError as error:
        sys.exit(f"pixelherd: {error}")
    if subprocess.call(call):
        sys.exit("pixelherd: no such job, or it failed: a run that is finished has none; delete its run.json")
