"""What the C library's allocator does with freed memory, where that library is glibc; nothing happens elsewhere."""

import ctypes
import gc
from contextlib import suppress


def keep_freed_memory() -> None:
    """Keep what is freed for the next array instead of returning it to the system.

    The page faults of fetching large arrays anew take a seventh of a network's forward pass and a fifth of a dense
    pass.
    """
    trim_threshold, mmap_threshold = -1, -3  # names of glibc's malloc.h
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 2**30)
        mallopt(trim_threshold, 2**31 - 1)


def return_freed_memory() -> None:
    """Return what is free by now to the system, such as what loading a network took besides its weights."""
    gc.collect()  # diffusers leaves the file of the weights mapped in a cycle of references
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
