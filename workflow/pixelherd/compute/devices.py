"""The device that a job computes on."""

import torch

from pixelherd.errors import UserError


def resolve(name: str) -> torch.device:
    """The device of a study's ``device`` setting; ``auto`` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        UserError: the device does not exist here.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or not available.get(device.type, False):
        there = ", ".join(kind for kind, found in available.items() if found)
        raise UserError(f"device: {name!r} is not available here (available: {there})", remedy="set `device: auto`")
    return device
