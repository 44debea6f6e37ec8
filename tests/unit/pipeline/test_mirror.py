"""What a session finds and changes where results and cache lie in a storage: the same as on files."""

import json
import shutil
from pathlib import Path

import pytest

from pixelherd.errors import UserError
from pixelherd.pipeline import marks
from pixelherd.pipeline.inputs import telling
from pixelherd.pipeline.inputs.mirror import Mirror
from pixelherd.pipeline.seals import note_made_of
from pixelherd.storage.records import read_record
from pixelherd.study.paths import BEGUN, SEAL
from pixelherd.study.study import Study
from unit.pipeline.sealed import ADDRESS, SOURCE, finish, pending_runs


class Bucket:
    """A storage whose files lie in a folder that nobody else looks into; it notes what was asked."""

    def __init__(self, folder: Path):
        self.folder, self.asked = folder, []

    def below(self, folder):
        files = (path for path in (self.folder / folder).rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix() for path in files}

    def fetch(self, path, to):
        self.asked.append(("fetch", path))
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.folder / path, to)

    def put(self, file, path):
        self.asked.append(("put", path))
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, self.folder / path)

    def remove(self, path):
        self.asked.append(("remove", path))
        (self.folder / path).unlink()

    def path_of(self, file):
        return file


@pytest.fixture
def study(settings):
    return Study.read({**settings, "results": "r", "cache": "c", "methods": {"coverage": None, "random": None}})


@pytest.fixture
def bucket(tmp_path, study):
    """A storage in which the first run of the study is finished."""
    there = study.model_copy(update={"results": str(tmp_path / "bucket" / "r")})
    finish(there, there.runs()[0], address=ADDRESS)
    return Bucket(tmp_path / "bucket")


def looked(bucket, study, tmp_path, name="mirror"):
    mirror = Mirror(bucket, study, tmp_path / name)
    mirror.look()
    return mirror


def marked(mirror):
    lacking = pending_runs(mirror.study)
    return marks.mark_outdated(mirror.study, lacking, SOURCE, dict.fromkeys(lacking, ADDRESS), mirror.marks), lacking


def test_runs_that_the_storage_holds_are_finished_and_heads_are_not_fetched(bucket, study, tmp_path):
    mirror = looked(bucket, study, tmp_path)
    assert list(pending_runs(mirror.study)) == study.runs()[1:]
    assert [path for what, path in bucket.asked] == [f"r/runs/{study.runs()[0].path}/{SEAL}"]


def test_a_run_whose_tables_are_gone_from_the_storage_is_pending(bucket, study, tmp_path):
    bucket.remove(f"r/runs/{study.runs()[0].path}/metrics.csv")
    assert list(pending_runs(looked(bucket, study, tmp_path).study)) == study.runs()


def test_marks_go_into_the_storage_once_and_are_taken_back(bucket, study, tmp_path):
    changed = Study.read({**study.content(), "head": {"kind": "linear", "l2": 0.5}})
    mirror = looked(bucket, changed, tmp_path)
    unmark, lacking = marked(mirror)
    bucket.asked.clear()
    mirror.send()
    place = str(marks.mark_of(changed, changed.runs()[0]))
    assert bucket.asked == [("put", place)] and changed.runs()[0] in lacking
    again = looked(bucket, changed, tmp_path, "another machine")
    marked(again)
    bucket.asked.clear()
    again.send()
    assert bucket.asked == [], "or what was made since would be older than its mark"
    unmark()
    mirror.send()
    assert bucket.asked == [("remove", place)]


def test_notes_go_into_the_storage(bucket, study, tmp_path):
    mirror = looked(bucket, study, tmp_path)
    marks.note_begun(mirror.study, {study.runs()[1]: ADDRESS})
    bucket.asked.clear()
    mirror.send()
    assert bucket.asked == [("put", f"r/runs/{study.runs()[1].path}/{BEGUN}")]


