"""What the pages say of the repository is so: links, paths, commands, and the names of parts."""

import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "workflow" / "pixelherd"
PAGES = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += [
    *sorted((REPOSITORY / "docs").glob("*.md")),
    REPOSITORY / "studies/README.md",
    REPOSITORY / "config/README.md",
]

OF_THE_USER = {"my-study.yaml", "my-folder", "path/to"}
"""First parts of paths that a reader replaces by their own."""

OF_A_STUDY = {".snakemake", "results", "cache", "logs", "data", "predictions"}
"""Folders that studies write or read; what lies in them is not the repository's."""

WITH_VALUE = {
    "--sdm",
    "--cores",
    "--default-storage-prefix",
    "--default-storage-provider",
    "--configfile",
    "--config",
    "--resources",
    "--workflow-profile",
    "-s",
    "-d",
}
"""Options of Snakemake, of those that the pages use, that a value follows."""

FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.MULTILINE | re.DOTALL)


def each_page(test: Callable) -> Callable:
    return pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())(test)


@cache
def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text())


def spans(page: Path) -> list[str]:
    """What stands between backticks, outside of fenced blocks; a line may break inside."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]


def commands(page: Path) -> Iterator[list[str]]:
    """The commands that a page gives, in fenced blocks without a language (or in bash) and between backticks."""
    blocks = (found[0].strip().splitlines() for found in FENCE.finditer(page.read_text()))
    lines = [line for block in blocks if block[0] in ("```", "```bash") for line in block[1:-1]]
    for line in [*"\n".join(lines).replace("\\\n", " ").splitlines(), *spans(page)]:
        if line.strip().startswith(("python ", "snakemake ", "pip ")):
            for command in line.split("&&"):
                yield shlex.split(command, comments=True)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def rules() -> set[str]:
    """Names of the workflow's rules."""
    files = [*(REPOSITORY / "workflow").rglob("*.smk"), REPOSITORY / "Snakefile", REPOSITORY / "workflow/Snakefile"]
    text = "\n".join(file.read_text() for file in files if file.is_file())
    return set(re.findall(r"^(?:rule|use rule \w+ as) (\w+)", text, re.MULTILINE))


def is_users(path: str) -> bool:
    return path in OF_THE_USER or path.startswith(tuple(f"{first}/" for first in OF_THE_USER))


def test_the_readme_is_short():
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 150


@each_page
def test_links_and_pictures_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{target}: there is no {there}"
        assert not anchor or anchor in anchors(there), f"{target}: the headings are {sorted(anchors(there))}"


@each_page
def test_paths_exist(page):
    """Paths between backticks: files by their suffix, and whatever begins like a folder of the repository."""
    folders = {path.name for path in REPOSITORY.iterdir() if path.is_dir()} - OF_A_STUDY
    for span in spans(page):
        first, slash, rest = span.partition("/")
        if not slash or not re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", span) or first in OF_A_STUDY or is_users(span):
            continue
        if span.endswith((".py", ".yaml", ".smk", ".md")) or (first in folders and rest):
            places = (REPOSITORY, PACKAGE, page.parent)
            assert any((place / span).exists() for place in places), f"there is no {span}"


@each_page
def test_commands_of_python_exist(page):
    """Scripts exist and know the options; modules exist."""
    for name, *arguments in commands(page):
        if name != "python" or not arguments:
            continue
        if arguments[0] == "-m":
            module = arguments[1].split(".")
            if module[0] == "pixelherd":
                assert PACKAGE.joinpath(*module[1:]).with_suffix(".py").is_file(), f"there is no module {arguments[1]}"
            continue
        script = REPOSITORY / arguments[0]
        assert script.is_file(), f"there is no {arguments[0]}"
        known = set(re.findall(r'"(--[\w-]+)"', script.read_text()))
        asked = {argument for argument in arguments[1:] if argument.startswith("--")}
        assert asked <= known, f"{arguments[0]} does not know {asked - known}"


@each_page
def test_commands_of_pixelherd_exist(page):
    from pixelherd.__main__ import COMMANDS

    asked = {arguments[0] for name, *arguments in commands(page) if name == "pixelherd"}
    assert {each for each in asked if not each.startswith("--")} <= COMMANDS.keys()


