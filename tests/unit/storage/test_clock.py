"""Files whose time lies in the future are named, with what to do."""

import os
import re
import subprocess
import time

import pytest

from pixelherd.storage.clock import of_the_future


@pytest.fixture
def folders(tmp_path):
    for name in ("results/runs/a.csv", "results/.hidden", "cache/deep/er/manifest.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path / "results", tmp_path / "cache"


def test_files_of_the_past_are_fine(folders, tmp_path):
    assert of_the_future(*folders) is None and of_the_future(tmp_path / "absent") is None
    os.utime(folders[0] / "runs" / "a.csv", (time.time() + 20,) * 2)
    assert of_the_future(*folders) is None, "clocks differ by seconds"
    os.utime(folders[0] / ".hidden", (time.time() + 9999,) * 2)
    assert of_the_future(*folders) is None


@pytest.mark.parametrize(
    ("seconds", "span"), [(100, "100 seconds"), (3000, "50 minutes"), (2 * 86400 + 60, "2 days"), (2e9, "23148 days")]
)
@pytest.mark.parametrize("name", ["results/runs/a.csv", "cache/deep/er/manifest.json"])
@pytest.mark.hostile("settings and paths")
def test_a_file_of_the_future_is_named_and_the_remedy_works(folders, tmp_path, name, seconds, span):
    os.utime(tmp_path / name, (time.time() + seconds + 0.4,) * 2)
    line = of_the_future(*folders)
    assert line and f"{tmp_path / name} has a time {span} in the future" in line and "\n" not in line
    subprocess.run(re.search("`(.*)`", line)[1], shell=True, check=True)
    assert of_the_future(*folders) is None
