"""The process that learns, as the server sees it: killed, started anew, given up, ended."""

import os
import signal
import subprocess
import sys
import threading
import time
from queue import Queue
from types import SimpleNamespace

import psutil
import pytest

from pixelherd.labelling.learning import worker as workers
from pixelherd.labelling.learning.loop import ANSWERS, MASKS, Standing
from pixelherd.labelling.learning.worker import RESTARTS, Worker
from unit.labelling.learning import processes
from unit.places import REPOSITORY

PATIENCE = 60


class Heard(Queue):
    """What a worker tells."""

    def next(self, about: str):
        """The content of the next message, which is about something."""
        told = self.get(timeout=PATIENCE)
        assert told.about == about, told
        return told.content


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Starts a worker whose process does something else."""
    begun = []

    def begin(work) -> tuple[Worker, Heard]:
        monkeypatch.setattr(workers, "work", work)
        store = SimpleNamespace(path=tmp_path / "answers.sqlite")
        project = SimpleNamespace(study=lambda: SimpleNamespace(threads=1), store=store, base={}, dataset="photographs")
        heard = Heard()
        begun.append(Worker(project, heard.put))
        return begun[-1], heard

    yield begin
    for worker in begun:
        worker.end()


def until(condition) -> None:
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_killed_process_is_started_anew_and_hears_what_counts_again(begin):
    worker, heard = begin(processes.say_what_is_heard)
    process, version = heard.next("started")
    assert version == 0
    worker.send("make")
    worker.send("make")
    assert [heard.next("model")["version"] for _ in range(2)] == [1, 2]
    for said in (1, 2):
        worker.send(ANSWERS, Standing(said=said))
        assert heard.next("heard") == (ANSWERS, Standing(said=said))
    os.kill(process, signal.SIGSTOP)  # it shall not answer before it is killed
    paint = worker.ask("paint", "street 1")
    os.kill(process, signal.SIGKILL)
    assert "was killed, perhaps because memory ran out; it is started anew" in heard.next("restarting")
    another, version = heard.next("started")
    assert another != process and version == 2, "versions go on"
    assert heard.next("heard") == (ANSWERS, Standing(said=2)), "the last of them, and that alone"
    assert paint.result(PATIENCE) == ("paint", "street 1")
    worker.send(ANSWERS, Standing(said=3))
    assert heard.next("heard") == (ANSWERS, Standing(said=3))
    worker.end()
    assert worker.process.exitcode == 0 and heard.empty()


def test_how_a_process_ended_is_known_although_two_threads_wait_for_it(begin, monkeypatch):
    waitpid, main = os.waitpid, threading.current_thread()

    def hesitant(process: int, options: int):
        """The main thread comes after the other has learned of the end and before it has noted that."""
        if threading.current_thread() is main:
            time.sleep(0.1)
        found = waitpid(process, options)
        if found[0] and threading.current_thread() is not main:
            time.sleep(0.5)
        return found

    worker, heard = begin(processes.say_what_is_heard)
    heard.next("started")
    monkeypatch.setattr(os, "waitpid", hesitant)
    worker.end()
    assert worker.process.exitcode == 0


def test_masks_that_were_being_written_are_asked_for_again(begin):
    worker, heard = begin(processes.say_what_is_heard)
    process, _ = heard.next("started")
    worker.send(MASKS)
    assert heard.next("heard") == (MASKS, None)
    os.kill(process, signal.SIGKILL)
    heard.next("restarting")
    heard.next("started")
    assert heard.next("heard") == (MASKS, None)


def test_a_process_that_ends_again_and_again_is_given_up(begin):
    worker, heard = begin(processes.die)
    waits = worker.ask("gallery")
    for _ in range(RESTARTS):
        heard.next("restarting")
    words = heard.next("failed")
    assert f"{RESTARTS + 1} times in a row" in words and "start it again" in words
    assert waits.result(PATIENCE) is None and worker.ask("gallery").result(PATIENCE) is None
    assert heard.empty()


def test_times_in_a_row_are_counted_from_a_process_that_lived_for_long(begin, monkeypatch):
    monkeypatch.setattr(workers, "STEADY_SECONDS", -1.0)
    worker, heard = begin(processes.say_what_is_heard)
    for _ in range(RESTARTS + 2):
        heard.next("started")
        worker.send("die")
        heard.next("restarting")
    heard.next("started")


def test_a_process_that_says_that_it_cannot_go_on_is_not_started_anew(begin):
    worker, heard = begin(processes.fail)
    assert heard.next("failed") == "there is no network"
    assert worker.ask("gallery").result(PATIENCE) is None
    assert heard.empty()


def test_a_server_that_ends_meanwhile_starts_no_process(begin, monkeypatch):
    worker, heard = begin(processes.say_what_is_heard)
    process, _ = heard.next("started")
    worker._tell = lambda told: worker.end() if told.about == "restarting" else heard.put(told)
    os.kill(process, signal.SIGKILL)
    until(lambda: worker.ask("gallery").done())
    assert worker.process.pid == process and not worker.process.is_alive() and heard.empty()


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "ended"), (1, "ended with an error (1)"), (-9, "was killed, perhaps"), (-11, "ended by signal 11")],
)
def test_how_a_process_ended_is_said(code, words):
    assert workers.ended(code).startswith(words)


PARENT = """
import multiprocessing, sys, time
from unit.labelling.learning.processes import be_busy_for_ever
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=be_busy_for_ever)
    process.start()
    print(process.pid, flush=True)
    time.sleep(1000)
"""


@pytest.mark.parametrize("before", [True, False], ids=["while it starts", "while it is busy"])
def test_the_process_of_a_killed_server_ends_at_once(tmp_path, before):
    (tmp_path / "parent.py").write_text(PARENT)
    path = os.pathsep.join(map(str, (REPOSITORY / "tests", REPOSITORY / "workflow")))
    command, environment = [sys.executable, str(tmp_path / "parent.py")], os.environ | {"PYTHONPATH": path}
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    if not before:
        until(lambda: child.num_threads() > 1)
    parent.kill()
    parent.wait()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
