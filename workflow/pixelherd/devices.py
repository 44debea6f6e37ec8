"""The device that a job computes on."""

import torch

from .errors import UserError


def resolve(name: str) -> torch.device:
    """The device of a study's ``device`` setting; ``auto`` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        UserError: the device does not exist here.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available.get(name.split(":")[0], False):
        there = ", ".join(device for device, found in available.items() if found)
        raise UserError(f"device: {name!r} is not available here (available: {there}); set `device: auto`")
    return torch.device(name)
