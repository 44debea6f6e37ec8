"""Where the files lie that come with the package: the workflow, its profiles and studies, the backbone of the demo."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]

SHIPPED = shipped if (shipped := _PACKAGE / "shipped").is_dir() else _PACKAGE.parents[1]
"""A folder of the package where that came as a wheel (setup.py), or else the repository around it."""
