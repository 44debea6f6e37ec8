"""The device setting, and tensors that lie on two devices."""

import os
import subprocess
import sys

import pytest
import torch

from pixelherd.compute.devices import resolve
from pixelherd.errors import UserError
from unit.places import REPOSITORY


def test_devices_that_are_there():
    assert resolve("cpu") == torch.device("cpu")
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert resolve("auto") == torch.device(best)


@pytest.mark.parametrize("name", ["tpu", "cpu:x", "", "meta"])
def test_devices_that_are_not_there(name):
    with pytest.raises(UserError, match=r"is not available here \(available: .*cpu\); set `device: auto`"):
        resolve(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_without_a_gpu():
    for name in ("cuda", "cuda:1"):
        with pytest.raises(UserError, match="not available"):
            resolve(name)


ELSEWHERE = """
import torch
from accelerator import DEVICE
from pixelherd.heads import dense
from pixelherd.heads.network import MlpHead

try:
    torch.ones(3).to(DEVICE) + torch.ones(3)
except RuntimeError as error:
    print(error)
maps = {1: torch.rand(2, 20, 8, 8).half(), 3: torch.rand(1, 24, 16, 16), 4: torch.rand(1, 5, 32, 32)}
head = MlpHead(69, 3, generator=torch.Generator().manual_seed(0)).eval()
on_cpu = dense.log_probabilities(maps, [head], (32, 32))[0]
head.to(DEVICE)
for place in ("cpu", DEVICE):
    found = dense.log_probabilities({block: values.to(place) for block, values in maps.items()}, [head], (32, 32))[0]
    print(found.device, (found.cpu() - on_cpu).abs().max().item() < 1e-5)
"""


def test_heads_predict_where_they_are_from_maps_that_are_elsewhere():
    """In a process of its own, since torch keeps a device that it has learned of."""
    path = os.pathsep.join(str(REPOSITORY / folder) for folder in ("workflow", "tests/unit"))
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "aten.add.Tensor: tensors of simulated:0 and of the CPU",
        "simulated:0 True",
        "simulated:0 True",
    ]
