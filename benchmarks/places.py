"""Where a study's files lie: benchmarks ask here and spell no path, for what lies in the cache has an address."""

import sys
from functools import cache, partial
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[1]
SCRIPTS = REPOSITORY / "workflow" / "scripts"
sys.path.insert(0, str(REPOSITORY / "workflow"))  # addresses are of the source that lies here, whichever is installed

from pixelherd.datasets.dataset import Dataset  # noqa: E402
from pixelherd.datasets.originals import Digests  # noqa: E402
from pixelherd.pipeline import source  # noqa: E402
from pixelherd.pipeline.inputs.work import Work  # noqa: E402
from pixelherd.study import plan, stages  # noqa: E402
from pixelherd.study.addresses import files_of_backbones  # noqa: E402
from pixelherd.study.study import Study  # noqa: E402


def read_study(path: Path) -> Study:
    """Read a study file."""
    return Study.read(yaml.safe_load(path.read_text()))


def work_of(study: Study) -> Work:
    """Return all work of a study, finished or not, of its raw files as they are: it says where everything lies.

    Raises:
        UserError: raw files or backbones are missing, and nobody has looked at them before.
    """
    digests = Digests(Path(study.paths.digests))
    originals = plan.Looked(study, digests)
    for dataset in study.datasets:
        originals[dataset]  # is looked at
    whole = {run: range(study.rounds_of(run.method)) for run in study.runs()}
    return Work(study, whole, {}, originals, {}, source_of, cache(partial(files_of_backbones, study, digests)))


@cache
def source_of(stage: str) -> str:
    """Return the hash of the source of a stage, by the name of its script."""
    return source.hash_of_script(SCRIPTS / f"{stage}.py")


@cache
def source_of_runs() -> str:
    """Return the hash of the source that makes runs."""
    return source.hash_of_scripts(SCRIPTS / f"{stage}.py" for stage in source.RUN_STAGES)


def open_dataset(work: Work, dataset: str) -> tuple[Dataset, int]:
    """Open a prepared dataset; returns it with its number of classes.

    Raises:
        UserError: it is not in the cache.
    """
    return Dataset.open(Path(work.dataset(dataset)).parent), len(stages.class_names(work.study, dataset))
