"""The tiny study without a shared file system: jobs see neither each other's files nor those of Snakemake."""

import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from conftest import REPOSITORY, Workspace

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("storage")]

ELSEWHERE = Path(__file__).parent / "elsewhere"
RUN = "street/ddpm/random/budget-4/seed-0"


def there_is(plugin: str) -> bool:
    return importlib.util.find_spec(f"snakemake_storage_plugin_{plugin}") is not None


@pytest.fixture(scope="module", autouse=True)
def hidden() -> None:
    """Skip where a process cannot be given a view of the file system of its own."""
    seen = subprocess.run(["unshare", "--mount", "--map-root-user", "true"]) if shutil.which("unshare") else None
    if seen is None or seen.returncode:
        pytest.skip("`unshare` cannot hide a folder from a process here")


class Cloud(Workspace):
    """A clone of the repository in which a study runs whose results and cache lie in a storage."""

    def __init__(self, folder: Path, data: Path, settings: dict, storage: tuple[str, ...], environment: dict):
        super().__init__(folder, settings | {"images_per_job": 6})  # fewer jobs, the same results
        self.storage, self.environment = storage, environment
        folder.mkdir()
        listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        for name in listed.stdout.splitlines():
            if not name.startswith(("tests/", "docs/", "benchmarks/")):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, folder / name)
        for command in (["init", "-q"], ["add", "."]):  # Snakemake sends its jobs what git knows
            subprocess.run(["git", *command], cwd=folder, check=True)
        (folder / "data").symlink_to(data)

    def call(self, *arguments: str) -> dict:
        found = super().call(*arguments)
        command = [sys.executable, "-m", "snakemake", *arguments, "--executor", "elsewhere", "--jobs", "2"]
        command += ["--seconds-between-status-checks", "1", "--configfile", "study.yaml", *self.storage]
        search = os.pathsep.join(map(str, (REPOSITORY / "workflow", ELSEWHERE)))
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        environment = os.environ | {"PYTHONPATH": search, "PATH": path} | self.environment
        return {**found, "args": command, "cwd": self.folder, "env": environment}


@pytest.fixture
def on_files(finished, raw_images, tmp_path) -> Cloud:
    """The tiny study with a folder as its storage, which jobs reach through Snakemake alone."""
    if not there_is("fs") or shutil.which("rsync") is None:
        pytest.skip("snakemake-storage-plugin-fs or rsync is missing: pip install -e '.[storage]'")
    (tmp_path / "remote").mkdir()
    storage = ("--default-storage-provider", "fs", "--default-storage-prefix", str(tmp_path / "remote"))
    return Cloud(tmp_path / "clone", raw_images, finished.settings, storage, {})


def stored(root: Path) -> dict[str, bytes]:
    """The results below a folder, as :meth:`Workspace.results` has them."""
    return Workspace(root, {}).results()


def untimed(results: dict[str, bytes]) -> dict[str, bytes]:
    """Results without the empty files by which Snakemake gives folders a time."""
    return {name: content for name, content in results.items() if not name.endswith(".snakemake_timestamp")}


def seals(root: Path) -> list[int]:
    return sorted(path.stat().st_mtime_ns for path in root.rglob("seed-*/run.json"))


def test_a_study_in_a_folder_that_jobs_do_not_see_gives_the_results_of_a_local_run(on_files, finished, tmp_path):
    done = on_files.snakemake()
    remote = tmp_path / "remote"
    assert untimed(stored(remote)) == untimed(finished.results())
    assert "After the last round" in done.stdout
    assert not (on_files.folder / "results" / "runs").exists(), "nothing was written but into the storage"

    assert "Nothing to be done" in said(on_files.snakemake()), "a finished study plans nothing"
    before = seals(remote)
    shutil.rmtree(remote / "cache")
    shutil.rmtree(on_files.folder / ".snakemake")
    (on_files.folder / "data").unlink()
    assert "Nothing to be done" in said(on_files.snakemake()), "from another machine, without cache and raw data"
    assert seals(remote) == before


