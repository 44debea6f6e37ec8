"""Leases of pretend GPUs, held by real processes."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from pixelherd.compute import gpus
from pixelherd.errors import UserError

JOB = """
import os, sys, time
from pathlib import Path
from pixelherd.compute.gpus import lease
with lease(int(sys.argv[2]), Path(sys.argv[1])) as gpu:
    assert os.environ["CUDA_VISIBLE_DEVICES"] == gpu and "torch" not in sys.modules
    print("took", gpu, time.monotonic(), flush=True)
    time.sleep(float(sys.argv[3]))
    print("left", gpu, time.monotonic(), flush=True)
"""


def start(folder, *, jobs_per_gpu=1, seconds=0.1, devices="0,1,GPU-4f2e,3", **more):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": devices, **more}
    environment.pop("SLURM_JOB_ID", None) if "SLURM_JOB_ID" not in more else None
    command = [sys.executable, "-c", JOB, str(folder), str(jobs_per_gpu), str(seconds)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def held(outputs):
    """(gpu, from, to) of every job."""
    found = []
    for output in outputs:
        (_, gpu, began), (_, same, ended) = (line.split() for line in output.splitlines())
        assert gpu == same
        found.append((gpu, float(began), float(ended)))
    return found


def most_at_once(leases):
    return max(sum(began <= moment < ended for _, began, ended in leases) for _, moment, _ in leases)


@pytest.mark.parametrize("jobs_per_gpu", [1, 2])
def test_24_jobs_over_4_gpus_never_share_more_than_allowed(tmp_path, jobs_per_gpu):
    jobs = [start(tmp_path, jobs_per_gpu=jobs_per_gpu) for _ in range(24)]
    outputs = [job.communicate(timeout=120) for job in jobs]
    assert [job.returncode for job in jobs] == [0] * 24, outputs
    leases = held(output for output, _ in outputs)
    assert {gpu for gpu, _, _ in leases} == {"0", "1", "GPU-4f2e", "3"}
    for gpu in {gpu for gpu, _, _ in leases}:
        assert most_at_once([lease for lease in leases if lease[0] == gpu]) <= jobs_per_gpu


def test_a_killed_job_gives_its_gpu_back_and_waiting_jobs_say_so(tmp_path):
    holder = start(tmp_path, devices="7", seconds=600)
    assert holder.stdout.readline().startswith("took 7")
    waiting = start(tmp_path, devices="7", seconds=0)
    assert waiting.stderr.readline() == "pixelherd: all GPUs are taken (7); waiting for one ...\n"
    assert waiting.poll() is None
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    output, _ = waiting.communicate(timeout=60)
    assert output.startswith("took 7") and waiting.returncode == 0
    holder.stdout.close(), holder.stderr.close()


def test_gpus_fill_up_evenly(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with gpus.lease(2, tmp_path) as one, gpus.lease(2, tmp_path) as same:
        # the first lease has left one GPU visible, and what it starts has to stay there
        assert (one, same) == ("2", "2")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,5"
    holders = [start(tmp_path, jobs_per_gpu=2, devices="2,5", seconds=20) for _ in range(4)]
    took = [holder.stdout.readline().split()[1] for holder in holders]
    assert sorted(took) == ["2", "2", "5", "5"]
    for holder in holders:
        holder.kill()
        holder.communicate()


def test_allocations_of_slurm_do_not_wait_for_each_other(tmp_path):
    holders = [start(tmp_path, devices="0", seconds=20, SLURM_JOB_ID=number) for number in ("17", "18")]
    for holder in holders:
        assert holder.stdout.readline().startswith("took 0")
        holder.kill()
        holder.communicate()


LISTED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 2g.10gb     Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-1f6c2a34-0e0a-44d1-9d3a-52b1a7b0c1d2)
GPU 2: NVIDIA H100 80GB HBM3 (UUID: GPU-9b7c2a34-1e0a-44d1-9d3a-52b1a7b0c1d2)
"""
FIRST, SECOND = "GPU-1f6c2a34-0e0a-44d1-9d3a-52b1a7b0c1d2", "GPU-9b7c2a34-1e0a-44d1-9d3a-52b1a7b0c1d2"
SLICES = ["MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb"]


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A machine whose driver lists three GPUs, one of them divided; gives its ``PATH``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "listed").write_text(LISTED)
    (folder / "nvidia-smi").write_text(f'#!/bin/sh\n[ "$*" = -L ] && cat {folder}/listed\n')
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return os.environ["PATH"]


@pytest.mark.parametrize(
    "value, found",
    [
        (None, [*SLICES, FIRST, SECOND]),
        ("1", [FIRST]),
        ("2,1", [SECOND, FIRST]),
        ("GPU-9b7c,1", [SECOND, FIRST]),
        ("0", SLICES),
        ("GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77", SLICES),
        (SLICES[1], SLICES[1:]),
        ("MIG-cba6", SLICES[1:]),
        ("1,GPU-1f6c", [FIRST]),
        ("2,7,1", [SECOND]),
        ("GPU-no", []),
    ],
)
def test_an_index_and_a_uuid_are_one_gpu_and_slices_stand_for_a_divided_one(driver, monkeypatch, value, found):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value) if value else monkeypatch.delenv(
        "CUDA_VISIBLE_DEVICES", raising=False
    )
    assert gpus.visible() == found


def test_jobs_that_name_one_gpu_by_index_and_by_uuid_wait_for_each_other(tmp_path, driver):
    holder = start(tmp_path / "locks", devices="1", seconds=600)
    assert holder.stdout.readline().split()[1] == FIRST
    waiting = start(tmp_path / "locks", devices="GPU-1f6c", seconds=0)
    assert f"all GPUs are taken ({FIRST})" in waiting.stderr.readline()
    other = start(tmp_path / "locks", devices="GPU-1f6c,2", seconds=0)
    assert other.communicate(timeout=60)[0].split()[1] == SECOND
    holder.kill()
    holder.communicate()
    assert waiting.communicate(timeout=60)[0].split()[1] == FIRST


def test_each_slice_is_a_device_of_its_own(tmp_path, driver):
    holders = [start(tmp_path / "locks", devices="0", seconds=20) for _ in range(2)]
    assert sorted(holder.stdout.readline().split()[1] for holder in holders) == sorted(SLICES)
    for holder in holders:
        holder.kill()
        holder.communicate()


def test_an_index_of_another_machine_is_another_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(gpus, "of_machine", list)
    holder = start(tmp_path, devices="0", seconds=600)  # of this machine
    assert holder.stdout.readline().startswith("took 0")
    monkeypatch.setattr(gpus.socket, "gethostname", lambda: "another-machine")
    with gpus.lease(1, tmp_path) as gpu:  # or it would wait
        assert gpu == "0"
    holder.kill()
    holder.communicate()


def test_a_folder_without_locks_is_a_mistake_with_a_remedy(tmp_path, monkeypatch):
    def refuse(self, **options):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(gpus.FileLock, "acquire", refuse)
    with pytest.raises(UserError, match="has no locks for GPUs; set TMPDIR"), gpus.lease(1, tmp_path):
        pass


@pytest.mark.parametrize(
    "value, found", [("0, 2", ["0", "2"]), ("1,-1,2", ["1"]), ("", []), ("GPU-1,GPU-2", ["GPU-1", "GPU-2"])]
)
def test_inherited_devices(monkeypatch, value, found):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert gpus.visible() == found


def test_without_gpus_nothing_is_locked(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with gpus.lease(1, tmp_path / "locks") as gpu:
        assert gpu is None
    assert not (tmp_path / "locks").exists()
