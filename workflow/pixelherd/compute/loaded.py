"""What numba loads for the first compiled function of a process, loaded: a process that forks imports this.

Its forks need not load it again, which takes longer than most of what they compute.
"""

from pixelherd.compute.compiled import compiled


@compiled
def _nothing() -> int:
    return 0


_nothing()
