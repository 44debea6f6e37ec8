"""The frame around every job's script: threads, log, cost, and one line for a user's mistake."""

import errno
import os
import sys
import traceback
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pixelherd.compute import forkserver, gpus, memory
from pixelherd.errors import UserError, complain, mention
from pixelherd.pipeline import seals

FORKSERVER = "PIXELHERD_FORKSERVER"
"""Begins the environment variable that holds the address of a server whose libraries use a number of threads."""

MODULES = (
    "snakemake.iocontainers",
    "snakemake_interface_storage_plugins.storage_object",
    "pixelherd.heads.evaluation",
    "pixelherd.heads.linear",
    "pixelherd.heads.posterior",
    "pixelherd.selection.choose",
    "pixelherd.selection.labelled",
    "pixelherd.selection.single_stage",
    "pixelherd.study.run",
    "pixelherd.compute.loaded",
    "scipy.optimize",
    "zarr",
)
"""What the jobs of rounds import, and with it the libraries that all jobs compute with."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def computing(jobs: Iterable[Any]) -> set[str]:
    """Return the names of the rules whose jobs make files with numerical threads, of Snakemake's jobs."""
    return {job.rule.name for job in jobs if job.output and job.rule.params.get("threads")}


def start_server(threads: int, stages: Collection[str]) -> None:
    """Start the server of which jobs with a number of threads are forked, and tell them where it is.

    Args:
        threads: of their libraries.
        stages: the names of their rules, or of those of a workflow that uses this one.
    """
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads))
    sees = any(stage.endswith(("extract", "perturb", "picture")) for stage in stages)
    modules = [*MODULES, *["pixelherd.features.backbones.networks.unet"] * sees]
    if address := forkserver.start(modules, variables):
        os.environ[f"{FORKSERVER}_{threads}"] = address


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
    becomes one line and exit status 1. A job that computes is run by a fork of the Snakemake's server where there is
    one, which has the libraries ready.
    """
    threads = snakemake.params.get("threads")  # of a job that computes
    forked = os.environ.pop(forkserver.FORKED, None) is not None
    if threads and not forked:
        status = forkserver.run_forked(os.environ.get(f"{FORKSERVER}_{threads}", ""))
        if status is not None:
            sys.exit(status)
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
