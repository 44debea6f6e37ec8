"""A small study."""

from pathlib import Path

import pytest

from unit.results.drawn import write_study


@pytest.fixture
def study(tmp_path) -> list[Path]:
    """Folders of the runs of :mod:`unit.results.drawn`."""
    return write_study(tmp_path / "runs")