def test_changed_settings_make_the_runs_in_the_storage_again(on_files, finished, tmp_path):
    remote = tmp_path / "remote"
    shutil.copytree(finished.folder / "results", remote / "results", copy_function=shutil.copy)
    assert "Nothing to be done" in said(on_files.snakemake("runs")), "results that were copied there are finished"
    on_files.settings["head"] = {"kind": "linear", "l2": 0.5}
    seen = on_files.snakemake("-n", "runs").stdout
    assert re.search(r"^evaluate +2$", seen, re.MULTILINE), seen
    assert not list(remote.glob(".snakemake/pixelherd/outdated/**/*.json")), "a dry run takes its marks back"
    assert len(seals(remote)) == 2
    on_files.snakemake("runs")
    there = finished.empty(tmp_path / "local", head=on_files.settings["head"])
    there.snakemake("runs")
    made, expected = runs(remote), runs(there.folder)
    for name in [name for name in made if name.endswith("begun.json")]:
        # who seals a run cannot note in the storage what it is made of: there the seal alone says it
        assert b'"several"' in made.pop(name) and expected.pop(name)
    assert made == expected
    assert runs(remote) != runs(finished.folder)
    assert "Nothing to be done" in said(on_files.snakemake("runs"))


def said(done: subprocess.CompletedProcess) -> str:
    return done.stdout + done.stderr


def runs(root: Path) -> dict[str, bytes]:
    return {name: content for name, content in untimed(stored(root)).items() if name.startswith("runs/")}


@pytest.fixture
def bucket():
    """A server of objects on this machine, which counts requests: its address, and a function that gives the counts."""
    if not there_is("s3") or importlib.util.find_spec("moto") is None:
        pytest.skip("snakemake-storage-plugin-s3 or moto is missing: pip install -e '.[storage,storage-test]'")
    from collections import Counter

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would print every request
    counted: Counter = Counter()
    served = DomainDispatcherApplication(create_backend_app)

    def counting(environment, respond):
        listing = environment["REQUEST_METHOD"] == "GET" and "list-type" in environment.get("QUERY_STRING", "")
        listing |= environment["REQUEST_METHOD"] == "GET" and "prefix=" in environment.get("QUERY_STRING", "")
        counted["LIST" if listing else environment["REQUEST_METHOD"]] += 1
        return served(environment, respond)

    server = make_server("127.0.0.1", 0, counting, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}", counted
    server.shutdown()


def test_a_study_in_an_object_store_gives_the_results_of_a_local_run(finished, tmp_path, bucket, capsys):
    address, counted = bucket
    study = finished.empty(tmp_path / "work", images_per_job=6)
    options = ("--default-storage-provider", "s3", "--default-storage-prefix", "s3://bucket/study")
    options += (
        "--storage-s3-endpoint-url",
        address,
        "--storage-s3-access-key",
        "one",
        "--storage-s3-secret-key",
        "two",
    )
    study.snakemake(*options)
    first = dict(counted)

    import boto3

    keys = {"aws_access_key_id": "one", "aws_secret_access_key": "two", "region_name": "us-east-1"}
    stored = boto3.resource("s3", endpoint_url=address, **keys).Bucket("bucket")
    results = {each.key.removeprefix("study/results/"): each for each in stored.objects.filter(Prefix="study/results/")}
    made = {name: each for name, each in results.items() if name != "run.json" and not name.startswith("costs/")}
    found = {name: each.get()["Body"].read() for name, each in made.items()}
    assert untimed(found) == untimed(finished.results())
    counted.clear()
    assert "Nothing to be done" in said(study.snakemake(*options)), "a finished study plans nothing"
    with capsys.disabled():
        objects = sum(1 for _ in stored.objects.all())
        print(f"\n{objects} objects; requests of the run: {first}, of a second call: {dict(counted)}")
