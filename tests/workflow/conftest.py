"""A tiny study on real components, run through Snakemake: a user's folder of images, a U-Net, Zarr stores."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from PIL import Image

from pixelherd.datasets.readers.demo import CLASSES, scene

REPOSITORY = Path(__file__).parents[2]
SIZE = (32, 32)
ADDRESS = re.compile(r"-[0-9a-f]{12}(?=/|$)")


class Workspace:
    """A folder in which a study runs; ``ran`` tells which jobs a call of Snakemake executed."""

    def __init__(self, folder: Path, settings: dict, repository: Path = REPOSITORY):
        self.folder, self.settings, self.repository = folder, settings, repository

    @property
    def results_folder(self) -> Path:
        return self.folder / self.settings.get("results", "results")

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        done = subprocess.run(**self.call(*arguments), capture_output=True, text=True)
        if check:
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return done

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start a Snakemake, for tests that do something to it; its output goes to ``output.txt``."""
        with open(self.folder / "output.txt", "w") as output:
            return subprocess.Popen(**self.call(*arguments), stdout=output, stderr=subprocess.STDOUT)

    def call(self, *arguments: str) -> dict:
        """How to start a Snakemake: what :mod:`subprocess` wants to know."""
        (self.folder / "study.yaml").write_text(yaml.safe_dump(self.settings, sort_keys=False))
        if "--workflow-profile" in arguments:
            command = [sys.executable, str(REPOSITORY / "tests" / "slurm" / "impatient.py"), *arguments]
        else:
            command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2"]
        command += ["--directory", str(self.folder), "--configfile", str(self.folder / "study.yaml")]
        environment = os.environ | {"PYTHONPATH": str(self.repository / "workflow")}
        return {"args": command, "cwd": self.repository, "env": environment}

    def ran(self, *arguments: str) -> set[str]:
        """Run, and return the jobs that ran, as ``rule/…`` with their wildcards, shards without their addresses."""
        costs = self.results_folder / "costs" / "jobs"
        before = {path: path.stat().st_mtime_ns for path in costs.rglob("*.json")}
        self.snakemake(*arguments)
        after = {path: path.stat().st_mtime_ns for path in costs.rglob("*.json")}
        changed = [path for path in after if after[path] != before.get(path)]
        return {ADDRESS.sub("", path.relative_to(costs).with_suffix("").as_posix()) for path in changed}

    def results(self) -> dict[str, bytes]:
        """Every result by its path, but for costs and the study's record, which hold times."""
        root = self.results_folder
        files = (path for path in root.rglob("*") if path.is_file())
        found = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
        return {
            name: content for name, content in found.items() if name != "run.json" and not name.startswith("costs/")
        }

    def files_below(self, *names: str) -> list[Path]:
        """All files of these folders of the workspace, sorted."""
        found = (path for name in names for path in (self.folder / name).rglob("*"))
        return sorted(path for path in found if path.is_file())

    def copy(self, folder: Path) -> "Workspace":
        """The same state elsewhere, file times kept."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Workspace(folder, {**self.settings}, self.repository)

    def empty(self, folder: Path, **change) -> "Workspace":
        """The same study before its first run, some settings changed, with the data there is."""
        folder.mkdir(exist_ok=True)
        (folder / "data").symlink_to((self.folder / "data").readlink())
        return Workspace(folder, {**self.settings, **change}, self.repository)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has one worker of pytest-xdist make the shared study first, while others run tests that do without it."""
    users = [item for item in items if "finished" in getattr(item, "fixturenames", ())]
    if users:
        items.remove(users[0])
        items.insert(0, users[0])


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """``shared(name, make)`` is a folder that ``make`` fills once for all workers of pytest-xdist; only read it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def shared(name: str, make: Callable[[Path], None]) -> Path:
        folder, whole = root / name, root / f"{name}.whole"
        with FileLock(root / f"{name}.lock"):
            if not whole.exists():
                if folder.exists():
                    pytest.fail(f"another worker could not make {folder}")
                folder.mkdir()
                make(folder)
                whole.touch()
        return folder

    return shared


@pytest.fixture(scope="session")
def raw_images(shared) -> Path:
    """Six training and four test images with masks, as a user would have them, and a backbone."""
    return shared("raw", make_raw)


def make_raw(root: Path) -> None:
    (root / "backbone").symlink_to(REPOSITORY / "backbones" / "demo")
    for split, indices in (("train", range(6)), ("test", range(1_000_000, 1_000_004))):
        for part in ("images", "masks"):
            (root / split / part).mkdir(parents=True)
        for index in indices:
            image, labels = scene(0, index, SIZE)
            Image.fromarray(image).save(root / split / "images" / f"street {index}.png")
            Image.fromarray(labels).save(root / split / "masks" / f"street {index}.png")


@pytest.fixture(scope="session")
def settings() -> dict:
    """The tiny study; its data and its backbone lie in ``data`` of the workspace."""
    return {
        "datasets": {
            "street": {
                "kind": "folder",
                "root": "data",
                "size": list(SIZE),
                "train_images": "train/images",
                "train_masks": "train/masks",
                "test_images": "test/images",
                "test_masks": "test/masks",
                "classes": [{"name": name, "colour": list(colour)} for name, colour in CLASSES],
            }
        },
        "features": {
            "ddpm": {
                "backbone": "data/backbone",
                "timesteps": [50, 150],
                "blocks": [1, 3],
                "draws": 2,
                "context": 40,
            }
        },
        "candidates": {"pixels": 100, "listed": 5, "reserve": 5},
        "methods": {"edald": None, "random": None},
        "budgets": [4],
        "seeds": [0],
        "rounds": 2,
        "pictures": 1,
        "images_per_job": 4,
    }


@pytest.fixture(scope="session")
def finished(shared, raw_images, settings) -> Workspace:
    """The tiny study after its first run. Copy it before changing anything."""

    def run(folder: Path) -> None:
        (folder / "data").symlink_to(raw_images)
        Workspace(folder, settings).snakemake()

    return Workspace(shared("finished", run), settings)
