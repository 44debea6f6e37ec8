"""The device setting."""

import pytest
import torch

from pixelherd.devices import resolve
from pixelherd.errors import UserError


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
