"""A process that has imported what jobs import, of which jobs are forked: importing takes longer than most of them.

The server is a child of the Snakemake that starts it, and ends with it. Jobs' scripts are given to it by
:mod:`pixelherd.compute.forked`: the server forks, the fork runs the script on the job's own terminal, in its folder and
environment, and the job ends as the fork did. When a job is killed, so is its fork; when the server is gone, jobs run
as they would without it. Jobs that import what the server is importing wait for it, others run by themselves meanwhile.
No library has begun a thread or taken a GPU when it forks.
"""

import gc
import multiprocessing
import os
import runpy
import select
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pixelherd.compute import forked, memory

FORKED = "PIXELHERD_FORKED"
"""Environment variable of a server that its forks keep; it tells a script what it is forked of."""

QUIET_SECONDS = 0.3
"""How long nothing happens until a fork of the server does what is for later."""

LARGEST_REQUEST = 2**20
"""Bytes of a request, most of which is the environment."""


def start(
    common: Sequence[str], modules: Sequence[str], environment: dict[str, str], later: Sequence[str] = ()
) -> str | None:
    """Start a server that lives as long as this process; returns the address of its socket.

    Args:
        common: modules that every job imports.
        modules: those that it imports at once, too. Until it has them, a job whose script imports one waits for it.
        environment: its variables, beside those of this process.
        later: what a fork of it imports while nothing happens, and then serves in its place; ``module:function`` is
            called, too.

    Returns:
        None where forks of a process that has imported numerical libraries are not safe, or no function of bash can
        have the name of this Python.
    """
    posix = "POSIXLY_CORRECT" in os.environ or "posix" in os.environ.get("SHELLOPTS", "")  # names are letters there
    if sys.platform != "linux" or posix or shlex.quote(sys.executable) != sys.executable:
        return None
    address = str(Path(tempfile.mkdtemp(prefix="pixelherd-")) / "jobs")  # paths of sockets have 107 bytes at most
    Path(address + forked.IMPORTING).write_text("\n".join(modules))
    watched, _ = os.pipe()  # closed at its other end when this process ends, however it ends
    command = [sys.executable, "-P", "-m", __name__, address, ",".join([*common, *modules]), ",".join(later)]
    subprocess.Popen(command, stdin=watched, env=os.environ | environment)
    os.close(watched)
    return address


def bash_function(address: str) -> str:
    """Return a function of bash by which commands that call this Python become forks, if they run a script.

    It has the name of the program, so all other commands stay what they are.
    """
    asks = shlex.join([str(Path(__file__).with_name("forked.py")), address])
    return f'function {sys.executable} {{ command {sys.executable} -I -S {asks} {sys.executable} "$@"; }};'


