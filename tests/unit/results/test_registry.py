"""The registry of tables: light enough to plan with."""

import re
import subprocess
import sys

from pixelherd.results.registry import REGISTRY, TABLES


def test_planning_imports_nothing_heavy_for_the_names_of_tables():
    code = "import sys; from pixelherd.results.registry import TABLES; print(*TABLES, '-', *sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    tables, _, modules = printed.partition(" - ")
    assert tuple(tables.split()) == TABLES
    assert not {"pandas", "numpy", "torch", "pydantic", "matplotlib"} & set(modules.split())


def test_tables_have_names_for_files():
    assert len(TABLES) == len(REGISTRY) and all(name == table.name for name, table in REGISTRY.items())
    assert all(re.fullmatch("[a-z_]+", name) for name in TABLES)
