"""Run all tests of hostile inputs, and print as a table what was tried and what happens to it.

    python benchmarks/inputs.py

A row is a test, whose name says what happens. Tests that take any input (of hypothesis) count as one.
"""

import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

REPOSITORY = Path(__file__).parents[1]


class Tried:
    """Plugin of pytest that counts inputs by the kind that a test is marked with, and those that were not handled."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.failed = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note the kind of each test."""
        for item in session.items:
            self.kinds[item.nodeid] = item.get_closest_marker("hostile").args[0]  # type: ignore[union-attr]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count an input that was handled as its test says."""
        if report.when == "call" and report.passed:
            name = report.nodeid.split("::")[1].partition("[")[0].removeprefix("test_").replace("_", " ")
            self.counts[self.kinds[report.nodeid], name] += 1
        self.failed += report.failed

    def table(self) -> str:
        """Return the table in Markdown."""
        rows = [(*about, count) for about, count in sorted(self.counts.items(), key=lambda each: each[0][0])]
        return pd.DataFrame(rows, columns=["input", "what happens", "tried"]).to_markdown(index=False)


if __name__ == "__main__":
    tried = Tried()
    folder = str(REPOSITORY / "tests" / "unit")
    code = pytest.main(["-q", "-n0", "-m", "hostile", "--rootdir", str(REPOSITORY), folder], plugins=[tried])
    print(tried.table())
    print(f"\n{tried.counts.total()} inputs were handled so, {tried.failed} were not.")
    sys.exit(code)
