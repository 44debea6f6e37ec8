"""Run a Python script by a fork of :mod:`pixelherd.compute.forkserver`, or its command as it is where none answers.

    python -I -S forked.py ADDRESS COMMAND...

A job begins here, so nothing is imported that takes longer than asking: 20 ms instead of 200 with Snakemake.
"""

import json
import os
import socket
import sys
from collections.abc import Sequence


def exit_status(address: str, command: Sequence[str]) -> int | None:
    """Have a command run by a fork of the server.

    Returns:
        The exit status of the fork, as a shell tells it. None where no server answers, this is no command for it or it
        died: the command has to run here.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
            request = {"command": command, "folder": os.getcwd(), "environment": dict(os.environ)}
            content = json.dumps(request).encode()
            socket.send_fds(connection, [len(content).to_bytes(4)], [1, 2])
            connection.sendall(content)
            answer = connection.recv(4)
        except OSError:
            return None
    if len(answer) < 4:
        return None
    status = int.from_bytes(answer, signed=True)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    status = exit_status(sys.argv[1], sys.argv[2:])
    if status is not None:
        sys.exit(status)
    os.execvp(sys.argv[2], sys.argv[2:])
