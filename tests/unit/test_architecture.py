"""The rules of the house: which rooms may know which, how full they are, and what is light."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter

import pytest

from pixelherd.datasets.prepare import READERS
from pixelherd.selection.methods import SELECTIONS
from unit.places import REPOSITORY

PACKAGE = REPOSITORY / "workflow" / "pixelherd"

#: Rooms from the lowest floor up; a module imports from its own room and from lower floors.
FLOORS = (
    ("errors",),
    ("compute", "settings", "storage"),
    ("datasets",),
    ("features",),
    ("heads",),
    ("selection",),
    ("study",),
    ("annotation",),
    ("results",),
    ("pipeline",),
    ("labelling",),
    ("__main__",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> dict[str, ast.Module]:
    """Every module by its dotted name below the package, the root left out."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = ast.parse(path.read_text())
    return found


MODULES = modules()


def imports(tree: ast.AST) -> list[str]:
    """Modules below the package that a module imports anywhere in it, for type checkers alone too."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute: `from pixelherd.room.module import name`"
            if node.module and node.module.split(".")[0] == "pixelherd":
                base = node.module.removeprefix("pixelherd").lstrip(".")
                for alias in node.names:
                    name = f"{base}.{alias.name}".lstrip(".")
                    found.append(name if name in MODULES else base)
        elif isinstance(node, ast.Import):
            found += [alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("pixelherd.")]
    return [name for name in found if name]


def test_imports_run_down():
    upward = [
        f"{name} imports {other}"
        for name, tree in MODULES.items()
        for other in imports(tree)
        if FLOOR[other.split(".")[0]] > FLOOR[name.split(".")[0]]
        or (FLOOR[other.split(".")[0]] == FLOOR[name.split(".")[0]] and other.split(".")[0] != name.split(".")[0])
    ]
    assert not upward, "a room knows only itself and lower floors (see FLOORS)"


def test_no_circle():
    graph = {name: {other for other in imports(tree) if other in MODULES} - {name} for name, tree in MODULES.items()}
    # modules that import each other for type checkers alone are no circle while a program runs
    running = {
        name: {other for other in others if not only_for_types(MODULES[name], other)} for name, others in graph.items()
    }
    try:
        tuple(TopologicalSorter(running).static_order())
    except CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(error.args[1])}")


def only_for_types(tree: ast.Module, other: str) -> bool:
    guarded = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    inside = sum(imports(node).count(other) for node in guarded)
    return inside == imports(tree).count(other)


def test_rooms_are_not_too_full():
    folders = [PACKAGE, *(path for path in PACKAGE.rglob("*") if path.is_dir() and path.name != "__pycache__")]
    # kinds of datasets are one shelf, that grows with them, and so are rules
    rules = [selection.module for selection in SELECTIONS.values() if selection.module]
    shelf = {PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py") for module in [*READERS.values(), *rules]}
    names = {
        folder: [path.name for path in folder.iterdir() if not path.name.startswith("__") and path not in shelf]
        for folder in folders
    }
    assert len(names.pop(PACKAGE)) <= 13
    crowded = {folder.relative_to(PACKAGE).as_posix(): len(found) for folder, found in names.items() if len(found) > 9}
    assert not crowded, "at most nine names on a level"


def test_modules_of_the_pipeline_are_short_and_do_nothing_when_imported():
    for name, tree in MODULES.items():
        if name.split(".")[0] == "pipeline":
            assert max((node.end_lineno or 0 for node in tree.body), default=0) <= 250, name
            acting = [
                node for node in tree.body if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
            ]
            assert not acting, f"{name} acts while it is imported"


def test_packages_are_empty_or_light():
    for path in PACKAGE.rglob("__init__.py"):
        tree = ast.parse(path.read_text())
        heavy = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        allowed = {"typing", "importlib", "importlib.metadata", "__future__"}
        named = {getattr(node, "module", None) or node.names[0].name for node in heavy}
        assert named <= allowed, f"{path} imports {named - allowed}"


@pytest.mark.parametrize(
    "module",
    [
        *("pixelherd.pipeline.session", "pixelherd.study.health.doctor", "pixelherd.results.registry"),
        *("pixelherd.__main__", "snakemake_logger_plugin_pixelherd"),
    ],
)
def test_planning_imports_nothing_heavy(module):
    heavy = {"torch", "diffusers", "pandas", "matplotlib", "sklearn", "scipy"}
    program = f"import sys, {module}; sys.exit(' '.join({heavy!r} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, f"{module} loads {done.stderr}"


def test_the_console_knows_of_the_package_only_what_a_user_is_told():
    for path in (REPOSITORY / "workflow" / "snakemake_logger_plugin_pixelherd").glob("*.py"):
        assert set(imports(ast.parse(path.read_text()))) <= {"errors"}, f"{path.name}: each job's Snakemake loads it"


def test_ignored_is_spelt_once():
    spelt = [
        name
        for name, tree in MODULES.items()
        for node in tree.body
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "IGNORED" for t in node.targets)
    ]
    assert spelt == ["datasets.classes"]


def test_files_of_workflow_are_thin():
    scripts = (REPOSITORY / "workflow" / "scripts").glob("*.py")
    long = {path.name: lines for path in scripts if (lines := len(path.read_text().splitlines())) > 40}
    assert not long, "a script has at most 40 lines"
    common = (REPOSITORY / "workflow" / "rules" / "common.smk").read_text().splitlines()
    assert len(common) <= 120


def test_folders_go_into_a_storage_before_the_file_that_says_they_are_whole():
    found = {}
    for path in (REPOSITORY / "workflow" / "rules").glob("*.smk"):
        rules = re.findall(r"^rule (\w+):\n(?:.*\n)*?    output:\n((?: {8}.*\n)+)", path.read_text(), re.MULTILINE)
        for rule, outputs in rules:
            if "directory(" in outputs:
                found[rule] = ["directory(" in line for line in outputs.splitlines()]
    assert found == {"backbone": [True, False], "write_figures": [True, False]}, "all others declare a `store`"


def test_the_list_of_offenders_only_shrinks():
    lint = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    offenders = {path: codes for path, codes in lint["per-file-ignores"].items() if "*" not in path}
    assert offenders.keys() <= {"workflow/pixelherd/selection/coverage/herding.py"}, "mend the code instead"
    limits = ["lint.mccabe.max-complexity=10", "lint.pylint.max-args=7"]
    for path, codes in offenders.items():
        options = [option for limit in limits for option in ("--config", limit)]
        command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", ",".join(codes), *options, path]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        assert all(code in done.stdout for code in codes), f"{path} is mended: take it off the list"
