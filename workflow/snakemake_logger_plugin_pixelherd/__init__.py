"""Snakemake's log as a person reads it: a plugin of Snakemake, `logger: pixelherd` in a profile.

Flags that ask Snakemake for its own output (`--verbose`, `--printshellcmds`, `--dry-run`, ...) leave it to Snakemake.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import OutputSettingsLoggerInterface

if TYPE_CHECKING:
    from snakemake_logger_plugin_pixelherd.console import Console

MARK = "pixelherd: "
"""Begins every line of pixelherd's own."""
SNAKEMAKE = logging.getLogger("snakemake.logging")
FOLLOWS = ("CalledProcessError", "Exiting because a job execution failed", "At least one job did not complete")
"""Of lines that Snakemake writes about a job that failed, besides the event that says so."""

ALWAYS = ("Assuming unrestricted shared filesystem usage", "Building DAG of jobs")
"""Begin lines that Snakemake writes before it runs anything or answers."""


def is_asked_for(settings: OutputSettingsLoggerInterface) -> bool:
    """Whether a user asks for Snakemake's own output."""
    wanted = (settings.verbose, settings.dryrun, settings.debug_dag, settings.printshellcmds)
    return any(wanted) or bool(settings.quiet)


def open_console() -> "Console | None":
    """Return a console; None where the package is of another version, as the workflow will tell."""
    try:
        from snakemake_logger_plugin_pixelherd.console import Console
    except ImportError:
        return None
    return Console()


class LogHandler(LogHandlerBase):
    """Shows a person what Snakemake logs."""

    def __post_init__(self) -> None:
        """Take the screen, unless Snakemake keeps it."""
        self._console = None if is_asked_for(self.common_settings) else open_console()
        self._stats: dict[str, int] = {}
        if self._console:
            SNAKEMAKE.addFilter(self.before)

    @property
    def writes_to_stream(self) -> bool:
        """Whether Snakemake itself shall write nothing."""
        return self._console is not None

    @property
    def writes_to_file(self) -> bool:
        """No: Snakemake writes its log."""
        return False

    @property
    def has_filter(self) -> bool:
        """Yes: it takes what it needs."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Yes: lines are its own."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False

    def before(self, record: logging.LogRecord) -> bool:
        """Take the screen before the first job starts: Snakemake's thread logs here, while `emit` comes later.

        Rules without output print what a user asks for (`plan`): a call of them alone leaves the screen to them.
        """
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            self._stats = getattr(record, "stats", {})
        makes_files = event == LogEvent.JOB_INFO and getattr(record, "output", None)
        if makes_files and self._console and not self._console.has_screen:
            files = (each.baseFilename for each in SNAKEMAKE.handlers if isinstance(each, logging.FileHandler))
            self._console.begin(self._stats, next(files, None))
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        if self._console is None:
            return
        values, console = record.__dict__, self._console
        match values.get("event"):
            case LogEvent.WORKFLOW_STARTED:
                console.answers = None
            case LogEvent.JOB_INFO:
                console.advance(lambda progress: progress.start(values["jobid"], values["rule_name"]))
            case LogEvent.JOB_FINISHED:
                console.mistakes.pop(values["job_id"], None)  # of a try before
                console.advance(lambda progress: progress.finish(values["job_id"]))
            case LogEvent.PROGRESS:
                console.advance(lambda progress: setattr(progress, "done", values["done"]))
            case LogEvent.JOB_ERROR if not values["indent"]:
                self._fail([values])
            case LogEvent.GROUP_ERROR:
                self._fail(values["job_error_info"], values["aux_logs"])
            case LogEvent.ERROR | None:
                self._note(record)

    def close(self) -> None:
        """Print what comes last."""
        if self._console:
            SNAKEMAKE.removeFilter(self.before)
            self._console.close()
        super().close()

    def _note(self, record: logging.LogRecord) -> None:
        """Keep what Snakemake warns of, and mistakes: those of pixelherd without what Snakemake writes around them."""
        console, text = self._console, record.getMessage().strip()
        if console is None or any(each in text for each in FOLLOWS):
            return
        if found := re.findall(rf"{MARK}(.+)", text):
            console.mistakes |= {each: each for each in found}
        elif record.levelno >= logging.ERROR:
            console.texts.append(text)
        elif record.levelno == logging.WARNING:
            console.hear(record.levelno, f"Snakemake warns: {text}")
        elif text.startswith("Nothing to be done"):
            console.say(text)
        elif console.answers is not None and not text.startswith(ALWAYS):
            console.answers.append(text)

    def _fail(self, jobs: Iterable[Mapping[str, Any]], logs: Iterable[str] = ()) -> None:
        """Keep why a job failed, or those of a group that did; whoever was killed could not say."""
        console = self._console
        if console is None:
            return
        jobs = list(jobs)
        said = {each["jobid"]: line for each in jobs if (line := last_words(each["rule_name"], each["log"]))}
        console.explained |= set(said.values())
        console.advance(lambda progress: progress.fail(each["jobid"] for each in jobs))
        names = ", ".join(each["rule_name"] for each in jobs)
        see = ", ".join([*logs, *(each for job in jobs for each in job["log"])])
        unsaid = f"{names} failed without a word, as jobs do that are killed or run out of memory; {see} may say more"
        if console.has_screen or not said:  # else it stands there
            console.mistakes |= said or {jobs[0]["jobid"]: unsaid}


def last_words(rule: str, logs: Iterable[str]) -> str | None:
    """Return the mistake that a job left in its log, or the last line of a traceback; None where it left nothing."""
    for path in map(Path, logs):
        try:
            text = path.read_text(errors="backslashreplace").strip()
        except OSError:
            continue
        if text and text != "done":
            line = text.splitlines()[-1]
            return f"{rule} failed: {line}; its log is {path}" if text.startswith("Traceback") else line
    return None