@each_page
def test_commands_of_snakemake_exist(page):
    """Targets are rules or files, and study files and profiles are there."""
    for name, *arguments in commands(page):
        if name != "snakemake":
            continue
        values, last = iter(arguments), ""
        for argument in values:
            if argument not in WITH_VALUE:
                other = "/" in argument or (last == "--config" and "=" in argument)  # a file, or one more of its values
                assert argument.startswith("-") or other or argument.removeprefix("pixelherd_") in rules(), (
                    f"no target {argument}"
                )
                last = last if other else argument
                continue
            last, value = argument, next(values)
            if argument in ("--configfile", "--workflow-profile") and not is_users(value):
                assert (REPOSITORY / value).exists(), f"there is no {value}"


def table(page: Path, head: str) -> list[list[str]]:
    """Cells of the table whose first column is called ``head``."""
    lines = page.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {head} |")) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_page_on_studies_lists_every_method():
    from pixelherd.selection.methods import SCORES, SELECTIONS

    listed = [name for row in table(REPOSITORY / "docs/studies.md", "`score`") for name in names(row[0])]
    assert sorted(listed) == sorted({*SCORES, *SELECTIONS})


def test_the_page_on_studies_lists_targets():
    listed = [name for row in table(REPOSITORY / "docs/studies.md", "target") for name in names(row[0])]
    assert len(listed) > 8 and set(listed) <= rules()


def test_the_page_on_studies_lists_every_kind_of_dataset():
    from pixelherd.datasets.prepare import READERS

    listed = [name for row in table(REPOSITORY / "docs/studies.md", "`kind`") for name in names(row[0])]
    assert sorted(listed) == sorted(READERS)


def test_the_page_on_backbones_names_published_networks():
    from pixelherd.features.backbones.diffusion.architecture import PRESETS

    (line,) = re.findall(r"^\*\*Checkpoints\.\*\* (.*)$", prose(REPOSITORY / "docs/backbones.md"), re.MULTILINE)
    assert names(line) == list(PRESETS)


def test_the_page_on_results_names_every_table():
    from pixelherd.results.registry import TABLES

    assert set(TABLES) <= set(spans(REPOSITORY / "docs/reading-results.md"))


def test_the_page_on_architecture_lists_every_room_with_its_modules():
    from pixelherd.datasets.prepare import READERS
    from pixelherd.selection.methods import SELECTIONS

    readers = {module.rpartition(".")[2] for module in READERS.values()}
    rules = {each.module.rpartition(".")[2] for each in SELECTIONS.values() if each.module}
    listed = {
        names(room)[0]: set(names(modules)) for room, _, modules in table(REPOSITORY / "docs/architecture.md", "room")
    }
    found = {
        folder.relative_to(PACKAGE).as_posix(): {path.stem for path in folder.glob("*.py")} - {"__init__"}
        for folder in sorted(path.parent for path in PACKAGE.rglob("__init__.py"))
        if folder != PACKAGE
    }
    assert found.pop("datasets/readers") == readers and listed.pop("datasets/readers") == set()
    assert found["selection/rules"] >= rules and not listed["selection/rules"] & rules
    found["selection/rules"] -= rules
    assert listed == found


def test_the_drawing_of_the_architecture_has_the_floors_of_the_import_rule():
    from unit.test_architecture import FLOORS

    drawing = FENCE.search((REPOSITORY / "docs/architecture.md").read_text())[0].partition("──\n")[2]
    drawn = [tuple(re.findall(r"\S+", re.split(r" {3,}", line.strip())[0])) for line in drawing.splitlines()[:-1]]
    assert drawn == [tuple(sorted(rooms)) for rooms in reversed(FLOORS)]


def test_the_changelog_names_new_modules():
    for row in table(REPOSITORY / "CHANGELOG.md", "old module"):
        for module in names(row[1]):
            path = PACKAGE.joinpath(*module.split(".")[1:])
            assert path.is_dir() or path.with_suffix(".py").is_file(), f"there is no module {module}"
