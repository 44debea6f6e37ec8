"""What the C library's allocator does with freed memory, where that library is glibc, and huge pages of Linux."""

import ctypes
import gc
import sys
from contextlib import suppress
from pathlib import Path

HUGE = 2**21
"""Bytes of a huge page."""


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


def use_huge_pages() -> None:
    """Move what is allocated into huge pages, where the system can (Linux 6.1); nothing happens elsewhere.

    A fork copies the table of its parent's pages and gives it up at its end; with huge pages that is short.
    """
    if sys.platform != "linux":
        return
    collapse = 25  # MADV_COLLAPSE of linux/mman.h
    with suppress(OSError, AttributeError):
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        for line in Path("/proc/self/maps").read_text().splitlines():
            addresses, rights, *_, inode_and_name = line.split(maxsplit=4)
            if rights == "rw-p" and inode_and_name.split()[1:] in ([], ["[heap]"]):
                first, end = (int(address, 16) for address in addresses.split("-"))
                first, end = -(-first // HUGE) * HUGE, end // HUGE * HUGE
                if first < end:
                    madvise(first, end - first, collapse)  # a part of it may stay as it is
