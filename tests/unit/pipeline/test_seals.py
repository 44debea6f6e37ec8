"""Seals: what finishes a run for good, and what breaks a seal."""

import json
import shutil
from pathlib import Path

import pytest

from pixelherd.errors import UserError
from pixelherd.pipeline import seals
from pixelherd.pipeline.seals import seal, sealed_rounds
from pixelherd.storage.files import digest_of, hash_of
from pixelherd.storage.records import write_digests
from pixelherd.study import stages
from pixelherd.study.study import Study
from unit.pipeline.sealed import ADDRESS, SOURCE, finish, pending_runs


def test_a_seal_holds_what_made_the_run(study):
    run = study.runs()[0]
    folder = finish(study, run)
    content = seals.read_seal(folder)
    assert content["run"] == vars(run) and content["rounds"] == 2 and content["images"] == {"train": 6}
    assert content["settings"] == stages.result(study, run)
    assert content["settings_sha256"] == stages.identity(study, run) == hash_of(content["settings"])
    assert content["source_sha256"] == SOURCE
    names = {"metrics.csv", "expected.csv", "thumbnails.npz"}
    names |= {f"round-{number}/{name}" for number in range(2) for name in ("labels.csv", "head.safetensors")}
    assert content["files"] == {name: digest_of(folder / name) for name in names}


def test_sealed_rounds(study):
    run = study.runs()[0]
    folder, settings = finish(study, run), stages.result(study, run)
    assert sealed_rounds(folder, settings) == 2
    assert sealed_rounds(folder, json.loads(json.dumps(settings))) == 2
    assert sealed_rounds(folder, {**settings, "training": {}}) == 0
    for name in ("thumbnails.npz", "round-1/head.safetensors"):
        (folder / name).unlink()
    assert sealed_rounds(folder, settings) == 2, "tables and figures are made without them"
    (folder / "round-1" / "labels.csv").unlink()
    assert sealed_rounds(folder, settings) == 0
    assert sealed_rounds(folder / "absent", settings) == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"rounds": 2}', "\0\0\0"])
@pytest.mark.hostile("files of cache and results")
def test_a_broken_seal_seals_nothing(study, text):
    run = study.runs()[0]
    folder = finish(study, run)
    (folder / "run.json").write_text(text)
    assert sealed_rounds(folder, stages.result(study, run)) == 0
    assert run in pending_runs(study)
    assert seals.made_by_other_source(study, SOURCE) == []


def test_a_seal_survives_a_move_and_new_file_times(study, tmp_path):
    run = study.runs()[0]
    folder, settings = finish(study, run), stages.result(study, run)
    shutil.copytree(folder, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    assert sealed_rounds(tmp_path / "elsewhere", settings) == 2


def test_pending_runs_and_the_rounds_that_they_lack(study, settings):
    coverage, random, full = study.runs()
    assert pending_runs(study) == {coverage: range(2), random: range(2), full: range(1)}
    finish(study, coverage)
    finish(study, full, rounds=1)
    assert pending_runs(study) == {random: range(2)}

    def changed(**changes):
        return pending_runs(Study.read(study.content() | changes))

    assert changed(rounds=3) == {coverage: range(2, 3), random: range(3)}
    assert changed(rounds=1) == {random: range(1)}
    assert changed(seeds=[0, 1]).keys() == {run for run in changed(seeds=[0, 1]) if run.seed or run.method == "random"}
    shutil.rmtree(Path(study.results) / "runs" / full.path)
    (Path(study.results) / "runs" / coverage.path / "round-0" / "head.safetensors").unlink()
    assert changed(rounds=3) == {coverage: range(3), random: range(3), full: range(1)}, "heads are evaluated together"
    for head in ({"l2": 0.1}, {"kind": "mlp"}):
        assert changed(head=head) == {coverage: range(2), random: range(2), full: range(1)}


def test_a_seal_is_broken_before_a_file_that_it_speaks_of_is_made_again(study):
    coverage, random, full = study.runs()
    folders = {run: finish(study, run, study.rounds_of(run.method)) for run in (coverage, random, full)}
    sealed = folders[coverage] / "round-0" / "labels.csv"
    further = folders[random] / "round-2" / "labels.csv"
    seals.break_seals([str(sealed), str(further), "cache/x/manifest.json"])
    assert [(folders[run] / "run.json").exists() for run in (coverage, random, full)] == [False, True, True]


def test_runs_of_another_source_are_kept_and_reported(study):
    run = study.runs()[0]
    folder = finish(study, run)
    assert seals.made_by_other_source(study, SOURCE) == []
    seal(folder, run, stages.result(study, run), 2, {}, "0" * 64)
    assert seals.made_by_other_source(study, SOURCE) == [run]
    assert run not in pending_runs(study)
    assert run in pending_runs(study.model_copy(update={"refresh": True}))


def test_more_rounds_of_a_run_go_on_only_from_rounds_of_the_same_files(study):
    run, other, _ = study.runs()
    finish(study, run, address=ADDRESS)
    finish(study, other)
    more = study.model_copy(update={"rounds": 3})
    assert pending_runs(more)[run] == pending_runs(more)[other] == range(2, 3), "older seals do not say of which files"
    pending = pending_runs(more, address="b" * 12)
    assert pending[run] == range(3) and pending[other] == range(2, 3)
    assert seals.extended_anew(more, pending) == [run] and seals.extended_anew(more, pending_runs(more)) == []
    assert pending_runs(study, address="b" * 12).keys() == {study.runs()[2]}, "what is finished stays"


def test_files_that_changed_before_a_run_is_sealed_are_named_together(study):
    """As when logs of two rounds are swapped after the seal was deleted: all are named, and nothing is sealed."""
    run = study.runs()[0]
    folder = finish(study, run)
    (folder / "run.json").unlink()
    logs = [folder / f"round-{number}" / "training.csv" for number in range(2)]
    for number, log in enumerate(logs):
        log.write_text(f"iteration,loss\n1,{number}\n")
        write_digests(log.with_suffix(".json"), [log])
    contents = [log.read_bytes() for log in logs]
    for log, content in zip(logs, contents[::-1], strict=True):
        log.write_bytes(content)
    with pytest.raises(UserError, match=r"round-0/training\.csv has.*round-1/training\.csv has.*delete"):
        finish(study, run)
    assert not (folder / "run.json").exists()
    for log, content in zip(logs, contents, strict=True):
        log.write_bytes(content)
    finish(study, run)
    assert (folder / "run.json").exists()


def test_a_seal_tells_the_machine_which_nothing_compares(study, monkeypatch):
    run = study.runs()[0]
    here = seals.read_seal(finish(study, run))
    assert {"device", "processor", "instructions", "system", "torch"} <= here["made_on"].keys()
    monkeypatch.setattr(seals, "machine", lambda: {"processor": "another"})
    there = seals.read_seal(finish(study, run))
    assert there["made_on"] == {"processor": "another"}
    assert run not in pending_runs(study), "a run holds wherever it was made"
    assert {**here, "made_on": None, "seal_sha256": None} == {**there, "made_on": None, "seal_sha256": None}


def test_a_seal_of_before_machines_were_told_holds(study):
    run = study.runs()[0]
    folder = finish(study, run)
    content = seals.read_seal(folder)
    del content["made_on"], content["seal_sha256"]
    (folder / "run.json").write_text(json.dumps(content | {"seal_sha256": hash_of(content)}))
    assert run not in pending_runs(study)
