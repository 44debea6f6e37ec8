"""A run: one dataset × features × method × budget × seed."""

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Run:
    """One dataset × features × method × budget × seed."""

    dataset: str
    features: str
    method: str
    budget: str
    seed: int

    @property
    def path(self) -> str:
        """Return the run's folder below ``results/runs``."""
        return f"{self.dataset}/{self.features}/{self.method}/budget-{self.budget}/seed-{self.seed}"

    def step(self, number: int) -> str:
        """Return the folder of one of its rounds, below ``results/runs``."""
        return f"{self.path}/round-{number}"

    @classmethod
    def parse(cls, path: str) -> "Run":
        """Return the run of a folder below ``results/runs``; further parts such as ``round-3`` are left aside."""
        dataset, features, method, budget, seed = PurePosixPath(path).parts[:5]
        return cls(dataset, features, method, budget.removeprefix("budget-"), int(seed.removeprefix("seed-")))


def round_of(step: str) -> int:
    """Return the number of the round whose folder :meth:`Run.step` gives."""
    return int(step.rsplit("-", 1)[1])
