"""Setups: what a section of a table, a folder of figures and a chapter of the report are each made for."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd


EVERY = "(all)"
"""Stands for all datasets or all features of a study; no name has brackets."""

OVERALL = "over.all"
"""Folder of figures of what several setups of a budget say together; no dataset and no features have a dot."""


class Setup(NamedTuple):
    """What methods are compared on: runs of one setup differ in method and seed alone.

    Where dataset or features are ``EVERY``, what several setups of a budget say together.
    """

    dataset: str
    features: str
    budget: str

    @property
    def heading(self) -> str:
        """What titles call the setup."""
        dataset = "all datasets" if self.dataset == EVERY else self.dataset
        features = "all features" if self.features == EVERY else self.features
        return f"{dataset} · {features} · budget {self.budget}"

    def folder(self, figures: Path | str) -> Path:
        """Return where the setup's figures lie among the study's ``figures``."""
        dataset, features = (OVERALL if name == EVERY else name for name in (self.dataset, self.features))
        return Path(figures) / dataset / features / f"budget-{self.budget}"


SETUP = list(Setup._fields)

METHOD = [*SETUP, "method"]

RUN = [*METHOD, "seed"]
"""Columns that name a run, in the order that all tables have."""


def by_setup(table: "pd.DataFrame") -> Iterator[tuple[Setup, "pd.DataFrame"]]:
    """Yield each setup of a table with columns ``SETUP`` and its rows, setups as they come."""
    for key, rows in table.groupby(SETUP, sort=False):
        yield Setup(*key), rows
