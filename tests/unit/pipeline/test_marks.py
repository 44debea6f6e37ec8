"""Marks: what other settings made is made anew, from the round on that they say."""

import os
import shutil
from pathlib import Path

from pixelherd.pipeline import marks
from pixelherd.storage.files import write_text
from pixelherd.study.study import Study
from unit.pipeline.sealed import ADDRESS, SOURCE, finish, pending_runs


def test_marks_say_from_where_on_a_sealed_run_is_made_again(study, tmp_path):
    folder = tmp_path / "marks"

    def marked(**changes):
        other = Study.read(study.content() | changes)
        marks.mark_outdated(other, pending_runs(other), SOURCE, {}, folder)
        return {run.method: marks.first_round_again(other, run, folder) for run in other.runs()}

    coverage, _, full = study.runs()
    for run, rounds in ((coverage, 2), (full, 1)):
        finish(study, run, rounds)
    assert marked() == {"coverage": None, "random": None, "full": None}
    assert marked(rounds=3) == {"coverage": 2, "random": None, "full": None}
    future = Path(study.results) / "runs" / coverage.path / "metrics.csv"
    os.utime(future, (2**33, 2**33))
    assert marked(head={"l2": 0.1}) == {"coverage": 0, "random": None, "full": 0}
    mark = marks.mark_of(study, coverage, folder)
    assert future.stat().st_mtime < mark.stat().st_mtime, "a file from a clock that is ahead is older, too"
    before = mark.stat().st_mtime_ns
    marked(head={"l2": 0.1})
    assert mark.stat().st_mtime_ns == before, "an interrupted run goes on"
    assert marked() == {"coverage": None, "random": None, "full": None}
    future.unlink()
    assert marked() == {"coverage": 2, "random": None, "full": None}, "only its evaluation"


def test_rounds_of_nobody_knows_what_are_made_anew(study, tmp_path):
    run, begun = study.runs()[0], {study.runs()[0]: ADDRESS}
    folder = study.paths.run_folder(run)
    write_text(folder / "round-0" / "queries.csv", "of another study")

    def marked():
        marks.mark_outdated(study, pending_runs(study), SOURCE, begun, tmp_path / "marks")
        return marks.first_round_again(study, run, tmp_path / "marks")

    assert marked() == 0
    marks.note_begun(study, begun)
    marks.mark_of(study, run, tmp_path / "marks").unlink()
    assert marked() == 0, "some rounds may be of today, and some are not"
    shutil.rmtree(folder)
    marks.mark_of(study, run, tmp_path / "marks").unlink()
    marks.note_begun(study, begun)
    write_text(folder / "round-0" / "queries.csv", "of this study")
    assert marked() is None
    (folder / "begun.json").write_text("{")
    assert marked() == 0


def test_a_run_without_its_seal_is_known_by_its_note(study, tmp_path):
    run = study.runs()[0]
    (finish(study, run, address=ADDRESS) / "run.json").unlink()
    for address, first in ((ADDRESS, None), ("b" * 12, 0)):
        marks.mark_outdated(study, pending_runs(study), SOURCE, {run: address}, tmp_path / "marks")
        assert marks.first_round_again(study, run, tmp_path / "marks") == first


def test_a_call_that_makes_nothing_takes_back_its_marks(study, tmp_path):
    folder, run = tmp_path / "marks", study.runs()[0]
    finish(study, run)

    def mark(**changes):
        other = Study.read(study.content() | changes)
        return marks.mark_outdated(other, pending_runs(other), SOURCE, {}, folder)

    mark(head={"l2": 0.1})
    path = marks.mark_of(study, run, folder)
    before = path.read_bytes(), path.stat().st_mtime_ns
    take_back = mark(head={"l2": 0.2})
    assert path.read_bytes() != before[0]
    take_back()
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    take_back = mark()
    assert not path.exists()
    take_back()
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
