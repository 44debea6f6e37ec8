import pytest

from pixelherd.study.study import Study


@pytest.fixture
def study(settings, tmp_path):
    """A small study, of which nothing is made."""
    changes = {"results": str(tmp_path / "results"), "methods": {"coverage": None, "random": None, "full": None}}
    return Study.read({**settings, **changes})
