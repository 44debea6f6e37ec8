"""Whatever happens to a file of cache or results: the results are those of sound files, or a line names the file."""

import os
import random
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import ADDRESS, Workspace

pytestmark = pytest.mark.slow

EXAMPLES = os.environ.get("PIXELHERD_DAMAGES")
"""Damages to each of a finished and a half-finished study; a hundred take most of an hour."""

USUAL = {"finished": 14, "half-finished": 6}
"""Damages where their number is not given: to a half-finished study they take longer."""

LOG = os.environ.get("PIXELHERD_DAMAGES_LOG")
"""A file to which each damage is added, with what came of it: `benchmarks/damages.py` makes a table of it."""

TRIES = 3
HARMS = ("flip", "cut", "empty", "swap", "age", "delete")


@pytest.fixture(scope="session")
def tiny(shared, raw_images, settings) -> tuple[Workspace, Workspace]:
    """A small study when it has finished, and when a round is missing."""
    few = {**settings, "methods": {"edald": None}, "features": {"ddpm": {**settings["features"]["ddpm"]}}}
    few["features"]["ddpm"]["timesteps"] = [50]

    def run(folder: Path) -> None:
        for name in ("whole", "half"):
            (folder / name).mkdir()
            (folder / name / "data").symlink_to(raw_images)
        Workspace(folder / "half", few).snakemake("results/runs/street/ddpm/edald/budget-4/seed-0/round-1/queries.csv")
        Workspace(folder / "whole", few).snakemake()

    folder = shared("damage", run)
    return Workspace(folder / "whole", few), Workspace(folder / "half", few)


def files_of(study: Workspace) -> list[Path]:
    """What pixelherd has written and reads again; costs are told, and read by nobody."""
    skipped = {"costs", "lock", ".snakemake_timestamp"}
    return [path for path in study.files_below("cache", "results") if not {*path.parts} & skipped]


def kinds_of(files: list[Path], folder: Path) -> dict[str, list[Path]]:
    """Files by what they are of: by their paths without numbers, addresses and names that a study gives."""
    kinds: dict[str, list[Path]] = {}
    for path in files:
        kind = ADDRESS.sub("", path.relative_to(folder).with_suffix("").as_posix()) + path.suffix
        for names in (r"\b(street|ddpm|edald|budget-4|seed-0|train|test)\b", r"(?<=tables/)\w+(?=\.[cmt])"):
            kind = re.sub(names, "*", kind)
        kind = re.sub(r"\d+(-\d+)*", "N", re.sub(r"[\w*-]+\.(npy|png|svg)", r"*.\1", kind))
        kinds.setdefault(re.sub(r"(\*/)+", "*/", kind), []).append(path)
    return kinds


def harm(path: Path, others: list[Path], how: str, place: float) -> Path | None:
    """Damage a file; returns the other one that is damaged with it, if any."""
    content = bytearray(path.read_bytes())
    if how == "age":
        os.utime(path, (1e9, 1e9))
    elif how == "delete":
        path.unlink()
    elif how == "empty" or not content:
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(content[: int(place * len(content))])
    elif how == "swap":
        alike = [each for each in others if each.suffix == path.suffix and each.read_bytes() != content]
        if alike:
            other = alike[int(place * len(alike))]
            path.write_bytes(other.read_bytes())
            other.write_bytes(content)
            return other
    else:
        content[int(place * len(content))] ^= 1 << int(place * 997) % 8
        path.write_bytes(content)
    return None


def told(done) -> list[str]:
    return [line for line in (done.stdout + done.stderr).splitlines() if "pixelherd: " in line or "; delete" in line]


def named(lines: list[str], folder: Path) -> set[Path]:
    """The files and folders that lines say to delete: those they name, if they say so."""
    paths = set()
    for line in lines:
        if "delete" in line:
            words = re.findall(r"(?:cache|results)/[^\s;,()]+", line)
            behind = re.findall(r"delete ((?:cache|results)/[^\s;,()]+)", line)
            paths |= {folder / each for each in behind or words}
    return {path for path in paths if path.exists()}


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@pytest.mark.parametrize("state", USUAL)
def test_no_damage_is_silent(tiny, tmp_path_factory, state):
    examples = int(EXAMPLES or USUAL[state])

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(st.integers(0, 2**16))
    def damage(seed):
        check_a_damage(tiny, tmp_path_factory, state, seed)

    damage()


def check_a_damage(tiny, tmp_path_factory, state, seed):
    generator = random.Random(seed)  # as even as what hypothesis draws is not
    which, how, place = generator.random(), generator.choice(HARMS), generator.random()
    whole, half = tiny
    expected, base, target = whole.results(), whole, []
    if state == "half-finished":  # tables and figures of what is finished are those of the other state
        expected = {name: content for name, content in expected.items() if name.startswith("runs/")}
        base, target = half, ["runs"]
    study = base.copy(tmp_path_factory.mktemp("damaged") / "study")
    files = files_of(study)
    kinds = kinds_of(files, study.folder)
    kind = sorted(kinds)[int(which * len(kinds))]
    path, said = kinds[kind][int(place * len(kinds[kind]))], False
    harmed = {path, harm(path, files, how, place)} - {None}
    what = f"{how} {path.relative_to(study.folder)}"
    for _ in range(TRIES):
        done = study.snakemake(*target, check=False)
        lines = told(done)
        assert "Traceback" not in done.stdout + done.stderr, f"{what}: a traceback"
        if state == "finished" and done.returncode == 0:
            lines += told(study.snakemake("verify", check=False))  # which also looks at what nobody reads again
        said |= bool(lines)
        for each in (wrong := named(lines, study.folder)):
            remove(each)
        if not wrong:
            assert done.returncode == 0, f"{what}: {lines}"
            break
    found = study.results()
    spared = {each.relative_to(study.folder / "results").as_posix() for each in harmed if "results" in each.parts}
    unlike = {name for name in expected if found.get(name) != expected[name]}
    gone = {name for name in unlike & spared if name not in found}  # may be deleted at any time
    if LOG:
        outcome = "told" if said else "silent" if unlike - gone else "same"
        with open(LOG, "a") as log:
            log.write(f"{state},{kind},{how},{outcome}\n")
    assert unlike - gone == set(), f"{what}: {sorted(unlike)[:5]} differ, and {lines or 'no word'}"
    shutil.rmtree(study.folder)
