"""What jobs cost: seconds, peak memory, network forwards. Kept apart from the results, which never change with them."""

import json
import re
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pixelherd.pipeline.accounts.machine import device_name
from pixelherd.storage.files import write_json, write_text

if TYPE_CHECKING:
    import pandas as pd

RUN_JOB = re.compile(r"([^/]+)/([^/]+)/([^/]+)/([^/]+)/(budget-[^/]+/seed-\d+)")
"""Where a run's job notes what it cost: stage, dataset, features, method and the rest of the run."""


class Meter:
    """Measures a job from its creation; ``forwards`` is added to by the job."""

    def __init__(self) -> None:
        self.forwards = 0
        self._start, self._started = time.perf_counter(), _now()

    def write(self, path: Path | str) -> None:
        """Write ``seconds``, ``peak_memory_mb`` and ``forwards`` (each of one image, timestep and draw) as JSON.

        Beside them stand the stage, which is the first folder below ``jobs`` (a rule has another name where a workflow
        uses this one as a module), when the job ``started`` and ``ended``, and the name of its ``device``.
        """
        unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
        seconds = time.perf_counter() - self._start
        write_json(
            path,
            {
                "stage": stage_of(path),
                "seconds": round(seconds, 2),
                "peak_memory_mb": round(peak, 1),
                "forwards": self.forwards,
                "started": self._started,
                "ended": _now(),
                "device": device_name(),
            },
        )


def stage_of(path: Path | str) -> str:
    """Return the stage of the job that notes its cost at a path."""
    parts = Path(path).parts
    return parts[parts.index("jobs") + 1]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read(folder: Path | str) -> list[dict]:
    """Every job's cost below ``folder``, in path order."""
    return list(read_by_place(folder).values())


def read_by_place(folder: Path | str) -> dict[str, dict]:
    """Every job's cost by its path below ``folder``, in path order."""
    files = sorted(Path(folder).rglob("*.json"))
    return {file.relative_to(folder).as_posix(): json.loads(file.read_text()) for file in files}


def write_summary(folder: Path, planned: dict[str, int]) -> None:
    """Write what a study cost as tables, ``costs.md`` with both of them.

    ``costs.csv``: per stage the jobs, seconds, peak memory, and forwards beside the plan. ``methods.csv``: the seconds
    of each method's runs by stage.

    Args:
        folder: ``results/costs``; the jobs' costs lie in ``jobs`` below it.
        planned: forwards that the plan foresaw, by stage.
    """
    import pandas as pd

    done = read_by_place(folder / "jobs")
    jobs = pd.DataFrame(list(done.values()), columns=["stage", "seconds", "peak_memory_mb", "forwards"])
    table = jobs.groupby("stage", as_index=False).agg(
        jobs=("seconds", "size"),
        seconds=("seconds", "sum"),
        longest_seconds=("seconds", "max"),
        peak_memory_mb=("peak_memory_mb", "max"),
        forwards=("forwards", "sum"),
    )
    order = {stage: place for place, stage in enumerate(planned)}
    table = table.sort_values("stage", key=lambda stages: stages.map(lambda stage: (order.get(stage, 99), stage)))
    table["planned_forwards"] = table["stage"].map(planned).fillna(0).astype(int)
    total = {
        "stage": "total",
        **{key: table[key].sum() for key in ("jobs", "seconds", "forwards", "planned_forwards")},
        **{key: table[key].max() for key in ("longest_seconds", "peak_memory_mb")},
    }
    table = pd.concat([table, pd.DataFrame([total])], ignore_index=True)[table.columns]
    methods = by_method(done, list(order))
    for name, each in (("costs", table), ("methods", methods)):
        write_text(folder / f"{name}.csv", each.to_csv(index=False, float_format="%.2f", lineterminator="\n"))
    page = _markdown(table)
    if total["forwards"] < total["planned_forwards"]:
        page += "\nForwards planned but not counted were run by another study, whose cache or runs this one uses.\n"
    if len(methods):
        page += "\nSeconds of each method's runs, without what runs share.\n\n" + _markdown(methods)
    write_text(folder / "costs.md", page)


def _markdown(table: "pd.DataFrame") -> str:
    return table.to_markdown(index=False, floatfmt=",.1f", intfmt=",") + "\n"


def by_method(costs: Mapping[str, dict], stages: Sequence[str]) -> "pd.DataFrame":
    """Seconds of the runs' own jobs, without what runs share.

    Args:
        costs: from :func:`read_by_place`, a run's at
            ``{stage}/{dataset}/{features}/{method}/budget-{budget}/seed-{seed}…``.
        stages: the stages in order.

    Returns:
        Columns: dataset, features, method, runs, seconds, and the seconds of each stage that is any run's own.
    """
    import pandas as pd

    found = ((RUN_JOB.match(place), cost) for place, cost in costs.items())
    rows = [[*job.groups(), cost["seconds"]] for job, cost in found if job]
    keys = ["dataset", "features", "method"]
    jobs = pd.DataFrame(rows, columns=["stage", *keys, "run", "seconds"])
    table = jobs.groupby(keys).agg(runs=("run", "nunique"), seconds=("seconds", "sum")).reset_index()
    spent = jobs.pivot_table(index=keys, columns="stage", values="seconds", aggfunc="sum", fill_value=0.0)
    known = [stage for stage in stages if stage in spent]
    return table.merge(spent[known].reset_index(), on=keys) if known else table
