"""A server of `pixelherd label` as a process of its own, and the requests that its page sends."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).parents[1]


class Refused(Exception):
    """The server refused a request of the page, with a status and words."""


class Ended(Exception):
    """The server is not there any more: how it ended, and what it printed at last."""


class Live:
    """A page's counterpart for a folder of photographs; answers are given by ``truth``.

    Args:
        photographs: the folder.
    """

    def __init__(self, photographs: Path) -> None:
        self.photographs, self.project = photographs, photographs.with_name(f"{photographs.name}-labels")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen | None = None
        self.token = ""

    def start(self, *flags: str) -> "Live":
        """Start the server, and wait until it answers."""
        command = [sys.executable, "-m", "pixelherd", "label", str(self.photographs), "--no-browser"]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")}
        log = (self.photographs.parent / "server.txt").open("w")
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *flags],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self.wait(lambda: "token=" in self.log())
        self.token = self.log().split("token=")[1].split()[0]
        self.wait(self.answers)
        return self

    def log(self) -> str:
        """What the server printed."""
        return (self.photographs.parent / "server.txt").read_text()

    @property
    def address(self) -> str:
        """The address that a person opens."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def answers(self) -> bool:
        """Whether the server answers."""
        try:
            self.state()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """Kill the server at once; its model ends by itself."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def model(self) -> psutil.Process:
        """The process of the model."""
        (found,) = [
            each
            for each in psutil.Process(self.process.pid).children()
            if "spawn_main" in " ".join(each.cmdline()) and each.status() != psutil.STATUS_ZOMBIE
        ]
        return found

    def end(self) -> None:
        """End the server as Ctrl+C does."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def wait(self, until: Callable[[], Any], seconds: float = 120) -> Any:
        """Wait until something is true, and return it.

        Raises:
            Ended: the server ended meanwhile.
            TimeoutError: it took longer than so many seconds.
        """
        limit = time.monotonic() + seconds
        while not (found := self._try(until)):
            if time.monotonic() > limit:
                raise TimeoutError(f"after {seconds:.0f} s; the server printed: {self.log()[-2000:]}")
            time.sleep(0.005)
        return found

    def _try(self, until: Callable[[], Any]) -> Any:
        """What a condition gives, as long as the server is there."""
        try:
            found = until()
        except OSError:
            found = None
            if not self._has_ended():
                raise
        if not found and self._has_ended():
            raise Ended(f"the server ended with {self.process.returncode} and printed: {self.log()[-2000:]}")
        return found

    def _has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def get(self, path: str) -> bytes:
        """Fetch something."""
        return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}?token={self.token}", timeout=60).read()

    def state(self) -> dict[str, Any]:
        """How things stand."""
        return json.loads(self.get("state"))

    def do(self, what: str, annotator: str = "ann", **more: Any) -> dict[str, Any]:
        """Send a request of the page's.

        Raises:
            Refused: it was refused.
        """
        body, headers = json.dumps({"annotator": annotator, **more}).encode(), {"content-type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/do/{what}", body, headers)
        request.add_header("x-pixelherd-token", self.token)
        try:
            return json.loads(urllib.request.urlopen(request, timeout=60).read())
        except urllib.error.HTTPError as error:
            raise Refused(f"{error.code}: {json.loads(error.read())['mistake']}") from None

    def add_class(self, name: str, number: int = 0, **more: Any) -> None:
        """Add a class, or describe one anew."""
        colour = more.pop("colour", f"#{hash(name) % 2**24:06x}")
        self.do("class", id=number, name=name, colour=colour, key="", **more)

    def ask(self, annotator: str = "ann") -> dict[str, Any]:
        """Ask for a question until there is one."""
        return self.wait(lambda: self.do("next", annotator)["question"] or time.sleep(0.1))

    def answer(self, question: dict[str, Any], label: int, annotator: str = "ann", **more: Any) -> dict[str, Any]:
        """Answer a question, or a pixel that somebody chose; more may be a receipt."""
        said = {name: question[name] for name in ("image", "row", "column")}
        more = {"receipt": secrets.token_hex(8), "question": question.get("id"), **more}
        return self.do("answer", annotator, **said, label=label, **more)
