"""What stages depend on, found by the machine, against what their scripts really load."""

import ast
import json
import shutil
import subprocess
import sys

import pytest

from pixelherd.pipeline import source
from pixelherd.pipeline.source import EXEMPT, PACKAGE, closure, hash_of_script, hash_of_scripts
from unit.places import REPOSITORY

SCRIPTS = sorted((REPOSITORY / "workflow" / "scripts").glob("*.py"))

LOADED = """
import json, sys
{imports}
print(json.dumps(sorted(name for name in sys.modules if name.split(".")[0] == "pixelherd")))
"""


def imports_of(script) -> str:
    """Every import of a script, those in its body too, as a program."""
    nodes = ast.walk(ast.parse(script.read_text()))
    return "\n".join(ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_module_that_a_script_loads_is_in_its_closure_or_exempt(script):
    program = LOADED.format(imports=imports_of(script))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    exempt = loaded & EXEMPT.keys()
    # what an exempt module loads besides is empty packages, and settings that it checks
    missing = {
        name
        for name in loaded - set(closure(script)) - exempt
        if (PACKAGE / "/".join(name.split(".")[1:])).is_dir() is False
    }
    assert not missing, "name them in source.EXEMPT, with a reason, or let the script import them where they count"


def test_stages_are_scripts_and_exemptions_are_modules():
    assert set(source.RUN_STAGES) <= {script.stem for script in SCRIPTS}
    for name, reason in EXEMPT.items():
        path = PACKAGE.joinpath(*name.split(".")[1:])
        assert reason and (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()), name


@pytest.fixture
def copy(tmp_path):
    """A copy of the package and its scripts that may be changed; gives a function that makes one."""

    def copied(name, changed=None):
        folder = tmp_path / name
        ignored = shutil.ignore_patterns("__pycache__")
        for part in ("pixelherd", "scripts"):
            shutil.copytree(REPOSITORY / "workflow" / part, folder / part, ignore=ignored)
        if changed:
            with open(folder / changed, "a") as file:
                file.write("\n# changed\n")
        scripts = sorted((folder / "scripts").glob("*.py"))
        return {path.stem: hash_of_script(path, folder / "pixelherd") for path in scripts}

    return copied


def test_a_hash_follows_what_the_stage_needs(copy):
    before = copy("before")
    assert copy("again") == before, "where the files lie is no matter"
    for number, (part, stages) in enumerate(
        {
            "pixelherd/heads/network.py": {"score", "rank", "train", "fit", "evaluate", "test_pass"},
            "pixelherd/heads/training.py": {"train"},
            "pixelherd/heads/linear.py": {"fit"},
            "pixelherd/heads/posterior.py": {"fit"},
            "pixelherd/features/interpolation.py": {"extract", "herd", "train", "evaluate"},
            "pixelherd/datasets/readers/demo.py": {"prepare"},
            "pixelherd/datasets/benchmarks/facts/camvid.yaml": {"prepare"},
            "pixelherd/features/backbones/networks/filters.py": {"extract", "perturb"},
            "pixelherd/selection/coverage/herding.py": {"herd", "gather", "pool"},
            "scripts/gather.py": {"gather"},
        }.items()
    ):
        after = copy(f"copy-{number}", part)
        changed = {stage for stage in after if after[stage] != before[stage]}
        assert stages <= changed, part
        assert part.startswith("scripts") is (changed == stages) or part.startswith("pixelherd"), part
    for number, part in enumerate(("pixelherd/pipeline/accounts/costs.py", "pixelherd/errors.py")):
        after = copy(f"exempt-{number}", part)
        changed = {stage for stage in source.RUN_STAGES if after[stage] != before[stage]}
        assert not changed, part


@pytest.fixture
def small(tmp_path):
    """A package of a few lines, and a script that needs it; gives a function that changes a file of it."""
    files = {
        "script.py": "from pixelherd.room.shelf.thing import made\n",
        "pixelherd/__init__.py": "",
        "pixelherd/room/__init__.py": "",
        "pixelherd/room/other.py": "",
        "pixelherd/room/shelf/__init__.py": "",
        "pixelherd/room/shelf/thing.py": "DATA, TEXTS = 'numbers.json', 'texts'\n",
        "pixelherd/room/shelf/numbers.json": "1",
        "pixelherd/room/shelf/notes.json": "1",
        "pixelherd/room/shelf/texts/deep/a.txt": "a",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def hash_with(name, text):
        before = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text)
        source._read.cache_clear()
        source._data.cache_clear()
        try:
            return hash_of_script(tmp_path / "script.py", tmp_path / "pixelherd")
        finally:
            (tmp_path / name).write_text(before)

    return hash_with


@pytest.mark.parametrize(
    "name, counts",
    {
        "pixelherd/room/__init__.py": True,
        "pixelherd/room/shelf/__init__.py": True,
        "pixelherd/room/shelf/numbers.json": True,
        "pixelherd/room/shelf/texts/deep/a.txt": True,
        "pixelherd/room/shelf/notes.json": False,
        "pixelherd/room/other.py": False,
        "pixelherd/__init__.py": False,  # exempt
    }.items(),
)
def test_packages_around_a_module_and_its_data_count(small, name, counts):
    same = small("script.py", "from pixelherd.room.shelf.thing import made\n")
    assert (small(name, "CHANGED = 1\n") != same) is counts


def test_nothing_is_imported_by_way_of_the_api():
    """The root's names are of modules that a closure would not find, as the root is exempt."""
    for path in (*SCRIPTS, *PACKAGE.rglob("*.py")):
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        named = {alias.name for node in nodes if node.module == "pixelherd" for alias in node.names}
        assert named <= {"__version__"}, path


def test_the_order_of_scripts_is_no_matter():
    first, second, *_ = SCRIPTS
    assert hash_of_scripts([first, second]) == hash_of_scripts([second, first]) != hash_of_scripts([first])


def test_what_only_type_checkers_see_is_left_out(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pixelherd.heads import network\n"
        "else:\n    import pixelherd.compute.matmul\n"
        "if not TYPE_CHECKING:\n    import pixelherd.heads.metrics\n"
        "def later():\n    from pixelherd.compute import randomness\n"
        "KIND = 'pixelherd.datasets.classes'\nTEXT = 'about pixelherd.heads.metrics'\n"
    )
    found = [name for name in closure(script) if not (PACKAGE / "/".join(name.split(".")[1:])).is_dir()]
    assert found == [
        "pixelherd.compute.matmul",
        "pixelherd.compute.randomness",
        "pixelherd.datasets.classes",
        "pixelherd.heads.metrics",
    ]


def test_what_compilers_keep_beside_modules_is_no_source(tmp_path):
    """A folder that a module names holds modules too, and numba keeps what it compiled in their ``__pycache__``."""
    package = tmp_path / "pixelherd"
    (package / "coverage" / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "choose.py").write_text('SELECTIONS = "coverage"\n')
    (package / "coverage" / "facts.yaml").write_text("a: 1\n")
    script = tmp_path / "score.py"
    script.write_text("from pixelherd.choose import SELECTIONS\n")
    program = (
        "import sys; from pathlib import Path; from pixelherd.pipeline.source import hash_of_script\n"
        "print(hash_of_script(Path(sys.argv[1]), Path(sys.argv[2])))"
    )

    def found():  # of a new process: a call reads each file once
        command = [sys.executable, "-c", program, script, package]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    before = found()
    (package / "coverage" / "__pycache__" / "pairs.first-1.py311.1.nbc").write_bytes(b"compiled")
    assert found() == before
    (package / "coverage" / "facts.yaml").write_text("a: 2\n")
    assert found() != before
