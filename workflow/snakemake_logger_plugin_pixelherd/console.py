"""The screen of a call: one line while jobs run, and then results, what there is to know, and mistakes, in this order.

What jobs and Snakemake write to standard error goes to Snakemake's log meanwhile, so that nothing breaks the line.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pixelherd.errors import COLOURS, MISTAKE, NEWS, PASSING, RESULT, VOICE, coloured
from snakemake_logger_plugin_pixelherd import MARK
from snakemake_logger_plugin_pixelherd.progress import Progress, duration

LOOKS = 0.5
"""Seconds between two looks at what jobs say, and between two lines of progress on a terminal."""
LINES = 5
"""Lines of progress where no terminal shows them: one each fifth of the jobs."""
REMINDER_SECONDS = 600
"""After which there is one more."""
REWRITE = "\r\x1b[K"
"""Has a terminal write over its last line."""


class Voice(logging.Handler):
    """Takes what pixelherd says in this process, instead of printing it."""

    def __init__(self, hear: Callable[[int, str], None]) -> None:
        super().__init__()
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a line on."""
        self._hear(record.levelno, record.getMessage())


class Console:
    """What a person sees of a call. Snakemake's threads and a thread of its own use it."""

    def __init__(self) -> None:
        self._screen = os.fdopen(os.dup(2), "w")
        self._live = self._screen.isatty() and os.environ.get("TERM") != "dumb"
        self._folder, self._place = Path.cwd(), Path("logs")
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look_again_and_again, daemon=True)
        self._progress: Progress | None = None
        self._told = (0, 0.0)  # fifths of the jobs, and when
        self._passing = ""
        self._log: Path | None = None
        self._read = 0  # bytes of the log
        self.results: list[str] = []
        self.answers: list[str] | None = []  # of Snakemake to flags such as --unlock, which run no workflow
        self.news: list[str] = []
        self.texts: list[str] = []  # Snakemake's own mistakes
        self.mistakes: dict[int | str, str] = {}  # by job, or by themselves
        self.explained: set[str] = set()  # what failed jobs said, even if they did not fail again
        self._handlers, VOICE.handlers = VOICE.handlers, [Voice(self.hear)]

    @property
    def has_screen(self) -> bool:
        """Whether the console shows progress; otherwise a job has the screen to itself."""
        return self._progress is not None

    @property
    def progress(self) -> Progress:
        """The progress of the call."""
        return self._progress or Progress({"total": 1})

    def begin(self, stats: dict[str, int], log: str | None) -> None:
        """Show progress from now on, and have standard error written to Snakemake's log."""
        with self._lock:
            self._progress = Progress(stats)
            line = f"{stats['total']} jobs"
            if log is not None:
                path = self._log = Path(log)
                self._read = path.stat().st_size
                with open(path, "ab") as end:
                    os.dup2(end.fileno(), 2)
                self._place = path.relative_to(self._folder) if path.is_relative_to(self._folder) else path
                line += f"; all that they and Snakemake say is in {self._place}"
            self._print(line)
        self._looking.start()

    def hear(self, level: int, text: str) -> None:
        """Take what pixelherd says: a line that passes, a result, something to know, or a mistake."""
        with self._lock:
            if level == RESULT:
                self.results.append(text)
            elif level == PASSING:
                self._pass(text)
            elif level == MISTAKE:
                self.mistakes[text] = text
            else:
                self.news.append(text)
                if not self.has_screen:
                    self._print(MARK + text, level)

    def advance(self, change: Callable[[Progress], None]) -> None:
        """Change the progress."""
        with self._lock:
            if self._progress:
                done = self._progress.done
                change(self._progress)
                if done < self._progress.done:
                    self._passing = ""
                if not self._live:  # a terminal is looked after twice a second, however many jobs there are
                    self._draw()

    def say(self, line: str) -> None:
        """Print a line at once."""
        with self._lock:
            self._print(line)

    def close(self) -> None:
        """Give standard error back, and print what comes last; a second time does nothing."""
        if self._over.is_set():
            return
        self._over.set()
        if self._looking.is_alive():
            self._looking.join()
        with self._lock:
            VOICE.handlers = self._handlers
            sys.stderr.flush()
            if self.has_screen:
                self._listen()
                os.dup2(self._screen.fileno(), 2)
                self._summarise()
            if self.results:
                print("", *self.results, sep="\n", flush=True)
            for text in self.answers or ():
                self._print(text)
            self._conclude()
            self._screen.close()

    def _summarise(self) -> None:
        progress, failed = self.progress, len(self.progress.failed)
        line = f"{progress.done} of {progress.total} jobs done in {duration(progress.elapsed)}"
        self._print(f"{line}, {failed} failed; all that they said is in {self._place}" if failed else line)

    def _conclude(self) -> None:
        """Print what there is to know, once more where it has long been out of sight, and mistakes."""
        mistakes = dict.fromkeys(self.mistakes.values())
        if self.has_screen:
            for text in dict.fromkeys(self.news):
                if text not in self.explained and text not in mistakes:
                    self._print(MARK + text, NEWS)
        for text in dict.fromkeys(self.texts):
            self._print(text, MISTAKE)
        for text in mistakes:
            self._print(MARK + text, MISTAKE)

    def _look_again_and_again(self) -> None:
        while not self._over.wait(LOOKS):
            with self._lock:
                self._listen()
                self._draw()

    def _listen(self) -> None:
        """Take what jobs said since the last look."""
        if self._log is None:
            return
        with open(self._log, "rb") as file:
            file.seek(self._read)
            read = file.read()
        whole = read.rfind(b"\n") + 1  # the rest of a line comes later
        self._read += whole
        for line in read[:whole].decode(errors="backslashreplace").splitlines():
            if line.startswith(MARK):
                text = line.removeprefix(MARK)
                self.hear(PASSING if text.endswith(" ...") else NEWS, text)

    def _pass(self, text: str) -> None:
        if self._live and self.has_screen:
            self._passing = text
        elif text != self._passing:
            self._passing = text
            self._print(MARK + text)

    def _draw(self) -> None:
        """Rewrite the line on a terminal; elsewhere print one now and then."""
        progress = self.progress
        if self._live:
            line = "  ".join(filter(None, (str(progress), self._passing)))
            columns = os.get_terminal_size(self._screen.fileno()).columns or 80
            self._write(f"{REWRITE}{line[: columns - 1]}")
        else:
            parts = LINES * progress.done // progress.total
            if parts > self._told[0] or progress.elapsed - self._told[1] > REMINDER_SECONDS:
                self._told = (parts, progress.elapsed)
                if progress.done < progress.total:
                    self._print(str(progress))

    def _print(self, line: str, level: int = 0) -> None:
        """Print a line in place of the progress."""
        start = REWRITE if self._live and self.has_screen else ""
        self._write(f"{start}{coloured(line, COLOURS.get(level), self._screen)}\n")

    def _write(self, text: str) -> None:
        with suppress(OSError):  # nobody reads any more
            os.write(self._screen.fileno(), text.encode(self._screen.encoding, "backslashreplace"))