def serve(address: str, modules: Sequence[str], later: Sequence[str]) -> None:
    """Fork at each request until standard input ends, and then wait for the forks that are left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person ends Snakemake, which closes standard input
    with _folder_of(address), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(128)
        listener.setblocking(False)
        _do(modules)
        os.unlink(address + forked.IMPORTING)
        _Server(listener, os.dup(0)).serve(address, later)


class _Server:
    """Forks at each request, and tells jobs by their connections how their forks ended."""

    def __init__(self, listener: socket.socket, parent: int):
        self._listener = listener
        self._parent = parent
        self._ready = selectors.DefaultSelector()  # has what to call when one of them has something to say
        self._forks: dict[socket.socket, BaseProcess] = {}
        self._successor: BaseProcess | None = None
        self._serves = True  # and no successor does

    def serve(self, address: str, later: Sequence[str] = ()) -> None:
        """Fork until ``parent`` ends or a successor takes over, and then wait for the forks that are left.

        Where a successor has taken over, this process ends here.
        """
        self._ready.register(self._listener, selectors.EVENT_READ, self._accept)
        self._ready.register(self._parent, selectors.EVENT_READ, self._end)
        while self._ready.get_map():
            events = self._ready.select(QUIET_SECONDS if later else None)
            if later and not events:
                self._begin_successor(address, later)
                later = ()
            for key, _ in events:
                key.data()
        if not self._serves:
            os._exit(0)  # what is left at its end is the successor's

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return  # the successor was first
        request = _request(connection)
        if request is None:
            connection.close()
            return
        fork = _fork(_run, request, [self._listener, *self._forks])
        self._forks[connection] = fork
        self._ready.register(connection, selectors.EVENT_READ, partial(self._lose, connection))
        self._ready.register(fork.sentinel, selectors.EVENT_READ, partial(self._tell, connection))
        for each in request["terminal"]:
            os.close(each)

    def _tell(self, connection: socket.socket) -> None:
        """Tell a job that its fork has ended, and how."""
        ended = self._forks.pop(connection)
        ended.join()
        self._ready.unregister(ended.sentinel)
        with suppress(KeyError):
            self._ready.unregister(connection)
        with connection, suppress(OSError):
            connection.sendall((ended.exitcode or 0).to_bytes(4, signed=True))

    def _lose(self, connection: socket.socket) -> None:
        """Kill the fork of a job that is gone: it sends nothing after its request."""
        if connection in self._forks:  # else the fork has ended at the same time
            self._ready.unregister(connection)
            self._forks[connection].kill()

    def _begin_successor(self, address: str, later: Sequence[str]) -> None:
        """Have a fork do what is for later, which may take long once, and then serve in the place of this one.

        Loops are compiled, bytecode and a cache of fonts are written. If that fails it is left to the jobs.
        """
        begins, begun = os.pipe()
        self._successor = _fork(self._succeed, address, later, begun)
        os.close(begun)
        self._ready.register(begins, selectors.EVENT_READ, partial(self._give_way, begins))

    def _succeed(self, address: str, later: Sequence[str], begun: int) -> None:
        _do(later, self._forks)
        with _folder_of(address):
            os.write(begun, b".")
            os.close(begun)
            _Server(self._listener, self._parent).serve(address)

    def _give_way(self, begins: int) -> None:
        self._serves = not os.read(begins, 1)  # nothing, if the successor failed
        self._ready.unregister(begins)
        os.close(begins)
        if not self._serves:
            self._take_no_more()

    def _end(self) -> None:
        """Begin nothing any more; a successor that does not serve yet has nobody to serve."""
        self._take_no_more()
        if self._successor and self._serves:
            self._successor.kill()

    def _take_no_more(self) -> None:
        for each in (self._parent, self._listener):
            with suppress(KeyError):
                self._ready.unregister(each)


@contextmanager
def _folder_of(address: str) -> Iterator[None]:
    """Remove the folder of the socket at the end."""
    try:
        yield
    finally:
        shutil.rmtree(os.path.dirname(address), ignore_errors=True)


def _fork(does: Callable[..., object], *given: Any) -> BaseProcess:
    fork = multiprocessing.get_context("fork").Process(target=does, args=given)
    fork.start()
    return fork


def _do(names: Iterable[str], others: Iterable[socket.socket] = ()) -> None:
    """Import modules, or call functions in them, for all forks that are to come."""
    for each in others:
        each.close()
    gc.disable()  # of what is imported nothing is garbage, and looking for it takes a tenth of the time
    for name in names:
        module, _, function = name.partition(":")
        imported = import_module(module)
        if function:
            getattr(imported, function)()
    gc.enable()
    gc.freeze()  # they stay as they are: no fork has to look through them for garbage, and to copy what it looks at
    memory.use_huge_pages()


def _request(connection: socket.socket) -> dict[str, Any] | None:
    """What a job asks for, with the descriptors of its terminal; None if this is no server for it."""
    connection.settimeout(10)
    descriptors: list[int] = []
    try:
        told, descriptors, _, _ = socket.recv_fds(connection, 4, 3)
        length, content = int.from_bytes(told), b""
        while len(content) < min(length, LARGEST_REQUEST) and (part := connection.recv(2**16)):
            content += part
        folder, count, *words = os.fsdecode(content).split("\0")
        command, variables = words[: int(count)], words[int(count) :]
        python, script, *_ = command
        gone, _, _ = select.select([connection], [], [], 0)  # it sends no more, so it has ended while it waited
        ours = python == sys.executable and not script.startswith("-")
        if ours and len(descriptors) == 3 and len(content) == length and not gone:
            environment = dict(variable.split("=", 1) for variable in variables)
            return {"folder": folder, "command": command, "environment": environment, "terminal": descriptors}
    except (OSError, ValueError):
        pass
    for each in descriptors:
        os.close(each)
    return None


def _run(request: dict[str, Any], others: Sequence[socket.socket]) -> None:
    """Run the script of a job, in a fork, of which sockets are of no concern."""
    for each in others:
        each.close()
    for number, descriptor in enumerate(request["terminal"]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - multiprocessing has put another in its place
    os.chdir(request["folder"])
    told = os.environ.get(FORKED, "")
    os.environ.clear()
    os.environ.update(request["environment"] | {FORKED: told})
    sys.argv[:] = request["command"][1:]
    if not request["environment"].get("PYTHONSAFEPATH"):
        sys.path.insert(0, os.path.dirname(os.path.realpath(sys.argv[0])))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1], *(given.split(",") if given else [] for given in sys.argv[2:]))
