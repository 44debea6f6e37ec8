# The session, and adapters from Snakemake's wildcards to functions of a study. No rule is defined here.

import functools
import inspect
import os
import shlex
import sys
from pathlib import Path

from pydantic import BaseModel

from pixelherd.errors import UserError, say
from pixelherd.pipeline import source
from pixelherd.pipeline.inputs import results, rounds, shared
from pixelherd.pipeline.inputs.travel import Travel
from pixelherd.pipeline.inputs.work import Work, none_of, one_of
from pixelherd.pipeline.session import Session
from pixelherd.results.registry import TABLES as TABLE_NAMES
from pixelherd.results.setups import OVERALL
from pixelherd.storage.files import hash_of
from pixelherd.storage.stores import DATA
from pixelherd.study import stages
from pixelherd.study.checks import no_key_twice
from pixelherd.study.run import Run, round_of

if workflow.modifier.path_modifier.prefix or workflow.modifier.path_modifier.modifies_prefixes:
    raise WorkflowError("pixelherd: `prefix` of a module is not taken; set `results` and `cache` in its config instead")

REPORTING = ("annotate", "stopping", "write_tables", "write_figures", "write_report", "write_costs")
SCRIPTS = {name: Path(shipped(f"../scripts/{name}.py")) for name in (*source.RUN_STAGES, *REPORTING)}
if workflow.is_main_process:
    for file in workflow.configfiles:
        in_one_line(no_key_twice, file)
SESSION = in_one_line(Session.open, config, SCRIPTS, main=workflow.is_main_process, storage=STORAGE)
if workflow.is_main_process:
    SESSION.before_jobs(workflow, in_one_line)
WORK, STUDY, PATHS = SESSION.work, SESSION.work.study, SESSION.work.paths
TRAVEL = Travel(WORK)

COMMAND = os.environ.get("PIXELHERD_COMMAND") or shlex.join(["snakemake", *sys.argv[1:]])
ADVICE = f"what is finished is kept; mend what is wrong, then give the same command again: {COMMAND}"
TABLES = expand(PATHS.table, table=TABLE_NAMES, kind=("csv", "md", "tex"))


wildcard_constraints:
    dataset="[A-Za-z0-9_-]+",
    features="[A-Za-z0-9_-]+",
    name="[A-Za-z0-9_-]+",
    split="train|test",
    shard=rf"\d+-\d+-{none_of(WORK.made)}",
    address=none_of(WORK.made),
    key=r"(\d+|shared)(-[0-9a-f]{8})?",
    listed=r"\d+",
    group="[0-9a-f]{12}",
    run=one_of(run.path for run in WORK.pending),  # sealed runs have no rule that makes their files
    step=one_of(WORK.steps()),
    answered=one_of(WORK.answered()),


ANY_SHARD = rf"\d+-\d+-{none_of([])}"  # of what is named after the images of maps
run_at = functools.cache(Run.parse)


def asked(wildcards, name):
    """What a function of a study means by a parameter's name, of a job's wildcards; a run has dataset and features."""
    if name == "run":
        return run_at(wildcards.get("step") or wildcards.get("answered") or wildcards.run)
    if name == "number":
        return round_of(wildcards.step)
    return wildcards.get(name) or getattr(asked(wildcards, "run"), name)


def of(function, subject=WORK):
    """A function of wildcards that calls one of a study; settings become JSON, in which what is unused is absent."""
    names = list(inspect.signature(function).parameters)[1:]

    def called(wildcards):
        found = in_one_line(function, subject, *(asked(wildcards, name) for name in names))
        return found.model_dump(mode="json", exclude_none=True) if isinstance(found, BaseModel) else found

    return called


def store(manifest):
    """What a job writes of a store: the folder, and the manifest last, for in this order a storage gets them.

    A manifest that is there says that all is: who is killed while files go into a storage leaves none.
    """
    return [directory(str(Path(manifest).with_name(DATA))), manifest]


def of_finished(*files):
    """Files that are made of finished runs, if there will be any."""
    return lambda wildcards: results.of_finished_runs(WORK, *files)
