"""The machine that a job runs on: what sums round by, besides data, settings and source."""

import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("torch", "numpy", "scipy")
"""Packages whose versions decide how sums are formed."""


def machine() -> dict[str, str | None]:
    """Describe this process's machine, without a name that would tell whose it is.

    Two machines that agree in all of this mostly give the same bytes; two that differ may round sums otherwise, after
    which scores order pixels otherwise.

    Returns:
        ``device`` (the GPU computed on, else the processor), ``processor``, ``instructions`` (the instruction set that
        torch's kernels were chosen for: AVX2, AVX512, …, which ATEN_CPU_CAPABILITY overrides; None where torch is not
        loaded), ``mkl`` (what MKL was told to use, mostly None), ``system``, ``python``, and the versions of
        ``PACKAGES``.
    """
    torch = sys.modules.get("torch")
    return {
        "device": device_name(),
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability() if torch is not None else None,
        "mkl": os.environ.get("MKL_ENABLE_INSTRUCTIONS") or os.environ.get("MKL_CBWR"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def device_name() -> str:
    """Return the GPU that this process has computed on, else the machine's processor."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return torch.cuda.get_device_name()
    return processor()


def processor() -> str:
    """Return what the machine's processor calls itself."""
    try:
        (name, *_) = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        name = platform.processor() or platform.machine()
    return name
