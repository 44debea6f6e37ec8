"""How far a call of Snakemake is, and how long it will still take."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping


class Progress:
    """Counts jobs, and the time that those of each rule take.

    Args:
        stats: the number of jobs of each rule, and their ``total``.
        clock: tells seconds.
    """

    def __init__(self, stats: Mapping[str, int], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began = clock, clock()
        self._left = Counter({rule: count for rule, count in stats.items() if rule != "total"})
        self._running: dict[int, tuple[str, float]] = {}
        self._ended, self._seconds = Counter[str](), defaultdict[str, float](float)
        self.done, self.total, self.failed = 0, stats["total"], set[int]()

    def start(self, job: int, rule: str) -> None:
        """Note that a job starts, perhaps again."""
        self.failed.discard(job)
        self._running[job] = (rule, self._clock())

    def finish(self, job: int) -> None:
        """Note that a job is done."""
        if job in self._running:
            rule, since = self._running.pop(job)
            self._seconds[rule] += self._clock() - since
            self._ended[rule] += 1
            self._left[rule] -= 1

    def fail(self, jobs: Iterable[int]) -> None:
        """Note that jobs failed."""
        for job in jobs:
            self._running.pop(job, None)
            self.failed.add(job)

    @property
    def elapsed(self) -> float:
        """Seconds since the call began its jobs."""
        return self._clock() - self._began

    def seconds_left(self) -> float | None:
        """Return the time that is left, if as many jobs run at a time as did so far; None before a job is done.

        A rule of which no job is done is thought to take what others took.
        """
        if not self._ended or not self.elapsed:
            return None
        of_all = sum(self._seconds.values()) / self._ended.total()
        each = {rule: self._seconds[rule] / self._ended[rule] if self._ended[rule] else of_all for rule in self._left}
        ages = [(rule, self._clock() - since) for rule, since in self._running.values()]
        work = sum(count * each[rule] for rule, count in self._left.items())
        work -= sum(min(age, each.get(rule, of_all)) for rule, age in ages)
        at_a_time = (sum(self._seconds.values()) + sum(age for _, age in ages)) / self.elapsed
        return work / max(at_a_time, 0.1)

    def __str__(self) -> str:
        line = f"{self.done} of {self.total} jobs in {duration(self.elapsed)}"
        if self.failed:
            line += f", {len(self.failed)} failed"
        if (left := self.seconds_left()) is not None and self.done < self.total:
            line += f", about {duration(left)} left"
        running = Counter(rule for rule, _ in self._running.values())
        names = [rule if count == 1 else f"{rule} ×{count}" for rule, count in sorted(running.items())]
        return f"{line}: {', '.join(names)}" if names else line


def duration(seconds: float) -> str:
    """Say a time in the unit that fits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
