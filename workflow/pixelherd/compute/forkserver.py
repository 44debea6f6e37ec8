"""A process that has imported what jobs import, of which jobs are forked: importing takes longer than most of them.

The server is a child of the Snakemake that starts it, and ends with it. A job's script asks it to run the script
instead (:func:`run_forked`): the server forks, the fork runs the script on the job's own terminal, in its folder and
environment, and the job ends as the fork did. When a job is killed, so is its fork; when the server is gone, jobs run
as they would without it. It computes nothing itself, and no library has begun a thread or taken a GPU when it forks.
"""

import json
import multiprocessing
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

FORKED = "PIXELHERD_FORKED"
"""Environment variable that tells a script that it runs in a fork."""

LARGEST_REQUEST = 2**20
"""Bytes of a request, most of which is the environment."""


def start(modules: Sequence[str], environment: dict[str, str]) -> str | None:
    """Start a server that lives as long as this process; returns the address of its socket.

    Args:
        modules: what it imports at once, while Snakemake starts jobs that need none of it.
        environment: its variables, beside those of this process.

    Returns:
        None where forks of a process that has imported numerical libraries are not safe.
    """
    if sys.platform != "linux":
        return None
    address = str(Path(tempfile.mkdtemp(prefix="pixelherd-")) / "jobs")  # paths of sockets have 107 bytes at most
    watched, _ = os.pipe()  # closed at its other end when this process ends, however it ends
    command = [sys.executable, "-m", __name__, address, *modules]
    subprocess.Popen(command, stdin=watched, env=os.environ | environment)
    os.close(watched)
    return address


def run_forked(address: str) -> int | None:
    """Have this script run by a fork of the server.

    Returns:
        The exit status of the fork, as a shell tells it. None where no server answers or it died: the script has to run
        here.
    """
    if not address:
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
            request = {"executable": sys.executable, "argv": sys.argv, "path": sys.path, "folder": os.getcwd()}
            content = json.dumps(request | {"environment": dict(os.environ)}).encode()
            socket.send_fds(connection, [len(content).to_bytes(4)], [1, 2])
            connection.sendall(content)
            answer = connection.recv(4)
        except OSError:
            return None
    if len(answer) < 4:
        return None
    status = int.from_bytes(answer, signed=True)
    return status if status >= 0 else 128 - status


def serve(address: str, modules: Sequence[str]) -> None:
    """Fork at each request until standard input ends, and then wait for the forks that are left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person ends Snakemake, which closes standard input
    forks: dict[socket.socket, BaseProcess] = {}
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as ready:
        listener.bind(address)
        listener.listen(128)
        ready.register(listener, selectors.EVENT_READ)
        ready.register(sys.stdin, selectors.EVENT_READ)
        for module in modules:
            import_module(module)
        while ready.get_map():
            for key, _ in ready.select():
                job = key.data
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    if request := _request(connection):
                        others = [listener, *forks]
                        fork = multiprocessing.get_context("fork").Process(target=_run, args=(request, others))
                        fork.start()
                        forks[connection] = fork
                        ready.register(connection, selectors.EVENT_READ, connection)
                        ready.register(fork.sentinel, selectors.EVENT_READ, connection)
                        for each in request["terminal"]:
                            os.close(each)
                    else:
                        connection.close()
                elif key.fileobj is sys.stdin:
                    ready.unregister(sys.stdin)
                    ready.unregister(listener)
                elif key.fileobj is not job:
                    ended = forks.pop(job)
                    ended.join()
                    ready.unregister(ended.sentinel)
                    with suppress(KeyError):
                        ready.unregister(job)
                    with job, suppress(OSError):
                        job.sendall((ended.exitcode or 0).to_bytes(4, signed=True))
                elif job in forks:  # it sends nothing after its request, so it is gone
                    ready.unregister(job)
                    forks[job].kill()
    with suppress(OSError):
        os.unlink(address)
        os.rmdir(os.path.dirname(address))


def _request(connection: socket.socket) -> dict[str, Any] | None:
    """What a job asks for, with the descriptors of its terminal; None if this is no server for it."""
    connection.settimeout(10)
    try:
        length, descriptors, _, _ = socket.recv_fds(connection, 4, 2)
        content = b""
        while len(content) < min(int.from_bytes(length), LARGEST_REQUEST):
            if not (part := connection.recv(2**16)):
                return None
            content += part
        request = json.loads(content)
    except (OSError, ValueError):
        return None
    mine = len(descriptors) == 2 and request.get("executable") == sys.executable
    return request | {"terminal": descriptors} if mine else None


def _run(request: dict[str, Any], others: Sequence[socket.socket]) -> None:
    """Run the script of a job, in a fork, of which sockets are of no concern."""
    for each in others:
        each.close()
    for number, descriptor in enumerate(request["terminal"], 1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"] | {FORKED: "1"})
    sys.argv[:], sys.path[:] = request["argv"], request["path"]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])
