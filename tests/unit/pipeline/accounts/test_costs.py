"""Costs of jobs, and their sums beside the plan."""

import csv

from pixelherd.pipeline.accounts import costs
from pixelherd.storage.files import write_json


def test_a_job_is_measured(tmp_path):
    meter = costs.Meter()
    meter.forwards += 12
    meter.write(tmp_path / "jobs" / "extract" / "b.json")
    (found,) = costs.read(tmp_path / "jobs")
    assert found["stage"] == "extract" and found["forwards"] == 12
    assert found["seconds"] >= 0 and 10 < found["peak_memory_mb"] < 100_000


def test_a_summary_stands_beside_the_plan(tmp_path):
    for number, (stage, seconds, memory, forwards) in enumerate(
        [("train", 2.5, 100, 0), ("extract", 1.0, 300, 30), ("extract", 3.0, 200, 12), ("write_tables", 0.5, 50, 0)]
    ):
        cost = {"stage": stage, "seconds": seconds, "peak_memory_mb": memory, "forwards": forwards}
        write_json(tmp_path / "jobs" / stage / f"{number}.json", cost)
    costs.write_summary(tmp_path, {"prepare": 0, "extract": 45, "train": 0})
    with open(tmp_path / "costs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == ["extract", "train", "write_tables", "total"]  # the plan's order
    extract, total = rows[0], rows[-1]
    assert (extract["jobs"], extract["forwards"], extract["planned_forwards"]) == ("2", "42", "45")
    assert (float(extract["seconds"]), float(extract["longest_seconds"])) == (4.0, 3.0)
    assert (total["jobs"], total["forwards"], total["planned_forwards"]) == ("4", "42", "45")
    assert (float(total["seconds"]), float(total["peak_memory_mb"])) == (7.0, 300.0)
    assert "extract" in (tmp_path / "costs.md").read_text()
    assert "another study" in (tmp_path / "costs.md").read_text(), "three forwards are missing"
    costs.write_summary(tmp_path, {"extract": 42})
    assert "another study" not in (tmp_path / "costs.md").read_text()


def test_the_seconds_of_each_methods_runs(tmp_path):
    edald = "street/ddpm/edald/budget-0.1/seed-"
    for place, seconds in {
        "extract/street/ddpm/train-00000-00003": 100,
        f"score/{edald}0/round-0": 1.5,
        f"score/{edald}0/round-1": 2,
        f"train/{edald}1/round-0": 4,
        f"evaluate/{edald}0": 8,
        "rank/street/ddpm/margin/budget-4/seed-0/round-1/00000-00003": 16,
    }.items():
        cost = {"stage": place.split("/")[0], "seconds": seconds, "peak_memory_mb": 1, "forwards": 0}
        write_json(tmp_path / "jobs" / f"{place}.json", cost)
    costs.write_summary(tmp_path, dict.fromkeys(["extract", "rank", "score", "train", "evaluate"], 0))
    with open(tmp_path / "methods.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [list(row.values()) for row in rows] == [
        ["street", "ddpm", "edald", "2", "15.50", "0.00", "3.50", "4.00", "8.00"],
        ["street", "ddpm", "margin", "1", "16.00", "16.00", "0.00", "0.00", "0.00"],
    ]
    assert list(rows[0])[3:] == ["runs", "seconds", "rank", "score", "train", "evaluate"]
    assert "| edald" in (tmp_path / "costs.md").read_text()


def test_a_study_without_jobs_has_a_summary_too(tmp_path):
    costs.write_summary(tmp_path, {"extract": 45})
    with open(tmp_path / "costs.csv", newline="") as file:
        (total,) = csv.DictReader(file)
    assert (total["stage"], float(total["jobs"]), float(total["forwards"])) == ("total", 0, 0)
