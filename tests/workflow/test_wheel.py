"""A wheel carries the workflow: the command runs it from any folder."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml

from conftest import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Programs of an environment with the wheel, and with what it depends on from the environment of the tests."""
    root = tmp_path_factory.mktemp("wheel")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if (REPOSITORY / name).exists():
            (root / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (root / "source" / name).write_bytes((REPOSITORY / name).read_bytes())
    flags = ["--no-deps", "--no-build-isolation", "--quiet"]
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", *flags, "--wheel-dir", root, root / "source"], check=True, env=os.environ)
    environment = venv.EnvBuilder(symlinks=True)
    environment.create(root / "venv")
    programs = root / "venv" / "bin"
    (place,) = (root / "venv" / "lib").glob("python*/site-packages")
    (wheel,) = root.glob("*.whl")
    subprocess.run([*pip, "--python", programs / "python", "install", *flags, wheel], check=True)
    # the packages beside those of the wheel; a repository that is installed there for the tests is not among them
    (place / "others.pth").write_text(f"import sys; sys.path.append({sysconfig.get_path('purelib')!r})\n")
    return programs


def call(program: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run([program, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def test_the_demo_is_planned_examined_and_listed_in_any_folder(installed, tmp_path):
    asked = "import pixelherd.storage.shipped as place; print(place.SHIPPED)"
    shipped = Path(call(installed / "python", "-c", asked, folder=tmp_path).stdout.strip())
    assert shipped.is_relative_to(installed.parent) and (shipped / "config.schema.json").is_file()
    plan = call(installed / "pixelherd", "plan", folder=tmp_path)
    assert plan.returncode == 0 and "demo: 80 train, 40 test images" in plan.stdout, plan.stderr
    assert "Job stats" not in plan.stderr, "the console comes with the wheel"
    doctor = call(installed / "pixelherd", "doctor", folder=tmp_path)
    assert doctor.returncode == 0 and "wrong" not in doctor.stdout, doctor.stdout + doctor.stderr
    listed = call(installed / "pixelherd", "run", "-n", folder=tmp_path)
    assert listed.returncode == 0 and "write_report" in listed.stdout


def test_studies_of_the_package_are_found_and_mistakes_told(installed, tmp_path):
    done = call(installed / "pixelherd", "plan", "--configfile", "studies/camvid.yaml", folder=tmp_path)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("pixelherd: ")
    assert "data" in done.stderr.splitlines()[-1]


def test_a_small_demo_runs(installed, tmp_path):
    study = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    study["datasets"]["demo"] |= {"train": 6, "test": 4, "size": [32, 32]}
    study |= {"methods": {"random": None}, "seeds": [0], "rounds": 1, "budgets": [4], "pictures": 1}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(study))
    done = call(installed / "pixelherd", "run", "--cores", "2", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "report.html").is_file()
    assert (tmp_path / "results" / "tables" / "final.md").read_text() in done.stdout
    assert call(installed / "pixelherd", "verify", folder=tmp_path).returncode == 0
