"""Jobs that are forked of a process that has their libraries ready."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pixelherd.compute import forked, forkserver
from pixelherd.storage.files import hash_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks of numerical libraries are safe on Linux alone")

PARENT = """
import sys
from pixelherd.compute import forkserver
variables = {"TOLD_TO_SERVER": "1", forkserver.FORKED: "seven"}
print(forkserver.start(["decimal"], ["colorsys"], variables, ["tabnanny", "faulthandler:enable"]), flush=True)
sys.stdin.read()
"""

JOB = """
import json, os, sys  # as the jobs of pixelherd.pipeline.job
forked = os.environ.pop("PIXELHERD_FORKED", None)
ready = [name for name in ("decimal", "colorsys") if name in sys.modules]
later = "tabnanny" in sys.modules and "faulthandler" in sys.modules and sys.modules["faulthandler"].is_enabled()
"""

TELL = """
print(json.dumps({"forked": forked, "ready": ready, "pid": os.getpid(), "folder": os.getcwd(), "argv": sys.argv,
                  "path": sys.path, "later": later, "own": os.environ.get("TOLD_TO_JOB"), "given": sys.stdin.read(),
                  "server's": os.environ.get("TOLD_TO_SERVER")}), flush=True)
"""

ALIKE = ("folder", "argv", "path", "own", "given")

Job = Callable[..., subprocess.Popen]


def wait_for(condition: Callable[[], object]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("nothing came of it in ten seconds")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def listens(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(address) == 0


def is_ready(address: str) -> bool:
    return listens(address) and not os.path.exists(address + forked.IMPORTING)


@pytest.fixture
def parent() -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture
def address(parent: subprocess.Popen) -> str:
    found = parent.stdout.readline().strip()
    wait_for(lambda: is_ready(found))
    return found


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Starts a job that tells where it runs and then does what is given."""

    (tmp_path / "given").write_text("on standard input")

    def start(address: str, does: str = "", **variables: str) -> subprocess.Popen:
        script = tmp_path / f"{hash_of(does)[:8]}.py"
        if not script.exists():
            script.write_text(JOB + TELL + does)
        return subprocess.Popen(
            [sys.executable, "-I", "-S", forked.__file__, address, sys.executable, str(script), "more"],
            cwd=tmp_path,
            env=os.environ | {"TOLD_TO_JOB": "2"} | variables,
            stdin=(tmp_path / "given").open(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # shells have what they start in the background ignore it, and children inherit that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return start


def told(process: subprocess.Popen) -> dict:
    return json.loads(process.stdout.readline())


def test_a_job_runs_in_a_fork_as_it_would_by_itself(job: Job, address: str, tmp_path: Path) -> None:
    process = job(address, "print('bad news', file=sys.stderr); sys.exit(3)")
    found = told(process)
    assert found["forked"] == "seven" and found["ready"] == ["decimal", "colorsys"] and found["pid"] != process.pid
    alone = told(job("none", "print('bad news', file=sys.stderr); sys.exit(3)"))
    assert not alone["forked"] and {name: found[name] for name in ALIKE} == {name: alone[name] for name in ALIKE}
    assert found["own"] == "2" and found["server's"] is None, "a job has its own environment"
    assert process.communicate()[1] == "bad news\n" and process.returncode == 3


@pytest.mark.parametrize(
    "variables", [{"PYTHONSAFEPATH": "1"}, {"TOLD_TO_JOB": "{two} words = 'ü'\n"}, {"TOLD_TO_JOB": ""}]
)
def test_a_jobs_own_variables_count(job: Job, address: str, variables: dict[str, str]) -> None:
    found, alone = (told(job(each, **variables)) for each in (address, "none"))
    assert found["forked"] and {name: found[name] for name in ALIKE} == {name: alone[name] for name in ALIKE}


def test_scripts_of_others_are_not_forked(address: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("import os, sys; print(os.environ.get('PIXELHERD_FORKED'), sys.stdin.read())")
    command = [sys.executable, "-I", "-S", forked.__file__, address, sys.executable, str(tmp_path / "own.py")]
    assert subprocess.run(command, input="words", capture_output=True, text=True).stdout == "None words\n"


def test_a_fork_may_leave_the_work_to_a_process_of_its_own(job: Job, address: str) -> None:
    process = job(address, f"sys.exit({forked.ALONE} if forked else 4)")
    assert told(process)["forked"] and not told(process)["forked"] and process.wait(10) == 4


def test_a_shell_that_is_killed_takes_the_fork_with_it(address: str, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(JOB + TELL + "import time; time.sleep(60)")
    lines = f"set -euo pipefail; {forkserver.bash_function(address)} {sys.executable} {tmp_path / 'job.py'}"
    with subprocess.Popen(["bash", "-c", lines], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as shell:
        fork = told(shell)["pid"]
        shell.kill()
        wait_for(lambda: not alive(fork))


def test_a_traceback_is_seen_and_the_job_fails(job: Job, address: str) -> None:
    process = job(address, "raise ValueError('seven')")
    assert "ValueError: seven" in process.communicate()[1] and process.returncode == 1


def test_a_fork_that_is_killed_fails_its_job(job: Job, address: str) -> None:
    process = job(address, "import time; time.sleep(60)")
    os.kill(told(process)["pid"], signal.SIGKILL)
    assert process.wait(10) == 128 + signal.SIGKILL


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_job_that_is_killed_takes_its_fork_with_it(job: Job, address: str, how: signal.Signals) -> None:
    process = job(address, "import time; time.sleep(60)")
    fork = told(process)["pid"]
    process.send_signal(how)
    process.wait(10)
    wait_for(lambda: not alive(fork))
    assert told(job(address))["forked"], "the server serves on"


def test_many_jobs_at_a_time_each_end_as_they_did(job: Job, address: str) -> None:
    processes = [job(address, "import time; time.sleep(0.2); sys.exit(7)") for _ in range(8)]
    assert len({told(process)["pid"] for process in processes}) == 8
    assert {process.wait(20) for process in processes} == {7}


def test_a_job_runs_by_itself_where_no_server_is(job: Job, tmp_path: Path) -> None:
    for address in ("", str(tmp_path / "none")):
        process = job(address)
        found = told(process)
        assert not found["forked"] and found["pid"] == process.pid and process.wait(10) == 0


def test_a_job_runs_by_itself_when_the_server_dies(job: Job, address: str) -> None:
    process = job(address, "import time; time.sleep(0.5 if forked else 0)")
    fork = told(process)["pid"]
    (server,) = (int(line) for line in subprocess.getoutput(f"ps -o ppid= -p {fork}").split())
    os.kill(server, signal.SIGKILL)
    found = told(process)
    assert not found["forked"] and process.wait(10) == 0
    assert not alive(fork), "the fork had ended before the job began once more"


def test_the_server_ends_with_its_parent_once_its_forks_have_ended(
    job: Job, address: str, parent: subprocess.Popen
) -> None:
    process = job(address, "import time; time.sleep(0.5); sys.exit(5)")
    told(process)
    parent.kill()
    assert process.wait(10) == 5
    wait_for(lambda: not os.path.exists(os.path.dirname(address)))


def test_a_server_that_ends_takes_along_what_it_began_for_later(tmp_path: Path) -> None:
    told_in = tmp_path / "pid"
    slow = f"import os, pathlib, time; pathlib.Path({str(told_in)!r}).write_text(str(os.getpid())); time.sleep(60)"
    (tmp_path / "slow.py").write_text(slow)
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", PARENT.replace("tabnanny", "slow")]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths}, stdin=subprocess.PIPE) as process:
        wait_for(lambda: told_in.exists() and told_in.read_text())
        process.kill()
    wait_for(lambda: not alive(int(told_in.read_text())))


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts a server in a folder of its own, with what it imports later, and gives its address."""
    with ExitStack() as stack:

        def start(later: str) -> str:
            command = [sys.executable, "-P", "-c", PARENT.replace("tabnanny", later)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            process = stack.enter_context(subprocess.Popen(command, cwd=tmp_path, **pipes))
            stack.callback(process.kill)
            found = process.stdout.readline().strip()
            wait_for(lambda: is_ready(found))
            return found

        yield start


def test_what_cannot_be_done_later_is_left_to_the_jobs(job: Job, started: Callable[..., str]) -> None:
    address = started("none.such")
    process = job(address, "import time; time.sleep(2)")
    assert told(process)["forked"] and process.wait(10) == 0
    assert told(job(address))["forked"], "the server serves on"


def test_modules_in_the_working_folder_are_not_the_servers(
    job: Job, started: Callable[..., str], tmp_path: Path
) -> None:
    for name in ("selectors", "colorsys", "secrets"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is a module of the user')")
    assert told(job(started("secrets")))["forked"]


@pytest.fixture
def importing(tmp_path: Path) -> Iterator[str]:
    """Address of a server that is importing ``pack.slow`` until there is a file ``on``."""
    (tmp_path / "pack").mkdir()
    waits = f"while not pathlib.Path({str(tmp_path / 'on')!r}).exists(): time.sleep(0.01)"
    (tmp_path / "pack" / "slow.py").write_text(f"import pathlib, time\n{waits}")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", PARENT.replace("colorsys", "pack.slow")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths}, **pipes) as process:
        found = process.stdout.readline().strip()
        wait_for(lambda: listens(found))
        yield found
        process.kill()


def test_jobs_that_import_what_the_server_is_importing_wait_for_it(job: Job, importing: str, tmp_path: Path) -> None:
    never = "if False:\n    "
    for line in ("from pack import other", "from pack.other import slow", "from slow import x"):
        assert not told(job(importing, never + line))["forked"]
    waiting = [job(importing, never + line) for line in ("from pack.slow import x", "from pack import other, slow")]
    (tmp_path / "on").touch()
    for process in waiting:
        found = told(process)
        assert found["forked"] == "seven" and found["ready"] == ["decimal"] and process.wait(10) == 0


def test_a_job_that_is_killed_while_it_waits_is_not_done(job: Job, importing: str, tmp_path: Path) -> None:
    killed = job(importing, "import pathlib; pathlib.Path('done').touch()\nfrom pack.slow import x")
    time.sleep(0.3)  # until it has asked
    killed.kill()
    killed.wait()
    (tmp_path / "on").touch()
    wait_for(lambda: is_ready(importing))
    assert told(job(importing))["forked"] and not (tmp_path / "done").exists()


def test_what_is_no_request_is_not_answered(job: Job, address: str) -> None:
    requests = (b"hello", b"ab", b"a\0001\0x", b"a\0002\0x\0y", b"a\0-\0x")
    for content in (b"", b"\0\0\0\x09short", *(len(request).to_bytes(4) + request for request in requests)):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(4) == b""
    assert told(job(address))["forked"]


def test_in_bash_what_runs_a_script_is_forked_and_the_rest_stays_what_it_is(address: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(JOB + "print(forked, *sys.argv[1:])")
    lines = f"""
        {sys.executable} {script} 'two words' | cat
        {sys.executable} -c 'print(1)' && env {sys.executable} {script} three > {tmp_path}/four
        cat {tmp_path}/four
        {sys.executable} -m none.such || echo failed
    """
    command = ["bash", "-c", f"set -euo pipefail; {forkserver.bash_function(address)} {lines}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["seven two words", "1", "None three", "failed"]


@pytest.mark.parametrize("how", ["a space", "POSIXLY_CORRECT", "SHELLOPTS"])
def test_where_bash_names_no_function_after_a_program_is_no_server(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "a space":
        monkeypatch.setattr(sys, "executable", "/my own/python")
    else:
        monkeypatch.setenv(how, "braceexpand:posix")
    assert forkserver.start([], [], {}) is None


def later_job(job: Job, address: str) -> dict:
    """What a job tells that finds imported what comes last."""
    found: list[dict] = []
    wait_for(lambda: (time.sleep(0.5), found.append(told(job(address))), found[-1]["later"])[-1])
    return found[-1]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_a_server_that_has_nothing_to_do_is_succeeded_by_one_that_has_imported_what_comes_last(
    job: Job, address: str, parent: subprocess.Popen
) -> None:
    early = job(address, "import time; time.sleep(4); sys.exit(5)")
    first = parent_of(told(early)["pid"])
    later_job(job, address)
    late = job(address, "import time; time.sleep(1); sys.exit(6)")
    second = parent_of(told(late)["pid"])
    assert first != second and alive(first), "it waits for its forks"
    assert early.wait(10) == 5 and late.wait(10) == 6
    wait_for(lambda: not alive(first))
    last = job(address, "import time; time.sleep(0.5); sys.exit(7)")
    assert parent_of(told(last)["pid"]) == second
    parent.kill()
    assert last.wait(10) == 7
    wait_for(lambda: not os.path.exists(os.path.dirname(address)) and not alive(second))


def test_a_job_runs_by_itself_when_the_successor_dies(job: Job, address: str) -> None:
    later_job(job, address)
    process = job(address, "import time; time.sleep(0.5 if forked else 0)")
    os.kill(parent_of(told(process)["pid"]), signal.SIGKILL)
    assert not told(process)["forked"] and process.wait(10) == 0
    found = job(address)
    assert not told(found)["forked"] and found.wait(10) == 0
