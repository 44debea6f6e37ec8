"""A storage of Snakemake's as its plugins are: what they list, and how they fail."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from pixelherd.errors import UserError
from pixelherd.pipeline.inputs.objects import Objects


class OfFiles:
    """An object of the plugin fs."""

    def __init__(self, query):
        self.query, self.query_path = query, Path(query)

    def set_local_path(self, path):
        self.local = path

    def retrieve_object(self):
        shutil.copyfile(self.query_path, self.local)

    def store_object(self):
        self.query_path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.local, self.query_path)

    def remove(self):
        self.query_path.unlink()


class Refused(Exception):
    """As botocore's ``ClientError``."""

    def __init__(self, code):
        super().__init__(f"An error occurred ({code}) when calling the HeadBucket operation")
        self.response = {"Error": {"Code": code}}


def in_a_bucket(keys, fails=None):
    """A provider of the plugin s3 whose bucket holds these keys."""

    def head_bucket(Bucket):
        if fails:
            raise fails

    client = SimpleNamespace(head_bucket=head_bucket)
    provider = SimpleNamespace(s3c=SimpleNamespace(meta=SimpleNamespace(client=client)))

    def objects(query):
        bucket, _, key = query.removeprefix("s3://").partition("/")
        found = [SimpleNamespace(key=each) for each in keys if each.startswith(f"{key}/")]
        return SimpleNamespace(query=query, bucket=bucket, key=key, provider=provider, get_subkeys=lambda: iter(found))

    provider.object = objects
    return provider


def on_files(folder):
    return Objects(SimpleNamespace(object=OfFiles), str(folder))


@pytest.mark.parametrize("name", ["remote", "a remote place", "remote/"])
def test_files_are_known_by_the_names_that_the_study_has_for_them(tmp_path, name):
    (tmp_path / name / "my results" / "runs").mkdir(parents=True)
    (tmp_path / name / "my results" / "runs" / "run.json").write_text("one")
    storage = Objects(SimpleNamespace(object=OfFiles), f"{tmp_path}/{name}")
    assert storage.below("my results") == {"my results/runs/run.json"}
    storage.fetch("my results/runs/run.json", tmp_path / "to" / "copy")
    storage.put(tmp_path / "to" / "copy", "cache/other")
    assert (tmp_path / name / "cache" / "other").read_text() == "one" and storage.below("cache") == {"cache/other"}
    storage.remove("cache/other")
    assert storage.below("cache") == storage.below("never made") == set()
    job = SimpleNamespace(is_storage=True, storage_object=storage._object("cache/other"))
    assert storage.path_of(job) == "cache/other"


def test_an_empty_folder_is_no_file(tmp_path):
    (tmp_path / "results" / "runs" / "seed-0").mkdir(parents=True)
    assert on_files(tmp_path).below("results") == set()


def test_a_folder_that_is_not_mounted_is_not_an_empty_storage(tmp_path):
    with pytest.raises(UserError, match=r"gone is not there; mount it, or make it"):
        on_files(tmp_path / "gone").below("results")


def test_a_prefix_that_other_machines_read_otherwise_is_a_mistake():
    with pytest.raises(UserError, match="relative/ is not a whole path"):
        on_files("relative").below("results")


@pytest.mark.parametrize("prefix", [None, ""])
def test_no_prefix_is_a_mistake(prefix):
    with pytest.raises(UserError, match="--default-storage-prefix is missing"):
        Objects(None, prefix)


def test_keys_of_a_bucket(capsys):
    provider = in_a_bucket(["study/results/run.json", "study/results/a b/run.json", "study/resultsother", "study/c/x"])
    for prefix in ("s3://bucket/study", "s3://bucket/study/"):
        assert Objects(provider, prefix).below("results") == {"results/run.json", "results/a b/run.json"}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("code", ["404", "NoSuchBucket"])
def test_a_bucket_that_is_not_there_is_empty_and_named(capsys, code):
    storage = Objects(in_a_bucket([], Refused(code)), "s3://bucket/study")
    assert storage.below("results") == storage.below("cache") == set()
    assert capsys.readouterr().err.count("no bucket bucket yet") == 1


@pytest.mark.parametrize("error", [Refused("403"), ConnectionError("Could not connect to the endpoint")])
def test_a_bucket_that_cannot_be_seen_is_not_an_empty_one(error):
    with pytest.raises(UserError) as told:
        Objects(in_a_bucket([], error), "s3://bucket/study").below("results")
    assert "cannot look at s3://bucket/study/results" in str(told.value) and "credentials" in told.value.remedy


def test_what_cannot_be_written_or_removed_is_one_line(tmp_path):
    storage = on_files(tmp_path)
    (tmp_path / "results").write_text("a file in the way")
    for call in (
        lambda: storage.put(tmp_path / "results", "results/run.json"),
        lambda: storage.remove("results/run.json"),
        lambda: storage.fetch("results/run.json", tmp_path / "copy"),
    ):
        with pytest.raises(UserError, match=r"results/run\.json: .+; mend the prefix"):
            call()


def test_a_plugin_that_cannot_list_is_refused():
    with pytest.raises(UserError, match="must list files; take the plugin s3 or fs"):
        Objects(SimpleNamespace(object=lambda query: SimpleNamespace(query=query)), "x").below("results")
