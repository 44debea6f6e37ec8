"""Whatever is killed, full or broken: the results are those of an undisturbed study."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
from kill_soak import job_starts, soak

from pixelherd.storage.stores import read_manifest

pytestmark = pytest.mark.slow

EDALD = "street/ddpm/edald/budget-4/seed-0"
RANDOM = "street/ddpm/random/budget-4/seed-0"
AGAIN = "what is finished is kept; mend what is wrong, then give the same command again: "


def started_jobs(process: subprocess.Popen, *scripts: str) -> Iterator[tuple[str, psutil.Process]]:
    """The jobs of these scripts that a running Snakemake starts, as they come, until it ends."""
    seen = set()
    while process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                script = child.cmdline()[-1].split(".")[-2]
            except (psutil.Error, IndexError):
                continue
            if script in scripts and child.pid not in seen:
                seen.add(child.pid)
                yield script, child
        time.sleep(0.05)


def test_killed_jobs_of_any_stage_and_a_killed_snakemake(finished, tmp_path):
    study = finished.empty(tmp_path)
    # perturb and gather do not wait for each other, so they are killed in one Snakemake
    for stages in (["extract"], ["herd"], ["perturb", "gather"], ["fit"], ["evaluate"]):
        process = study.start()
        killed = set()
        # All of them: Snakemake goes on with whatever does not need a job that failed.
        for script, job in started_jobs(process, *stages):
            job.kill()
            killed.add(script)
        assert process.returncode == 1 and killed == set(stages)
        output = (tmp_path / "output.txt").read_text()
        assert AGAIN in output and f"snakemake --cores 2 --directory {tmp_path}" in output, stages
        if stages in (["herd"], ["fit"]):
            process = study.start()
            _, orphan = next(started_jobs(process, *stages))
            process.kill()
            process.wait()
            assert orphan.is_running(), "a killed Snakemake leaves its jobs running"
    study.snakemake()
    assert study.results() == finished.results()


def test_the_same_command_takes_up_after_a_killed_snakemake_and_refuses_a_second(finished, tmp_path):
    study = finished.copy(tmp_path / "copy")
    before = study.results()
    (study.folder / "results" / "runs" / EDALD / "run.json").unlink()
    process = study.start()
    _, job = next(started_jobs(process, "evaluate"))
    job.suspend()  # else it may end before the second Snakemake has looked
    second = study.snakemake(check=False)
    assert second.returncode == 1 and "another Snakemake works in this folder" in second.stderr
    process.kill()
    process.wait()
    job.resume()
    after = study.snakemake()
    assert "the last Snakemake in this folder was killed" in after.stderr
    assert study.results() == before


def test_a_full_disk_in_extract(finished, tmp_path):
    study = finished.empty(tmp_path, methods={"random": None})
    (tmp_path / "cache").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path / "cache")]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk is mounted for this test, which takes root")
    try:
        full = study.snakemake(check=False)
        assert full.returncode == 1 and AGAIN in full.stdout + full.stderr
        assert "pixelherd: the disk is full; free space, or move `cache` in the study" in full.stderr
        whole = [manifest.parent for manifest in (tmp_path / "cache" / "features").rglob("manifest.json")]
        assert len(whole) < 3 and all(read_manifest(shard) for shard in whole), "half a store is not taken for done"
        subprocess.run(["mount", "-o", "remount,size=500m", str(tmp_path / "cache")], check=True)
        study.snakemake()
    finally:
        subprocess.run(["umount", str(tmp_path / "cache")], check=True)
    expected = {name: content for name, content in finished.results().items() if name.startswith(f"runs/{RANDOM}/")}
    assert {name: content for name, content in study.results().items() if name.startswith("runs/")} == expected


def test_a_truncated_chunk_and_a_truncated_head(finished, tmp_path):
    study = finished.copy(tmp_path / "copy")
    before = study.results()
    run = study.folder / "results" / "runs" / RANDOM
    (shard,) = (study.folder / "cache" / "features" / "street" / "ddpm" / "test").glob("00000-00003-*")
    chunk = max((path for path in shard.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    chunk.write_bytes(chunk.read_bytes()[:-1])
    (run / "run.json").unlink()
    broken = study.snakemake(check=False)
    place = chunk.relative_to(study.folder)
    assert broken.returncode == 1 and f"{place} is missing or truncated; delete" in broken.stderr
    shutil.rmtree(shard)
    assert study.ran() == {
        "extract/street/ddpm/test-00000-00003",
        "index_features/street/ddpm/test",
        f"evaluate/{RANDOM}",
    }
    assert study.results() == before

    head = run / "round-1" / "head.safetensors"
    head.write_bytes(head.read_bytes()[:-1])
    (run / "run.json").unlink()
    broken = study.snakemake(check=False)
    assert broken.returncode == 1 and "Traceback" not in broken.stderr
    assert f"{RANDOM}/round-1/head.safetensors" in broken.stderr and "delete" in broken.stderr
    head.unlink()
    assert study.ran() == {f"fit/{RANDOM}/round-1", f"evaluate/{RANDOM}"}
    assert study.results() == before


def test_a_study_that_is_killed_again_and_again(finished, tmp_path):
    study = finished.empty(tmp_path)
    study.call()  # writes the study
    found = soak(tmp_path, 8, (1, 4), random.Random(0))
    assert found["kills"] >= 5
    assert found["starts"] <= job_starts(finished.folder) + 3 * found["kills"]
    assert study.results() == finished.results()
