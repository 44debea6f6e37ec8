"""How a study's results came about: versions, settings, machines and times, for ``results/run.json``."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pixelherd import __version__
from pixelherd.pipeline.accounts import costs
from pixelherd.storage.files import hash_of
from pixelherd.study.study import Study

PACKAGES = ("torch", "diffusers", "numpy", "scipy", "scikit-learn", "pandas", "pillow", "zarr", "snakemake")


def git_state(repository: Path) -> dict[str, Any] | None:
    """``commit``, and whether files were ``changed`` since; None for a copy without git."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "changed": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.CalledProcessError):
        return None


def record(study: Study, jobs: Path, repository: Path, source: str) -> dict[str, Any]:
    """What made the study's results.

    Args:
        study: the study.
        jobs: folder of the jobs' costs. They tell devices, times and forwards; without them those are unknown.
        repository: where pixelherd's source lies.
        source: hash of the source that makes runs.
    """
    packages: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    done = costs.read(jobs)
    return {
        "pixelherd": __version__,
        "git": git_state(repository),
        "source_sha256": source,
        "settings_sha256": hash_of(study.model_dump(mode="json")),
        "python": platform.python_version(),
        "packages": packages,
        "devices": sorted({job["device"] for job in done if job.get("device")}),
        "started": min((job["started"] for job in done if job.get("started")), default=None),
        "ended": max((job["ended"] for job in done if job.get("ended")), default=None),
        "jobs": len(done),
        "seconds": round(sum(job["seconds"] for job in done), 2),
        "forwards": sum(job["forwards"] for job in done),
    }