def test_seals_of_runs_that_are_made_again_go_and_others_stay(bucket, study, tmp_path):
    mirror, run = looked(bucket, study, tmp_path), study.runs()[0]
    folder = study.paths.run_folder(run)
    mirror.break_seals([run], [Path("r/report.html")])
    assert f"{folder}/{SEAL}" in bucket.below("r")
    mirror.break_seals([run], [folder / "round-0" / "labels.csv"])
    assert f"{folder}/{SEAL}" not in bucket.below("r")


def test_what_a_sealed_run_is_made_of_is_noted_when_its_seal_goes(bucket, study, tmp_path):
    run = study.runs()[0]
    note = study.paths.run_folder(run) / BEGUN
    note_made_of(bucket.folder / note.parent, run, marks.SEVERAL)  # as a storage keeps it when a run is made again
    mirror = looked(bucket, study, tmp_path)
    marks.note_begun(mirror.study, {run: ADDRESS})
    mirror.send()
    mirror.break_seals([run], [note.parent / "round-1" / "labels.csv"])
    assert read_record(bucket.folder / note, run.path)["address"] == ADDRESS


def test_an_index_whose_shard_is_gone_goes(bucket, study, tmp_path):
    for name in ("c/whole.json", "c/lacking.json", "c/one/manifest.json"):
        (bucket.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (bucket.folder / name).write_text("{}")
    shards = ["c/one/manifest.json"]
    mirror = looked(bucket, study, tmp_path)
    mirror.drop_incomplete({"c/whole.json": shards, "c/lacking.json": [*shards, "c/two.json"]})
    assert bucket.below("c") == {"c/whole.json", "c/one/manifest.json"}
    assert not mirror.holds("c/lacking.json"), "or no rule would make it again"


FOLDERS = {"c/backbones/f-0": "c/backbones/f-0.json", "c/pretrained/p-0/data": "c/pretrained/p-0/manifest.json"}


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("there, stays", [([], False), (["unet/a"], False), (["unet/a", "unet/b"], True)])
def test_a_backbone_of_which_a_part_is_there_goes(bucket, study, tmp_path, folder, there, stays):
    for name in there:
        (bucket.folder / folder / name).parent.mkdir(parents=True, exist_ok=True)
        (bucket.folder / folder / name).touch()
    manifest = bucket.folder / FOLDERS[folder]
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"path": f".snakemake/storage/x/{folder}", "files": {"unet/a": {}, "unet/b": {}}}))
    mirror = looked(bucket, study, tmp_path)
    mirror.drop_halves([FOLDERS[folder], "c/backbones/not-there.json"])
    assert (manifest.is_file(), mirror.holds(FOLDERS[folder])) == (stays, stays)


@pytest.mark.parametrize("there, stays", [([], False), (["README"], True)])
def test_a_backbone_that_lies_in_its_package_has_a_folder_that_is_not_empty(bucket, study, tmp_path, there, stays):
    folder = bucket.folder / "c" / "backbones" / "f-0"
    folder.mkdir(parents=True)
    for name in there:
        (folder / name).touch()
    record = {"path": "lib/weights.safetensors", "files": {"weights.safetensors": {}}}
    folder.with_suffix(".json").write_text(json.dumps(record))
    mirror = looked(bucket, study, tmp_path)
    mirror.drop_halves(["c/backbones/f-0.json"])
    assert mirror.holds("c/backbones/f-0.json") == stays


def test_a_job_on_another_machine_hears_what_it_was_told(bucket, study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    telling.tell(tmp_path / "told", study, {"pending": {"é": [0, 2]}})
    telling.send(study, bucket)
    monkeypatch.delenv(telling.variable_of(study))
    assert telling.hear(study, {}, None) is None
    assert telling.hear(study, {}, bucket) == {"pending": {"é": [0, 2]}}
    assert json.loads(next(iter((bucket.folder / telling.FOLDER).iterdir())).read_text())


@pytest.mark.parametrize("change", [{"results": "/r"}, {"cache": "../c"}, {"oracle": "csv"}])
def test_what_lies_in_no_storage_is_a_mistake(bucket, study, tmp_path, change):
    with pytest.raises(UserError) as error:
        Mirror(bucket, study.model_copy(update=change), tmp_path / "mirror")
    assert error.value.remedy and next(iter(change)) in str(error.value)
