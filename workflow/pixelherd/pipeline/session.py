"""A call of Snakemake in a working folder: what it finds when it is opened, and what it tells its jobs.

One Snakemake works at a time in a folder, however the last one ended. All jobs of a call see the study as it was when
the call began: runs may be sealed, and answers saved, while jobs run, and a job must see the DAG that it is part of.
"""

import atexit
import os
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import chdir
from dataclasses import replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from filelock import Timeout

from pixelherd.annotation import oracle
from pixelherd.compute import slurm
from pixelherd.datasets.originals import Digests
from pixelherd.errors import UserError, say
from pixelherd.pipeline import marks, seals, source, upkeep
from pixelherd.pipeline.inputs import telling
from pixelherd.pipeline.inputs.mirror import Mirror, Storage
from pixelherd.pipeline.inputs.work import Work
from pixelherd.pipeline.job import start_server
from pixelherd.storage.clock import of_the_future
from pixelherd.storage.files import write_json
from pixelherd.storage.locks import lock_at, take
from pixelherd.storage.records import found_in
from pixelherd.study import checks, plan
from pixelherd.study.addresses import files_of_backbones
from pixelherd.study.study import Study

FOLDER = Path(".snakemake")
QUEUE = "pixelherd.json"
PATIENCE_SECONDS = 300
"""How long a dry run may hold the folder."""


