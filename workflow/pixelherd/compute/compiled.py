"""Loops that NumPy has no words for, compiled to machine code by numba."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from numba import njit

Given = ParamSpec("Given")
Found = TypeVar("Found")


def compiled(function: Callable[Given, Found]) -> Callable[Given, Found]:
    """Compile a function of arrays and numbers when it is first called; threads may call it side by side.

    What is compiled is kept beside the source, or in the user's cache folder where that cannot be written; where
    neither can, each process compiles for itself. Sums keep their order, so results do not depend on the processor's
    vector width.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        kept: Any = njit(function, cache=True, **options)
    except RuntimeError:  # no folder to keep it in
        kept = njit(function, **options)
    return kept
