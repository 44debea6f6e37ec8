"""The model's process as the page's server sees it: told of answers, asked for pictures, started anew where it ends.

What the process does is in :mod:`pixelherd.labelling.learning.loop`. It ends with the server, however that ends.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from threading import Condition, Lock, Thread
from typing import Any

from pixelherd.labelling.learning.loop import ANSWERS, MASKS, Told, work
from pixelherd.labelling.project import Project
from pixelherd.pipeline.job import THREAD_VARIABLES

LASTING = (ANSWERS, MASKS)
"""What messages are about that a process which is started anew has to hear again."""

RESTARTS = 3
"""How often in a row the process is started anew."""

STEADY_SECONDS = 60.0
"""A process that lived so long did not end in a row with the one before."""


class Worker:
    """The process. Where it ends by itself it is started anew, and told and asked again what it has not answered.

    Args:
        project: that is labelled.
        tell: is called with each message, in a thread of its own. Besides those of the process there are
            ``restarting`` and ``failed``, with words for people.
    """

    def __init__(self, project: Project, tell: Callable[[Told], object]) -> None:
        self._project, self._tell = project, tell
        self._tickets, self._waiting = count(1), dict[int, tuple[Told, Future]]()
        self._outbox, self._lasting, self._news = deque[Told](), dict[str, Told](), Condition()
        self._over, self._version, self._waits = False, 0, Lock()
        self._begin()
        Thread(target=self._care, daemon=True).start()
        Thread(target=self._post, daemon=True).start()

    def _begin(self) -> None:
        """Start a process; versions of its model go on after the last one that was told."""
        threads = str(self._project.study().threads)
        before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
        os.environ |= dict.fromkeys(THREAD_VARIABLES, threads)
        context = get_context("spawn")
        self._connection, other = context.Pipe()
        folder = str(self._project.store.path.absolute().parent)
        given = (folder, dict(self._project.base), self._project.dataset, self._version)
        self.process: BaseProcess = context.Process(target=work, args=(other, *given), daemon=True)
        try:
            self.process.start()
        finally:
            other.close()
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def _care(self) -> None:
        """Hear the process, and start it anew as long as that helps."""
        restarts = 0
        while True:
            began = time.monotonic()
            self._hear(self._connection)
            restarts = 1 if time.monotonic() - began > STEADY_SECONDS else restarts + 1
            if not self._is_started_anew(restarts):
                break
        with self._news:
            self._over = True
            waiting = [future for _, future in self._waiting.values()]
            self._waiting.clear()
        for future in waiting:
            future.set_result(None)

    def _hear(self, connection: Connection) -> None:
        """Take messages until the process has ended."""
        while True:
            try:
                told: Told = connection.recv()
            except (EOFError, OSError):
                break
            if told.about == "model":
                self._version = told.content["version"]
            elif told.about == "failed":
                self._over = True  # by itself, and would again
            elif told.about == MASKS and told.content["done"] >= told.content["of"]:
                self._lasting.pop(MASKS, None)
            if told.ticket:
                _, future = self._waiting.pop(told.ticket, (None, None))
                if future is not None:
                    future.set_result(told.content)
            else:
                self._tell(told)

    def _is_started_anew(self, restarts: int) -> bool:
        """Start the process anew after it ended, unless it was to end or has done so too often."""
        code = self._await_end()
        if self._over:
            return False
        how = ended(code)
        if restarts > RESTARTS:
            words = f"the model's process {how}, {restarts} times in a row; answers are kept, but no new questions come"
            self._tell(Told("failed", f"{words}: end `pixelherd label` and start it again"))
            return False
        self._tell(Told("restarting", f"the model's process {how}; it is started anew, and answers are kept"))
        with self._news:
            if self._over:  # whoever ends it waits for the process that is there, and for no later one
                return False
            try:
                self._begin()
            except OSError as error:
                self._tell(Told("failed", f"the model's process {how}; it cannot be started anew ({error.strerror})"))
                return False
            self._outbox.clear()
            self._outbox.extend([*self._lasting.values(), *(told for told, _ in self._waiting.values())])
            self._news.notify()
        return True

    def send(self, about: str, content: Any = None) -> None:
        """Tell the process something."""
        told = Told(about, content)
        with self._news:
            if about in LASTING:
                self._lasting[about] = told
            self._put(told)

    def ask(self, about: str, content: Any = None) -> Future:
        """Ask the process something; the result is None where it cannot tell, or has ended for good."""
        ticket, future = next(self._tickets), Future[Any]()
        told = Told(about, content, ticket)
        with self._news:
            if not self._over:
                self._waiting[ticket] = told, future
                self._put(told)
                return future
        future.set_result(None)
        return future

    def _put(self, told: Told) -> None:
        """Leave a message for the thread that sends; of messages about answers that wait, only the last is news."""
        if told.about == ANSWERS:
            kept = [each for each in self._outbox if each.about != ANSWERS]
            self._outbox.clear()
            self._outbox.extend(kept)
        self._outbox.append(told)
        self._news.notify()

    def _post(self) -> None:
        """Send messages, in a thread: a process that is busy takes none, and nobody shall wait for that."""
        while True:
            with self._news:
                self._news.wait_for(lambda: self._outbox)
                told, connection = self._outbox.popleft(), self._connection
            with suppress(OSError, ValueError):  # it has ended: the next one is told again what counts
                connection.send(told)

    def end(self) -> None:
        """End the process."""
        with self._news:
            self._over = True
            self._put(Told("end"))
        self._await_end()

    def _await_end(self) -> int | None:
        """Wait until the process is gone, and return the exit code, None where it had to be killed."""
        with self._waits:  # of two threads that wait at once, one is not told how the process ended, nor that it did
            self.process.join(5)
            code = self.process.exitcode
            if code is None:
                self.process.kill()
                self.process.join()
            return code


def ended(code: int | None) -> str:
    """Say how a process ended, by its exit code as :mod:`multiprocessing` gives it."""
    if code is None or code >= 0:
        return f"ended with an error ({code})" if code else "ended"
    if -code == signal.SIGKILL:
        return "was killed, perhaps because memory ran out"
    return f"ended by signal {-code}"
