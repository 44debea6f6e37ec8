"""`pixelherd label` on the command line: ports, folders, what is missing, and who came first."""

import socket
import subprocess
import sys

import pytest
from PIL import Image

from pixelherd.errors import UserError
from pixelherd.labelling import project as projects
from pixelherd.labelling.web import command
from pixelherd.labelling.web import site as sites


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    return folder


@pytest.fixture
def no_model(monkeypatch):
    """Fails the test if a model's process is started."""
    monkeypatch.setattr(sites, "Worker", lambda *_: pytest.fail("a process was started that nobody ends"))


def test_a_port_that_is_taken_is_named(photographs, no_model):
    pytest.importorskip("uvicorn")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} cannot be had"):
            command.main([str(photographs), "--port", str(port), "--no-browser"])


@pytest.mark.parametrize("port", ["65536", "70000", "-1", "http", "", "1e3"])
def test_what_is_no_port_is_refused_at_once(photographs, port, capsys):
    with pytest.raises(SystemExit):
        command.main([str(photographs), f"--port={port}"])
    assert "is not a whole number from 0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "segno"])
def test_what_is_not_installed_is_named_before_anything_starts(photographs, missing, no_model, monkeypatch):
    pytest.importorskip("uvicorn")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=f"the page needs {missing}"):
        command.main([str(photographs), "--lan", "--no-browser"])


HOLDS = """
import sys
from pathlib import Path
from pixelherd.labelling import project
lock = project.claim(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_folder_that_is_open_already_is_refused_and_one_that_is_not_there(photographs, no_model):
    with pytest.raises(UserError, match="there is no folder"):
        command.main(["nothing"])
    holds = [sys.executable, "-c", HOLDS, str(projects.folder_for(photographs, None))]
    with subprocess.Popen(holds, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="open already"):
            command.main([str(photographs)])
        other.stdin.close()


def test_a_page_comes_back_at_the_port_that_it_had(photographs, monkeypatch):
    uvicorn = pytest.importorskip("uvicorn")
    addresses = []
    monkeypatch.setattr(sites, "Worker", lambda *_: type("Worker", (), {"end": lambda self: None})())
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: [each.close() for each in sockets])
    monkeypatch.setattr(command, "say", addresses.append)
    for flags in ((), (), ("--new-address",)):
        monkeypatch.chdir(photographs.parent)
        command.main([str(photographs), "--no-browser", *flags])
    first, second, third = (line for line in addresses if line.startswith("label at "))
    assert first == second != third and first.split("?")[0] == third.split("?")[0]
    monkeypatch.chdir(photographs.parent)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(first.split(":")[2].split("/")[0])))
        taken.listen()
        command.main([str(photographs), "--no-browser"])
    assert addresses[-3].split("?")[0] != first.split("?")[0], "another program has it now"


def test_a_study_in_which_nobody_labels_says_so(tmp_path, monkeypatch, settings):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="oracle"):
        command.label_study(settings)
