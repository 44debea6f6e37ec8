"""What jobs ask of the machine: functions of the rules, which are plain Python."""

import functools
from types import SimpleNamespace

import pytest

from unit.places import REPOSITORY

IMAGES = {"demo": {"train": 100, "test": 10}}


@pytest.fixture
def needs():
    """Gives the function ``needs`` for a study with this device."""
    path = REPOSITORY / "workflow" / "rules" / "jobs.smk"

    def of_device(device):
        study = SimpleNamespace(device=device, jobs_per_gpu=2, images_per_job=4)
        names = {"functools": functools, "STUDY": study, "WORK": SimpleNamespace(images=IMAGES)}
        names["asked"] = lambda wildcards, name: wildcards[name]
        exec(compile(path.read_text(), path, "exec"), names)
        return names["needs"]

    return of_device


def test_memory_and_time_grow_with_the_attempt_and_the_images(needs):
    found = needs("cpu")(1000, 10, per_image=(5, 0.5))
    assert found.keys() == {"mem_mb", "googlebatch_memory", "htcondor_request_mem_mb", "runtime"}
    assert found["htcondor_request_mem_mb"](None, 1) == found["googlebatch_memory"](None, 1) == 1020
    assert (found["mem_mb"](None, 1), found["runtime"](None, 2)) == (1020, 24)
    whole = needs("cpu")(1000, lambda wildcards: 60, per_image=(5, 0), split="train")
    assert (whole["mem_mb"]({"dataset": "demo"}, 2), whole["runtime"]({"dataset": "demo"}, 1)) == (3000, 60)


@pytest.mark.parametrize("name", ["gpu", "nvidia_gpu", "request_gpus", "_gpus"])
def test_a_gpu_is_asked_for_by_a_number_or_not_at_all(needs, name):
    assert needs("auto")(1, 1, gpu=True)[name] == 1 and name not in needs("cpu")(1, 1, gpu=True)
    wanted = [needs("auto")(1, 1, gpu=lambda wildcards, found=found: found)[name](None) for found in (True, False)]
    assert wanted == [1, None] and type(wanted[0]) is int, "SLURM knows no `--gpus=True`, Kubernetes no 0"
    assert name not in needs("cpu")(1, 1, gpu=lambda wildcards: True)
