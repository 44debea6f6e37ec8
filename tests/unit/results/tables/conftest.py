"""A small study."""

from pathlib import Path

import pytest

from unit.results.small import write_study


@pytest.fixture
def study(tmp_path) -> list[Path]:
    """Folders of the runs of :mod:`unit.results.small`."""
    return write_study(tmp_path)
