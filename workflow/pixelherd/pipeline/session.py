"""A call of Snakemake in a working folder: what it finds when it is opened, and what it tells its jobs.

One Snakemake works at a time in a folder, however the last one ended. All jobs of a call see the study as it was when
the call began: runs may be sealed, and answers saved, while jobs run, and a job must see the DAG that it was planned
in.
"""

import atexit
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import chdir
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pixelherd.annotation import oracle
from pixelherd.compute import slurm
from pixelherd.errors import UserError, say
from pixelherd.pipeline import seals, source
from pixelherd.pipeline.inputs.work import Work, images_of
from pixelherd.storage.clock import of_the_future
from pixelherd.storage.files import hash_of, write_json
from pixelherd.storage.shards import is_complete
from pixelherd.study.run import Run
from pixelherd.study.study import Study

FOLDER = Path(".snakemake")
QUEUE = "pixelherd.json"
TOLD = "PIXELHERD_SESSION"
"""Begins the environment variable by which jobs find what their Snakemake tells them of their study."""
PATIENCE_SECONDS = 300


class Session:
    """A Snakemake's hold on its working folder, and what it found to do.

    Snakemake's own locks are files, which a killed Snakemake leaves behind. This one is the kernel's and goes with the
    process that holds it; so whoever gets it knows that locks which lie there are a dead one's.

    Attributes:
        work: what the study has still to do.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._told = folder / "pixelherd" / "told"
        self._lock = FileLock(folder / "pixelherd.lock", is_singleton=True)  # several modules share it
        self._scripts: Mapping[str, Path] = {}
        self.work: Work

    @cached_property
    def source(self) -> str:
        """Hash of the source that makes runs; jobs mostly do without it."""
        return source.hash_of_scripts(self._scripts[name] for name in source.RUN_STAGES)

    @classmethod
    def open(cls, config: Mapping[str, Any], scripts: Mapping[str, Path], *, main: bool) -> "Session":
        """Read the study and find what it has still to do.

        The call that the user gave claims the folder, marks runs that other settings sealed, says what is kept, and
        asks for answers when it ends. Its jobs are told what it found.

        Args:
            config: the study, as Snakemake read it.
            scripts: the scripts of the workflow by name.
            main: whether this process was called by the user, and is not a job.

        Raises:
            UserError: the study has a mistake, or the data that it needs is missing.
        """
        session, study = cls(), Study.read(dict(config))
        session._scripts = dict(scripts)
        told = None if main else session.told(study)
        if told is not None:
            lacking, waiting = told
            images = images_of(study, lacking)
        else:
            if main:
                session.claim()
            lacking = seals.pending_runs(study, session.source)
            if main:
                seals.mark_outdated(study, lacking, session.source)
            waiting = oracle.waiting(study, lacking)
            images = {} if main and "doctor" in sys.argv else images_of(study, lacking)
        again = {run: seals.first_round_again(study, run) for run in lacking}
        session.work = Work(study, lacking, waiting, images, {run: n for run, n in again.items() if n is not None})
        if main:
            session.tell()
            session.say_what_is_kept()
            if line := of_the_future(study.results, study.cache):
                say(line)
            session.drop_incomplete_indices()
            atexit.register(session.ask, Path.cwd())
        return session

    def claim(self) -> None:
        """Take the folder if nobody has it, and remove the locks of a killed Snakemake; else say that somebody has."""
        try:
            self._folder.mkdir(exist_ok=True)
            self._lock.acquire(blocking=False)
            left = list((self._folder / "locks").glob("*"))
            for path in left:
                path.unlink(missing_ok=True)
        except Timeout:
            say("another Snakemake works in this folder; let it end, or end it, before this one makes files")
            return
        except (OSError, NotImplementedError):
            return  # a file system without such locks, or one that is read only: Snakemake's own have to do
        if left:
            say("the last Snakemake in this folder was killed; its locks are removed, what it finished is kept")

    def tell(self) -> None:
        """Write what jobs have to know, where the environment that they inherit says.

        A dry run, and a call that only prints, tell as well, since nobody knows yet what this one will do.
        """
        variable = variable_of(self.work.study)
        path = self._told / f"{variable}-{os.getpid()}.json"
        try:
            write_json(
                path,
                {
                    "pending": {run.path: [rounds.start, rounds.stop] for run, rounds in self.work.pending.items()},
                    "waiting": {run.path: number for run, number in self.work.waiting.items()},
                },
            )
        except OSError:
            return  # a folder that is read only, in which no job will run
        os.environ[variable] = str(path.absolute())
        atexit.register(path.absolute().unlink, missing_ok=True)

    def told(self, study: Study) -> tuple[dict[Run, range], dict[Run, int]] | None:
        """Return pending and waiting runs as the Snakemake that started this job found them; None if it told nothing.

        Raises:
            UserError: the job does not see what its Snakemake wrote.
        """
        variable = variable_of(study)
        path = os.environ.get(variable) or self._left().get("told", {}).get(variable)  # a cluster's jobs may lack it
        if path is None:
            return None
        try:
            record = json.loads(Path(path).read_text())
        except FileNotFoundError:
            raise UserError(
                f"{path} is not there for this job", remedy="work on a file system that all nodes share"
            ) from None
        lacking = {run: range(*record["pending"][run.path]) for run in study.runs() if run.path in record["pending"]}
        return lacking, {Run.parse(path): number for path, number in record["waiting"].items()}

    def say_what_is_kept(self) -> None:
        """Name finished runs that another version of the source made."""
        study = self.work.study
        if kept := [] if study.refresh else seals.made_by_other_source(study, self.source):
            names = ", ".join(run.path for run in kept[:3]) + (", …" if len(kept) > 3 else "")
            what = f"another version of the source made {len(kept)} finished runs ({names}); they are kept"
            say(f"{what}, `--config refresh=true` redoes them")

    def drop_incomplete_indices(self) -> None:
        """Delete indices of shards that are gone: Snakemake does not remake a shard behind an index that exists."""
        for index in self.work.indices():
            if not is_complete(index):
                Path(index).unlink()

    def ask(self, folder: Path) -> None:
        """Say what waits for labels, and where; the last thing that a call of Snakemake prints."""
        with chdir(folder):  # Snakemake has left it by now
            for run, number in self.work.waiting.items():
                if line := oracle.request(self.work.study, run, number):
                    say(line)

    def before_jobs(self, workflow: Any, shown: Callable[..., object]) -> None:
        """Have the folder taken for good before the first job, also where another workflow uses this one as a module.

        Snakemake ignores the `onstart` of a module, so this becomes part of the workflow's own, whichever comes first.

        Args:
            workflow: Snakemake's ``Workflow``.
            shown: calls a function with arguments, and shows a user's mistake without a traceback.
        """
        register = workflow.onstart  # perhaps that of another module's session

        def composed(own: Callable[[Any], object]) -> Callable[[Any], object]:
            def start(log: Any) -> None:
                if any(job.output for job in workflow.dag.needrun_jobs()):  # what only prints may run beside another
                    shown(self.start, getattr(workflow.scheduler._executor, "run_uuid", None))
                # Snakemake 9 looks at all waiting jobs again a second after each look, and every job that ends adds
                # such a series to those that go on: after 500 jobs that takes half a processor. Without its limit of
                # 100 starts a second, which only a cluster needs, it looks when a job has ended.
                if workflow.local_exec:
                    workflow.scheduler.job_rate_limiter = None
                own(log)

            return start

        workflow._onstart = composed(workflow._onstart)
        workflow.onstart = lambda function: register(composed(function))

    def start(self, queue: str | None = None) -> None:
        """Hold the folder for good, and cancel the jobs that a killed Snakemake left in SLURM's queue.

        They would do again what this one's jobs do, and delete it before.

        Args:
            queue: the name of all jobs that this Snakemake will submit to SLURM.

        Raises:
            UserError: another Snakemake has the folder, or a killed one's jobs do not end.
        """
        try:
            self._lock.acquire(timeout=PATIENCE_SECONDS)  # a dry run may have had it
        except Timeout:
            raise UserError("another Snakemake works in this folder", remedy="let it end, or end it, first") from None
        except (OSError, NotImplementedError):
            pass
        if self._lock.is_locked and (left := self._left().get("queue")):
            slurm.cancel(left)
        for path in self._told.glob("*.json"):  # of killed ones
            if str(path.absolute()) not in os.environ.values():
                path.unlink(missing_ok=True)
        told = {name: path for name, path in os.environ.items() if name.startswith(TOLD)}
        write_json(self._folder / QUEUE, {"queue": queue, "told": told})

    def _left(self) -> dict[str, Any]:
        """What the last Snakemake that made files left: the name of its jobs in SLURM, and where it told them what."""
        try:
            return json.loads((self._folder / QUEUE).read_text())
        except FileNotFoundError:
            return {}


def variable_of(study: Study) -> str:
    """Return the environment variable by which jobs of a study find what their Snakemake tells them."""
    return f"{TOLD}_{hash_of(study.content())[:12]}"
