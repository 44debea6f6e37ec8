"""The frame around every job's script: threads, log, cost, and one line for a user's mistake."""

import errno
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pixelherd.compute import forked, forkserver, gpus, memory
from pixelherd.errors import UserError, complain, mention
from pixelherd.pipeline import seals

COMMON = (
    "snakemake.script",
    "snakemake_interface_storage_plugins.storage_object",
    "pixelherd.pipeline.job",
    "pixelherd.pipeline.accounts.costs",
)
"""What all jobs import."""

MODULES = (
    "pixelherd.features.extract",
    "pixelherd.heads.evaluation",
    "pixelherd.heads.linear",
    "pixelherd.heads.posterior",
    "pixelherd.results.figures.thumbnails",
    "pixelherd.selection.choose",
    "pixelherd.selection.coverage.lists",
    "pixelherd.selection.labelled",
    "pixelherd.selection.rules.coverage",
    "pixelherd.selection.single_stage",
    "pixelherd.study.run",
    "scipy.optimize",
    "zarr",
)
"""What jobs that compute import, and with it the libraries that all of them compute with."""

LATER = (
    "pixelherd.selection.coverage.pairs:load_loops",
    "pixelherd.heads.dense:load_loops",
    "pandas",
    "scipy.stats",
    "tabulate",
    "jinja2",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "pixelherd.results.pages.write",
    "pixelherd.results.figures.write",
    "pixelherd.results.report.page",
)
"""What later jobs need: modules, and functions in modules that are called once."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def start_server(threads: int, jobs: Iterable[Any]) -> None:
    """Start the server of which Snakemake's jobs are forked, and have its shells go to it with their scripts.

    There is one for all modules of a workflow, and none if no job makes files with so many numerical threads.

    Args:
        threads: of its libraries.
        jobs: those of Snakemake.
    """
    from snakemake.shell import shell

    rules = [job.rule for job in jobs if job.output]
    before = shell._get_process_prefix()  # perhaps of a workflow that uses this one
    other_shells = any("shell_exec" in rule.resources for rule in rules)
    bash = Path(shell.get_executable() or "sh").name == "bash" and not other_shells
    if not bash or forked.__file__ in before or not any(rule.params.get("threads") == threads for rule in rules):
        return
    sees = any(
        rule.name.endswith(("extract", "perturb", "picture")) for rule in rules
    )  # names in modules have a prefix
    modules = [*MODULES, *["pixelherd.features.backbones.networks.unet"] * sees]
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads)) | {forkserver.FORKED: str(threads)}
    if address := forkserver.start(COMMON, modules, variables, LATER):
        shell.prefix(f"{before} {forkserver.bash_function(address)} ".replace("{", "{{").replace("}", "}}"))


@contextmanager
def only_one(log: Path) -> Iterator[None]:
    """Wait until no other process does the job with this log: a killed Snakemake leaves its jobs running."""
    lock = FileLock(log.with_name(f".{log.name}.lock"))  # Snakemake deletes the log itself before a job
    try:
        lock.acquire(blocking=False)
    except Timeout:
        mention("a killed Snakemake left this job running; waiting for it to end")
        lock.acquire(poll_interval=0.5)
    except (OSError, NotImplementedError):
        pass  # a file system without such locks
    try:
        yield
    finally:
        lock.release()


@contextmanager
def job(snakemake: Any) -> Iterator[Any]:
    """Run a script's body; yields the job's :class:`pixelherd.pipeline.accounts.costs.Meter`.

    Import numerical libraries inside the body only: the number of threads, a setting of the study since sums differ
    with it, is fixed here before they start, and so is the GPU of a job that asked for one. A :class:`UserError`
    becomes one line and exit status 1. A fork of a process whose libraries have another number of threads ends at once,
    and the job begins again by itself.
    """
    threads = snakemake.params.get("threads")  # of a job that computes
    if os.environ.pop(forkserver.FORKED, str(threads or 1)) != str(threads or 1):
        sys.exit(forked.ALONE)
    memory.keep_freed_memory()
    os.environ |= dict.fromkeys(THREAD_VARIABLES, str(threads or 1))
    from pixelherd.pipeline.accounts.costs import Meter

    log, resources = Path(snakemake.log[0]), snakemake.resources
    lease = gpus.lease(resources.get("jobs_per_gpu", 1)) if resources.get("gpu", 0) else nullcontext()
    try:
        with only_one(log), lease:
            seals.break_seals(snakemake.output)
            meter = Meter()
            yield meter
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            error = UserError(
                "the disk is full", remedy="free space, or move `cache` in the study, and run the same command again"
            )
        if isinstance(error, UserError):
            complain(error)
            with suppress(OSError):
                log.write_text(f"{error}\n")
            sys.exit(1)
        log.write_text(traceback.format_exc())
        raise
    if cost := snakemake.params.get("cost"):
        meter.write(cost)
    log.write_text("done\n")
