"""The recipes of CONTRIBUTING.md as steps that a test can follow.

A recipe is a heading below "Recipes"; each fenced block below it is a step, and its first line says of which file::

    ```diff                 lines of a file that exist, with those that go (-) and come (+); a block may change several
    @@ PATH                 places, each behind a line of its own like this one
     a line that is there
    +a line that is new
    ```

    ```python               the whole of a new file (yaml and the like, too)
    # PATH
    ...
    ```

    ```bash                 commands that are run at the root of the repository; they name no file
    ...
    ```
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+)$")


@dataclass(frozen=True)
class Step:
    """One change: a new file, a place in a file, or commands.

    Attributes:
        language: of its block; ``diff`` is a change of a place, ``bash`` are commands.
        lines: of the block, without the one that names the file.
        file: what it makes or changes, if anything.
    """

    language: str
    lines: tuple[str, ...]
    file: str = ""

    @property
    def new_lines(self) -> int:
        """Lines of code that the step adds to the package, without blank ones."""
        if not (self.file.startswith("workflow/") and self.file.endswith(".py")):
            return 0
        return sum(bool(line.strip()) for line in self.added)

    @property
    def added(self) -> list[str]:
        """Lines that the step adds."""
        return [line[1:] for line in self.lines if line[:1] == "+"] if self.language == "diff" else list(self.lines)

    @property
    def tests(self) -> list[str]:
        """Names of the tests that the step adds."""
        return [found[1] for line in self.added if (found := re.match(r"def (test_\w+)\(", line))]

    @property
    def before(self) -> list[str]:
        """Lines that stand where a place is changed."""
        return [line[1:] for line in self.lines if line[:1] != "+"]

    @property
    def after(self) -> list[str]:
        """Lines that stand there afterwards."""
        return [line[1:] for line in self.lines if line[:1] != "-"]

    def places(self, repository: Path) -> list[int]:
        """Where the file has the lines that stand there before, counted from 0."""
        lines, count = (repository / self.file).read_text().splitlines(), len(self.before)
        return [start for start in range(len(lines)) if lines[start : start + count] == self.before]

    def follow(self, repository: Path) -> None:
        """Do what the step says, in a copy of the repository."""
        path = repository / self.file
        if self.language == "bash":
            subprocess.run(
                ["bash", "-euc", "\n".join(self.lines)], cwd=repository, env=environment(repository), check=True
            )
        elif self.language == "diff":
            (place,) = self.places(repository)
            lines = path.read_text().splitlines()
            lines[place : place + len(self.before)] = self.after
            path.write_text("\n".join(lines) + "\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(self.lines) + "\n")


def environment(repository: Path) -> dict[str, str]:
    """Where commands find this Python, and the package of a copy."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PYTHONPATH": str(repository / "workflow"), "PATH": path}


def read(page: Path) -> dict[str, list[Step]]:
    """The steps of every recipe, by its heading."""
    recipes: dict[str, list[Step]] = {}
    _, _, below = page.read_text().partition("\n## Recipes\n")
    heading, lines = "", iter(re.split(r"^## ", below, flags=re.MULTILINE)[0].splitlines())
    for line in lines:
        if line.startswith("### "):
            heading = line.removeprefix("### ")
        if found := FENCE.match(line):
            block = []
            for inside in lines:
                if inside.strip() == "```":
                    break
                block.append(inside.removeprefix(found["indent"]))
            recipes.setdefault(heading, []).extend(steps(found["language"], block))
    return recipes


def steps(language: str, block: list[str]) -> list[Step]:
    """The steps of one block."""
    if language == "bash":
        return [Step(language, tuple(block))]
    if language != "diff":
        return [Step(language, tuple(block[1:]), block[0].removeprefix("# "))]
    starts = [number for number, line in enumerate(block) if line.startswith("@@ ")]
    return [
        Step(language, tuple(line or " " for line in block[start + 1 : end]), block[start].removeprefix("@@ "))
        for start, end in zip(starts, [*starts[1:], len(block)], strict=True)
    ]
