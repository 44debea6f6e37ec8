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
from typing import NamedTuple

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
    "pixelherd.pipeline.accounts.machine": "which machine a job ran on, for seals and costs to tell",
    "pixelherd.storage.download": "how files come; what came is told by its digest",
    "pixelherd.features.backbones.sources.hub": "how models come; what came is told by its digests",
    "pixelherd.compute.forkserver": "which process runs a job",
    "pixelherd.compute.forked": "which process runs a job",
    "pixelherd.compute.gpus": "which GPU a job takes",
    "pixelherd.pipeline.seals": "that a run is finished",
    "pixelherd.compute.devices": "where a job computes",
    "pixelherd.compute.memory": "how freed memory is kept",
    "pixelherd.storage.shipped": "where files lie",
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
    waiting = list(_read(script, package).named)
    while waiting:
        module = waiting.pop()
        if module in found or module in EXEMPT:
            continue
        found.add(module)
        waiting += [module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)]
        waiting += _read(_file(module, package), package).named
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
        for path in (file, *_data(file, package)):
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class _Module(NamedTuple):
    named: tuple[str, ...]
    """Modules of the package that it imports or names, those for type checkers left out."""
    texts: frozenset[str]
    """All texts in it."""


@cache  # a call asks for the closures of two dozen scripts, which share most modules
def _read(file: Path, package: Path) -> _Module:
    tree = ast.parse(file.read_bytes())
    named = dict.fromkeys(name for node in _running(tree) for name in _mentioned(node) if _exists(name, package))
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return _Module(tuple(named), frozenset(texts))


def _mentioned(node: ast.AST) -> Iterable[str]:
    """Dotted names that may be modules."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a tree that are not for type checkers alone."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            waiting += node.orelse
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def _exists(name: str, package: Path) -> bool:
    first, *rest = name.split(".")
    if first != package.name or not all(part.isidentifier() for part in rest):
        return False
    return _file(name, package).is_file()


def _file(module: str, package: Path) -> Path:
    """The file of a module, or of a package's own content."""
    path = package.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _data(file: Path, package: Path) -> list[Path]:
    """Files beside a module, or in a folder there, that it names, which are no code."""
    texts = _read(file, package).texts
    beside = [path for path in sorted(file.parent.iterdir()) if path.name in texts]
    found = [each for path in beside for each in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    compiled = "__pycache__"  # Python's and numba's
    return [path for path in found if path.is_file() and path.suffix != ".py" and compiled not in path.parts]