class Session:
    """A Snakemake's hold on its working folder, and what it found to do.

    Snakemake's own locks are files, which a killed Snakemake leaves behind. This one is the kernel's and goes with its
    process: whoever gets it knows that locks which lie there are a dead one's.

    Attributes:
        work: what the study has still to do.
    """

    def __init__(
        self, folder: Path = FOLDER, scripts: Mapping[str, Path] | None = None, storage: Storage | None = None
    ) -> None:
        self._folder, self._storage = folder, storage
        self._mirror: Mirror | None = None
        self._told = folder / "pixelherd" / "told"
        self._lock = lock_at(folder / "pixelherd.lock")  # several modules share it
        self._last = partial(found_in, folder / QUEUE)  # what the last Snakemake told, and its jobs in SLURM
        self._scripts = scripts or {}
        self._started = False
        self._unmark: Callable[[], None] = lambda: None
        self.work: Work

    @cached_property
    def source(self) -> str:
        """Hash of the source that makes runs; jobs mostly do without it."""
        return source.hash_of_scripts(self._scripts[name] for name in source.RUN_STAGES)

    @classmethod
    def open(
        cls, config: Mapping[str, Any], scripts: Mapping[str, Path], *, main: bool, storage: Storage | None = None
    ) -> "Session":
        """Read the study and find what it has still to do.

        The call that the user gave claims the folder, marks runs of other settings, says what is kept, and asks for
        answers when it ends. Its jobs are told what it found.

        Args:
            config: the study, as Snakemake read it.
            scripts: the scripts of the workflow by name.
            main: whether this process was called by the user, and is not a job.
            storage: where results and cache lie, if not on this file system.

        Raises:
            UserError: the study has a mistake, or its data is missing.
        """
        session, study = cls(scripts=scripts, storage=storage), Study.read(dict(config))
        if storage:
            session._mirror = Mirror(storage, study, session._folder / "pixelherd" / "mirror")
        if main:
            session.claim()
            atexit.register(session.leave)
        told = None if main else telling.hear(study, session._last().get("told", {}), storage)
        session.work = work = session.look(study, main) if told is None else session.work_of(study).as_told(told)
        if main:
            checks.budgets_fit(study, work.pending, work.images)
            drop = session._mirror.drop_incomplete if session._mirror else upkeep.drop_incomplete
            drop(work.indices())
            if session._mirror:
                session._mirror.drop_halves(work.backbones())
            if told_at := telling.tell(session._told, study, work.told()):
                atexit.register(told_at.unlink, missing_ok=True)
            session.say_what_is_found()
            atexit.register(session.ask, Path.cwd())
        return session

    def work_of(self, study: Study) -> Work:
        """Return the work of a study of which nothing is pending, and which looks at raw files when asked for them."""
        digests = Digests(Path(study.paths.digests))
        self._looked = plan.Looked(study, digests)
        files = cache(partial(files_of_backbones, study, digests))
        work = Work(study, {}, {}, self._looked, {}, cache(self.source_of), files)  # each is asked for every shard
        return replace(work, is_there=self._mirror.holds) if self._mirror else work

    def _seen(self, study: Study) -> tuple[Study, Path]:
        """A study whose results are those that this session goes by, and the folder of the marks of its runs."""
        return (self._mirror.study, self._mirror.marks) if self._mirror else (study, marks.MARKS)

    def look(self, study: Study, main: bool) -> Work:
        """Find what a study has still to do, and what it will be made of, and mark what is to be made anew."""
        work = self.work_of(study)
        if self._mirror:
            self._mirror.look()
        seen, folder = self._seen(study)
        try:
            lacking = seals.pending_runs(seen, self.source, work.addresses.run)
            work = replace(work, pending=lacking, waiting=oracle.waiting(study, lacking))
            for dataset in sorted({run.dataset for run in lacking}):
                work.originals[dataset]  # raises what is wrong with them
        except UserError:
            if main and "doctor" in sys.argv:  # who tells more of what is wrong with raw files
                return self.work_of(study)
            raise
        if main:
            self._unmark = marks.mark_outdated(seen, lacking, self.source, work.begun(), folder)
            self._send()
        again = {run: marks.first_round_again(seen, run, folder) for run in lacking}
        return replace(work, again={run: number for run, number in again.items() if number is not None})

    def leave(self) -> None:
        """Take back the marks of a call that made nothing: it may only have looked."""
        if not self._started:
            self._unmark()
            self._send()

    def _send(self) -> None:
        """Have marks and notes of this session in the storage, where there is one."""
        if self._mirror:
            self._mirror.send()

    def source_of(self, stage: str) -> str:
        """Return the hash of the source of a stage."""
        return source.hash_of_script(self._scripts[stage])

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

    def say_what_is_found(self) -> None:
        """Name runs that another source made, or that begin anew, results that changed, and a clock that is ahead."""
        study = self.work.study
        lines = [] if study.refresh else seals.news_of_finished(self._seen(study)[0], self.work.pending, self.source)
        lines += map(str, upkeep.changed_results(study.paths, study.runs()))
        for line in filter(None, (*lines, of_the_future(study.results, study.cache))):
            say(line)

    def ask(self, folder: Path) -> None:
        """Say what waits for labels, and where; the last that a call of Snakemake prints, which left the folder."""
        with chdir(folder):
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
                jobs = list(workflow.dag.needrun_jobs())
                cache = [Path(self.work.study.cache) for job in jobs if job.rule.name.endswith("clean")]
                named = self._storage.path_of if self._storage else str
                files = [Path(named(file)) for job in jobs for file in job.output] + cache
                if files:  # what only prints may run beside another
                    shown(self.start, files, getattr(workflow.scheduler._executor, "run_uuid", None))
                if files and workflow.local_exec:
                    start_server(self.work.study.threads, jobs)
                if workflow.local_exec:
                    # after 500 jobs its limit of starts, which only a cluster needs, takes half a processor
                    workflow.scheduler.job_rate_limiter = None
                own(log)

            return start

        workflow._onstart = composed(workflow._onstart)
        workflow.onstart = lambda function: register(composed(function))

    def start(self, files: Collection[Path], queue: str | None = None) -> None:
        """Hold the folder for good, and cancel what a killed Snakemake left in SLURM's queue: it would delete files.

        Args:
            files: that it will make.
            queue: the name of all jobs that this Snakemake will submit to SLURM.

        Raises:
            UserError: another Snakemake has the folder or the cache, or a killed one's jobs do not end.
        """
        take(self._lock, PATIENCE_SECONDS, "in this folder", "let it end, or end it, first")
        self._started = True
        seen, folder = self._seen(self.work.study)
        if begun := self.work.begun():  # again: another call may have taken back its own meanwhile
            marks.mark_outdated(seen, self.work.pending, self.source, begun, folder)
        if any(file.is_relative_to(self.work.study.cache) for file in files):
            self._cache_lock = lock_at(self.work.study.paths.lock)
            take(self._cache_lock, 1, f"with the cache {self.work.study.cache}", "let it end, or set another `cache`")
            upkeep.remove(self.work.prepared_of(self._looked.superseded))
            self._looked.remember()
        marks.note_begun(seen, begun)
        self._send()
        if self._mirror:
            self._mirror.break_seals(self.work.pending, files)
        if self._lock.is_locked and (left := self._last().get("queue")):
            slurm.cancel(left)
        for path in self._told.glob("*.json"):  # of killed ones
            if str(path.absolute()) not in os.environ.values():
                path.unlink(missing_ok=True)
        told = {name: path for name, path in os.environ.items() if name.startswith(telling.TOLD)}
        write_json(self._folder / QUEUE, {"queue": queue, "told": told})
        if self._storage:
            telling.send(self.work.study, self._storage)
