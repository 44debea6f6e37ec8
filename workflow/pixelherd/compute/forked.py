"""Run a job's script by a fork of :mod:`pixelherd.compute.forkserver`, or the command as it is where none answers.

    python -I -S forked.py ADDRESS PYTHON SCRIPT

A job begins here, so nothing is imported that takes longer than asking: 20 ms instead of 200 with Snakemake.
"""

import os
import signal
import socket
import sys
from collections.abc import Sequence

FRAME = b"pixelherd.pipeline.job"
"""What is in the script of every job of ours. Scripts of others may count on more than a fork has."""

IMPORTING = ".importing"
"""What a server adds to its address for a file that names the modules that it imports, and is gone when it has them."""

ALONE = 113
"""Exit status of a fork that another process than the server's has to do the work of."""

WATCH_SECONDS = 0.5
"""How often it is looked whether the shell that began this is still there."""


def exit_status(address: str, command: Sequence[str]) -> int | None:
    """Have a command run by a fork of the server.

    Returns:
        The exit status of the fork, as a shell tells it. None where no server answers, this is no command for it or it
        died: the command has to run here.
    """
    shell = os.getppid()
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            with open(command[1], "rb") as script:
                text = script.read()
            if FRAME not in text or not _gains(address, text.decode(errors="replace")):
                return None
            connection.connect(address)
            words = [os.getcwd(), str(len(command)), *command, *map("=".join, os.environ.items())]
            content = os.fsencode("\0".join(words))
            socket.send_fds(connection, [len(content).to_bytes(4)], [0, 1, 2])
            connection.sendall(content)
            connection.settimeout(WATCH_SECONDS)
            while True:
                try:
                    answer = connection.recv(4)
                    break
                except TimeoutError:
                    if os.getppid() != shell:
                        return 1  # the server ends the fork of a connection that is closed
        except (OSError, IndexError):
            return None
    status = int.from_bytes(answer, signed=True) if len(answer) == 4 else ALONE
    return None if status == ALONE else status if status >= 0 else 128 - status


def _gains(address: str, script: str) -> bool:
    """Whether a script has its modules sooner by the server, which has all of its own or is importing one of them."""
    try:
        with open(address + IMPORTING) as file:
            importing = set(file.read().split())
    except FileNotFoundError:
        return True
    lines = [line.replace(",", " ").split() for line in script.splitlines() if line.lstrip().startswith("from ")]
    modules = {words[1] for words in lines} | {f"{words[1]}.{name}" for words in lines for name in words[3:]}
    return not importing.isdisjoint(modules)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    status = exit_status(sys.argv[1], sys.argv[2:])
    if status is not None:
        sys.exit(status)
    os.execvp(sys.argv[2], sys.argv[2:])
