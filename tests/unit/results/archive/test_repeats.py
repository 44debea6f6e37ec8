"""The same runs made twice: what agrees, and how far the rest is apart."""

import math
import re

import pytest

from pixelherd.errors import UserError
from pixelherd.results.archive import command
from pixelherd.results.archive.repeats import by_method, by_round, repeats


@pytest.fixture
def other(results, tmp_path):
    return type(results)(tmp_path / "other")


def compared(results, other):
    return repeats(command.read(results.root), command.read(other.root))


def test_equal_runs_agree(study):
    found = compared(study, study)
    assert found.runs["is_equal"].all() and (found.runs["miou_difference"] == 0).all()
    assert (found.first_only, found.second_only, found.other_settings) == (0, 0, [])
    asked = found.runs[found.runs["method"] != "full"]
    assert (asked[["same_now", "same_so_far"]] == 1).all(axis=None)
    assert found.runs.loc[found.runs["method"] == "full", "same_so_far"].isna().all(), "the reference asks nothing"


def test_drift_is_told_by_round(results, other):
    results.add("edald", [0.2, 0.3, 0.4], seed=0)
    other.add("edald", [0.2, 0.3, 0.4], seed=0)
    results.add("edald", [0.2, 0.3, 0.4], seed=1)
    folder = other.add("edald", [0.2, 0.3, 0.43], seed=1)
    # the second round asks three other pixels of ten, the third all others
    for number, moved in ((1, 3), (2, 10)):
        path = folder / f"round-{number}" / "queries.csv"
        lines = path.read_text().splitlines()
        lines[1 : moved + 1] = [re.sub(r"^(\d+,\w+,\d+),3,", r"\1,4,", line) for line in lines[1 : moved + 1]]
        path.write_text("\n".join(lines) + "\n")
    (folder / "run.json").unlink()
    reseal(other, folder)
    found = compared(results, other)
    rounds = by_round(found.runs).set_index("round")
    assert rounds["runs"].tolist() == [2, 2, 2] and rounds["equal"].tolist() == [1, 1, 1]
    assert rounds["same_pixels"].tolist() == [2, 1, 1]
    assert rounds["same_now"].tolist() == pytest.approx([1, (1 + 0.7) / 2, (1 + 0) / 2])
    assert rounds["same_so_far"].tolist() == pytest.approx([1, (1 + 17 / 20) / 2, (1 + 17 / 30) / 2])
    assert rounds["least"].tolist() == pytest.approx([1, 17 / 20, 17 / 30])
    (last,) = by_method(found.runs).itertuples()
    assert (last.miou_mean, last.miou_largest) == pytest.approx((0.015, 0.03))
    assert last.miou_std == pytest.approx(0.03 / math.sqrt(2))


def reseal(results, folder):
    from pixelherd.pipeline import seals
    from pixelherd.study.run import Run
    from unit.results.archive.conftest import SETTINGS

    run = Run.parse(folder.relative_to(results.root / "runs").as_posix())
    seals.seal(folder, run, SETTINGS, 3, {}, "f" * 64)


def test_runs_of_other_settings_are_no_repeats(results, other):
    results.add("edald", [0.2], seed=0)
    other.add("edald", [0.2], seed=0, settings={"weight": 2})
    with pytest.raises(UserError, match="nothing to compare: 1 runs of the same names have other settings"):
        compared(results, other)
    results.add("edald", [0.2], seed=1)
    other.add("edald", [0.2], seed=1)
    other.add("edald", [0.2], seed=2)
    found = compared(results, other)
    assert found.other_settings == ["toy/ddpm/edald/budget-0.1/seed-0"] and found.second_only == 1


def test_strangers_have_nothing_to_compare(results, other):
    results.add("edald", [0.2])
    other.add("random", [0.2])
    with pytest.raises(UserError, match="no run of one is in the other"):
        compared(results, other)


def test_an_archive_is_compared_with_results_and_told_in_words(study, tmp_path, capsys):
    command.run("archive", [str(study.root), str(tmp_path / "archive")])
    command.run("repeats", [str(tmp_path / "archive"), str(study.root)])
    printed = capsys.readouterr().out
    assert "Runs that both have: 5, of which 5 agree byte for byte" in printed
    assert "by 0.00 at most" in printed
