"""What a stage's results depend on besides data and settings: its script, and the modules that the script needs.

The machine finds them: it reads the imports of the script, of the modules that those name, and so on, wherever they
stand. With a module count the packages around it, which Python runs before. A module that is named in a text, as
readers of datasets are, counts too, and so do files of data that a module names, or whose folder it names, beside it.
Snakemake's own trigger for changed code goes by file times, which copies do not keep, and does not know modules.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from pixelherd.study.addresses import STAGES

PACKAGE = Path(__file__).parents[1]

RUN_STAGES = (
    *STAGES,
    "pool",
    "rank",
    "score",
    "vectors",
    "train",
    "fit",
    "test_pass",
    "evaluate",
)
"""Scripts that the results of a run depend on; what a person sees, and tables of finished runs, are not among them."""

EXEMPT: Mapping[str, str] = {
    "pixelherd": "names that are exported, and the version",
    "pixelherd.errors": "what a mistake is called",
    "pixelherd.settings": "checks settings, which jobs and seals hold by value",
    "pixelherd.datasets.originals": "which raw files there are; addresses hold their digests and order",
    "pixelherd.pipeline.job": "the frame of a job: threads, log and costs",
    "pixelherd.pipeline.accounts.costs": "what a job cost",
    "pixelherd.compute.gpus": "which GPU a job takes",
    "pixelherd.pipeline.seals": "that a run is finished",
    "pixelherd.compute.devices": "where a job computes",
    "pixelherd.compute.memory": "how freed memory is kept",
    "pixelherd.study.run": "how runs are named",
    "pixelherd.study.paths": "where files lie",
}
"""Modules that no result depends on, and what they do instead; what they import counts only where others import it."""


def closure(script: Path, package: Path = PACKAGE) -> list[str]:
    """Return the modules that a script's results depend on, by dotted names in order.

    Args:
        script: a Python file.
        package: the folder of the package.
    """
    found: set[str] = set()
    waiting = list(_named(script, package))
    while waiting:
        module = waiting.pop()
        if module in found or module in EXEMPT:
            continue
        found.add(module)
        waiting += [module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)]
        waiting += _named(_file(module, package), package)
    return sorted(found)


def hash_of_script(script: Path, package: Path = PACKAGE) -> str:
    """Return the SHA-256 of a script and of its :func:`closure`."""
    return hash_of_scripts([script], package)


def hash_of_scripts(scripts: Iterable[Path], package: Path = PACKAGE) -> str:
    """Return the SHA-256 of scripts and of all that they need; the order of scripts is no matter."""
    digest, modules = hashlib.sha256(), set()
    for script in sorted(scripts, key=lambda path: path.name):
        digest.update(script.name.encode() + b"\0" + script.read_bytes())
        modules.update(closure(script, package))
    for module in sorted(modules):
        file = _file(module, package)
        for path in (file, *_data(file)):
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_bytes())


def _named(file: Path, package: Path) -> Iterator[str]:
    """Modules of the package that a file imports or names, those for type checkers left out."""
    for node in _running(_tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _exists(alias.name, package))
        elif isinstance(node, ast.ImportFrom) and node.module and _exists(node.module, package):
            yield node.module
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name for name in names if _exists(name, package))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _exists(node.value, package):
            yield node.value


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes below ``node`` that are not for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from (node for other in child.orelse for node in (other, *_running(other)))
            continue
        yield child
        yield from _running(child)


def _exists(name: str, package: Path) -> bool:
    first, *rest = name.split(".")
    if first != package.name or not all(part.isidentifier() for part in rest):
        return False
    return _file(name, package).is_file()


def _file(module: str, package: Path) -> Path:
    """The file of a module, or of a package's own content."""
    path = package.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _data(file: Path) -> list[Path]:
    """Files beside a module, or in a folder there, that it names, which are no code."""
    named = {node.value for node in ast.walk(_tree(file)) if isinstance(node, ast.Constant)}
    beside = [path for path in sorted(file.parent.iterdir()) if path.name in named]
    found = [each for path in beside for each in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    return [path for path in found if path.is_file() and path.suffix not in (".py", ".pyc")]
