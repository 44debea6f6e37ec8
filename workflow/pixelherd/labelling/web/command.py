"""``pixelherd label FOLDER``: open the page of a folder of photographs."""

import argparse
import secrets
import socket
import sys
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pixelherd.errors import UserError, say
from pixelherd.labelling.project import Project, begin, claim, folder_for, of_study
from pixelherd.storage.shipped import SHIPPED

TEMPLATE = SHIPPED / "workflow" / "report" / "labelling.html.j2"

EVERYWHERE, HERE = "0.0.0.0", "127.0.0.1"


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    found = argparse.ArgumentParser(
        prog="pixelherd label",
        description="Label photographs in a browser while a model learns beside; ends with masks of all of them.",
    )
    found.add_argument("photographs", type=Path, metavar="FOLDER", help="photographs, searched with subfolders")
    found.add_argument("--project", type=Path, help="where answers and masks lie (default: FOLDER-labels)")
    found.add_argument(
        "--port", type=_port, metavar="PORT", help="of the page (default: the one of last time, or any that is free)"
    )
    found.add_argument("--lan", action="store_true", help="let phones in this network open the page, too")
    found.add_argument("--no-browser", action="store_true", help="print the address, and open no browser")
    found.add_argument("--new-address", action="store_true", help="make a new token: open pages have to be opened anew")
    return found


def _port(text: str) -> int:
    """Read a port's number, of which 0 is any that is free."""
    if not (text.isdecimal() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 65535")
    return int(text)


def main(arguments: Sequence[str]) -> None:
    """Open the page of a folder, until Ctrl+C.

    Raises:
        UserError: there is no such folder, or the page is open already.
    """
    options = parser().parse_args(arguments)
    project_folder = folder_for(options.photographs, options.project)
    lock = claim(project_folder)
    try:
        project = begin(options.photographs, project_folder)
        serve(project, options)
    finally:
        lock.release()


def label_study(content: dict[str, Any]) -> None:
    """Open the page of a study in the working folder, until Ctrl+C.

    Args:
        content: the study.

    Raises:
        UserError: nobody is to label in it, or the page is open already.
    """
    lock = claim(Path.cwd())
    try:
        serve(of_study(content), parser().parse_args(["."]))
    finally:
        lock.release()


def serve(project: Project, options: argparse.Namespace) -> None:
    """Serve the page of a project, until Ctrl+C.

    Raises:
        UserError: what the page needs is not installed, or the port is taken.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn

        if options.lan:
            import segno  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(f"the page needs {error.name}", remedy="pip install 'pixelherd[label]'") from None
    from pixelherd.labelling.web.server import application
    from pixelherd.labelling.web.site import Site

    facts = project.store.facts()
    if "token" not in facts or options.new_address:
        project.store.note(token=secrets.token_urlsafe(24))
        project.store.path.chmod(0o600)
    token = project.store.facts()["token"]
    listener = _listen(EVERYWHERE if options.lan else HERE, options.port, facts.get("port"))
    port = listener.getsockname()[1]
    project.store.note(port=str(port))
    names = [HERE, "localhost"] + ([_own_address()] if options.lan else [])
    address = f"http://{names[-1] if options.lan else HERE}:{port}/?token={token}"
    site = Site(project)
    app = application(site, TEMPLATE, {f"{name}:{port}" for name in names}, token)
    say(f"label at {address}")
    if options.lan:
        _show_code(address)
        say(
            "everybody who has this address may see the photographs, and label, over a connection that is not encrypted"
        )
    say(f"answers are kept in {project.store.path.absolute()}; end with Ctrl+C")
    if not options.no_browser:
        webbrowser.open(address)
    quiet: dict[str, Any] = {"log_level": "critical", "access_log": False, "server_header": False}
    config = uvicorn.Config(app, **quiet, timeout_graceful_shutdown=2)
    try:
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        site.close()
    say(f"the study is {project.study_file.absolute()}; `pixelherd run` there repeats it, and makes the report")


def _listen(host: str, wanted: int | None, last: str | None) -> socket.socket:
    """A socket at the port that is wanted, or at the last one, so that an open page goes on, or at any."""
    ports = [wanted] if wanted is not None else [*([int(last)] if last else []), 0]
    for port in ports:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(128)  # who comes before the server is ready waits, and is not refused
            return listener
        except OSError as error:
            listener.close()
            problem = error
    raise UserError(f"port {wanted} cannot be had ({problem.strerror})", remedy="name another by --port")


def _own_address() -> str:
    """The address of this machine in its network; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            return HERE


def _show_code(address: str) -> None:
    """Print a QR code of the address."""
    import segno

    segno.make(address, error="m").terminal(out=sys.stderr, compact=True)
