"""Seals: what finishes a run for good, and what breaks a seal."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from pixelherd import sealing
from pixelherd.sealing import seal, sealed_rounds, source_hash, source_hash_of
from pixelherd.storage import digest_of, write_text
from pixelherd.study import Study, hash_of


@pytest.fixture
def study(settings, tmp_path):
    changes = {"results": str(tmp_path / "results"), "methods": {"coverage": None, "random": None, "full": None}}
    return Study.read({**settings, **changes})


def finish(study, run, rounds=2):
    folder = Path(study.results) / "runs" / run.path
    parts = [f"round-{number}/{name}" for number in range(rounds) for name in ("labels.csv", "head.safetensors")]
    for name in ["metrics.csv", "thumbnails.npz", *parts]:
        write_text(folder / name, f"{run} {name}")
    seal(folder, run, study.result_settings(run), rounds, {"images": {"train": 6}})
    return folder


def test_a_seal_holds_what_made_the_run(study):
    run = study.runs()[0]
    folder = finish(study, run)
    content = sealing.read_seal(folder)
    assert content["run"] == vars(run) and content["rounds"] == 2 and content["images"] == {"train": 6}
    assert content["settings"] == study.result_settings(run)
    assert content["settings_sha256"] == study.identity(run) == hash_of(content["settings"])
    assert content["source_sha256"] == source_hash()
    names = {"metrics.csv", "thumbnails.npz"}
    names |= {f"round-{number}/{name}" for number in range(2) for name in ("labels.csv", "head.safetensors")}
    assert content["files"] == {name: digest_of(folder / name) for name in names}


def test_sealed_rounds(study):
    run = study.runs()[0]
    folder, settings = finish(study, run), study.result_settings(run)
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
def test_a_broken_seal_seals_nothing(study, text):
    run = study.runs()[0]
    folder = finish(study, run)
    (folder / "run.json").write_text(text)
    assert sealed_rounds(folder, study.result_settings(run)) == 0
    assert run in sealing.pending(study)
    assert sealing.made_by_other_source(study) == []


def test_a_seal_survives_a_move_and_new_file_times(study, tmp_path):
    run = study.runs()[0]
    folder, settings = finish(study, run), study.result_settings(run)
    shutil.copytree(folder, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    assert sealed_rounds(tmp_path / "elsewhere", settings) == 2


def test_pending_runs_and_the_rounds_that_they_lack(study, settings):
    coverage, random, full = study.runs()
    assert sealing.pending(study) == {coverage: range(2), random: range(2), full: range(1)}
    finish(study, coverage)
    finish(study, full, rounds=1)
    assert sealing.pending(study) == {random: range(2)}

    def changed(**changes):
        return sealing.pending(Study.read(study.content() | changes))

    assert changed(rounds=3) == {coverage: range(2, 3), random: range(3)}
    assert changed(rounds=1) == {random: range(1)}
    assert changed(seeds=[0, 1]).keys() == {run for run in changed(seeds=[0, 1]) if run.seed or run.method == "random"}
    shutil.rmtree(Path(study.results) / "runs" / full.path)
    (Path(study.results) / "runs" / coverage.path / "round-0" / "head.safetensors").unlink()
    assert changed(rounds=3) == {coverage: range(3), random: range(3), full: range(1)}, "heads are evaluated together"
    assert changed(head={"epochs": 3}) == {coverage: range(2), random: range(2), full: range(1)}


def test_marks_say_from_where_on_a_sealed_run_is_made_again(study, tmp_path):
    marks = tmp_path / "marks"

    def marked(**changes):
        other = Study.read(study.content() | changes)
        sealing.mark_outdated(other, sealing.pending(other), marks)
        return {run.method: sealing.first_round_again(other, run, marks) for run in other.runs()}

    coverage, _, full = study.runs()
    for run, rounds in ((coverage, 2), (full, 1)):
        finish(study, run, rounds)
    assert marked() == {"coverage": None, "random": None, "full": None}
    assert marked(rounds=3) == {"coverage": 2, "random": None, "full": None}
    future = Path(study.results) / "runs" / coverage.path / "metrics.csv"
    os.utime(future, (2**33, 2**33))
    assert marked(head={"epochs": 3}) == {"coverage": 0, "random": None, "full": 0}
    mark = sealing.mark_of(study, coverage, marks)
    assert future.stat().st_mtime < mark.stat().st_mtime, "a file from a clock that is ahead is older, too"
    before = mark.stat().st_mtime_ns
    marked(head={"epochs": 3})
    assert mark.stat().st_mtime_ns == before, "an interrupted run goes on"
    assert marked() == {"coverage": None, "random": None, "full": None}
    future.unlink()
    assert marked() == {"coverage": 2, "random": None, "full": None}, "only its evaluation"


def test_seals_are_broken_before_the_first_file_is_made_again(study):
    coverage, random, full = study.runs()
    folders = {run: finish(study, run, study.rounds_of(run.method)) for run in (coverage, random, full)}
    pending = {coverage: range(2), random: range(2, 3), full: range(1)}
    made = [str(folders[run] / "round-0" / "queries.csv") for run in (coverage, random)] + ["cache/x/manifest.json"]
    sealing.break_seals(study, pending, made)
    assert [(folders[run] / "run.json").exists() for run in (coverage, random, full)] == [False, True, True]


def test_runs_of_another_source_are_kept_and_reported(study):
    run = study.runs()[0]
    folder = finish(study, run)
    assert sealing.made_by_other_source(study) == []
    content = json.loads((folder / "run.json").read_text()) | {"source_sha256": "0"}
    (folder / "run.json").write_text(json.dumps(content))
    assert sealing.made_by_other_source(study) == [run]
    assert run not in sealing.pending(study)
    assert run in sealing.pending(study.model_copy(update={"refresh": True}))


def test_the_source_hash_follows_the_stages_files(tmp_path, monkeypatch):
    package = tmp_path / "pixelherd"
    shutil.copytree(sealing.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = {stage: source_hash(stage) for stage in sealing.STAGE_SOURCE} | {"": source_hash()}
    monkeypatch.setattr(sealing, "PACKAGE", package)

    def changed():
        after = {stage: source_hash(stage) for stage in sealing.STAGE_SOURCE} | {"": source_hash()}
        return {stage for stage in after if after[stage] != before[stage]}

    assert changed() == set()
    for part, stages in {
        "head.py": {"select", "rank", "train", "evaluate"},
        "backbones/hub.py": {"pretrain"},
        "datasets/demo.py": {"prepare"},
        "datasets/camvid.yaml": {"prepare"},
        "backbones/noise.py": {"extract", "pretrain"},
        "figures.py": set(),
    }.items():
        text = (package / part).read_text()
        (package / part).write_text(text + "# changed\n")
        assert changed() - {""} == stages and ("" in changed()) == bool(stages), part
        (package / part).write_text(text)
    assert source_hash_of("head.py", "dense.py") == source_hash_of("dense.py", "head.py", "head.py")


def test_every_module_that_makes_results_belongs_to_a_stage():
    frame = {"__init__", "allocator", "costs", "devices", "doctor", "errors", "gpus", "job", "mistakes"}
    frame |= {"plan", "provenance", "sealing", "session", "settings", "study"}
    # what a person sees and answers, and masks of new images
    frame |= {"annotation", "exchange", "oracle", "prediction", "stopping"}
    # made from results, with hashes of their own
    frame |= {"choices", "figures", "pages", "report", "statistics", "tables"}
    frame |= {"training_settings"}  # its values are settings, which runs are sealed with
    named = {part.split("/")[0].removesuffix(".py") for parts in sealing.STAGE_SOURCE.values() for part in parts}
    found = {
        path.stem for path in sealing.PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert found - frame == named, "name new modules in sealing.STAGE_SOURCE (or here, if no result depends on them)"


def test_a_pattern_of_paths_matches_these_alone():
    paths = ["a/b/round-1", "a/b/round-10", "a/c.d/round-1", "e"]
    pattern = re.compile(sealing.one_of(paths))
    others = ["a", "a/b", "a/b/round-2", "a/cxd/round-1", "e/f", "", "a/b/round-1/x"]
    assert [path for path in paths + others if pattern.fullmatch(path)] == paths
    assert not re.compile(sealing.one_of([])).match("")
