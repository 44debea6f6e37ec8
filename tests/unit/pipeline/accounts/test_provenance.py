"""The record of how a study's results were made."""

import subprocess

import pytest

from pixelherd import __version__
from pixelherd.pipeline.accounts import provenance
from pixelherd.storage.files import write_json
from pixelherd.study.study import Study


@pytest.fixture
def study(settings):
    return Study.read(settings)


def test_a_record_adds_up_what_the_jobs_noted(study, tmp_path):
    for name, more in {
        "a": {"started": "2030-01-01T10:00:00+00:00", "ended": "2030-01-01T10:00:05+00:00", "device": "GPU A"},
        "b": {"started": "2030-01-01T09:00:00+00:00", "ended": "2030-01-01T11:00:00+00:00", "device": "CPU"},
        "c": {},  # noted by an older version
    }.items():
        write_json(tmp_path / f"{name}.json", {"stage": name, "seconds": 5, "forwards": 3, **more})
    made = provenance.record(study, tmp_path, tmp_path, "f" * 64)
    assert made["pixelherd"] == __version__ and made["source_sha256"] == "f" * 64
    assert (made["started"], made["ended"]) == ("2030-01-01T09:00:00+00:00", "2030-01-01T11:00:00+00:00")
    assert made["devices"] == ["CPU", "GPU A"]
    assert (made["jobs"], made["seconds"], made["forwards"]) == (3, 15, 9)
    assert made["packages"]["torch"] and made["git"] is None
    other = Study.read(study.content() | {"rounds": 7})
    assert provenance.record(other, tmp_path, tmp_path, "f" * 64)["settings_sha256"] != made["settings_sha256"]


def test_a_record_without_jobs_knows_no_times(study, tmp_path):
    made = provenance.record(study, tmp_path / "none", tmp_path, "f" * 64)
    assert (made["started"], made["ended"], made["devices"], made["jobs"]) == (None, None, [], 0)


def test_git_tells_the_commit_and_changes(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "Add a file")
    state = provenance.git_state(tmp_path)
    assert len(state["commit"]) == 40 and state["changed"] is False
    (tmp_path / "file").write_text("2")
    assert provenance.git_state(tmp_path) == state | {"changed": True}
