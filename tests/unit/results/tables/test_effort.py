"""What answers cost: small runs added up by hand."""

import math
from math import log2

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelherd.results.pages.asked import effort_page
from pixelherd.results.tables import effort, evaluated
from pixelherd.results.tables.runs import read_metrics
from pixelherd.study.settings import EffortSettings
from unit.results.small import row, write_run

MODEL = EffortSettings(image=10, look=2, key=0.5, bit=1, sure=0.8)
CHOICE, CONFIRMATION = log2(3) + 0.5, 1.5  # of two classes and "cannot tell"; of yes and no

EXPECTED = "round,image,row,column,expected,confidence\n"


def expect(folder, *rows: tuple[int, int, int, float]):
    """Write what heads expected: round, row, expected class and confidence."""
    lines = [f"{number},007,{place},3,{label},{confidence}\n" for number, place, label, confidence in rows]
    (folder / "expected.csv").write_text(EXPECTED + "".join(lines))


def table_of(folders, rounds=2):
    metrics = evaluated.tested(read_metrics(folders, rounds))
    return effort.effort(folders, rounds, ["edald", "random"], metrics, MODEL)


def test_seconds_are_those_of_looks_choices_and_confirmations(tmp_path):
    folder = write_run(tmp_path, "edald", [0.2, 0.4], labels=[[0, 1, 255], [0, 1, 0, 255]])
    # right; wrong; not sure enough; sure of what cannot be told
    expect(folder, (1, 0, 0, 0.8), (1, 1, 0, 0.95), (1, 2, 0, 0.79), (1, 3, 1, 0.99))
    found = row(table_of([folder]), method="edald")
    looks = 10 + 3 * 2 + 10 + 4 * 2
    assert found["pixels_mean"] == 7 and found["images_mean"] == 2
    assert found["seconds_mean"] == pytest.approx(looks + 7 * CHOICE)
    assert found["confirming_seconds_mean"] == pytest.approx(looks + 3 * CONFIRMATION + 6 * CHOICE)
    assert found["asked_to_confirm_mean"] == pytest.approx(3 / 7) and found["confirmed_mean"] == pytest.approx(1 / 3)


def test_runs_are_compared_over_the_seconds_that_all_have(tmp_path):
    """random takes its time for three pixels a round, edald for one."""
    quick = write_run(tmp_path, "edald", [0.2, 0.4], labels=[[0], [0]], pixels=[1, 2])
    slow = write_run(tmp_path, "random", [0.3, 0.5], labels=[[0] * 3, [0] * 3], pixels=[3, 6])
    for folder in (quick, slow):
        expect(folder)
    one, three = 12 + CHOICE, 10 + 3 * (2 + CHOICE)
    low, high = three, 2 * one
    assert low < high
    table = table_of([quick, slow])
    at = [np.interp([low, high], [a, 2 * a], miou) for a, miou in ((one, [0.2, 0.4]), (three, [0.3, 0.5]))]
    for method, ends in zip(("edald", "random"), at, strict=True):
        found = row(table, method=method)
        assert found["miou_seconds_area_mean"] == pytest.approx(ends.mean())
        assert found["miou_confirming_area_mean"] == pytest.approx(ends.mean()), "nothing was expected"
    assert row(table, method="edald")["miou_area_mean"] == pytest.approx(0.3)


def test_runs_that_kept_no_expectations_have_no_confirmations(tmp_path):
    folder = write_run(tmp_path, "edald", [0.2, 0.4])
    found = row(table_of([folder]), method="edald")
    absent = ["confirming_seconds_mean", "asked_to_confirm_mean", "confirmed_mean", "miou_confirming_area_mean"]
    assert found[absent].isna().all() and found["seconds_mean"] > 0
    assert found["miou_seconds_area_mean"] == pytest.approx(0.3), "one run has all of its time"
    page = effort_page(table_of([folder]), MODEL)
    assert "80 %" in page.note and "–" in page.sections[0].table.to_string()


def test_without_test_images_there_is_no_area(tmp_path):
    folder = write_run(tmp_path, "edald", [0.2, 0.4])
    metrics = read_metrics([folder], 2)
    table = effort.effort([folder], 2, ["edald"], metrics[:0], MODEL)
    page = effort_page(table, MODEL).markdown()
    assert row(table, method="edald")["seconds_mean"] > 0
    assert "area" not in page.lower() and "miou" not in page.lower()
    assert "area over pixels" in effort_page(table_of([folder]), MODEL).markdown()


def test_no_run_but_the_reference_makes_an_empty_page(tmp_path):
    table = table_of([write_run(tmp_path, "full", [0.8], budget="all")], 1)
    assert table.empty and "nothing was asked" in effort_page(table, MODEL).markdown().lower()


@given(st.lists(st.tuples(st.floats(0.1, 50), st.floats(0, 1)), min_size=2, max_size=6), st.data())
def test_the_mean_of_a_curve_lies_between_its_ends(points, data):
    seconds = np.cumsum([step for step, _ in points]).tolist()
    values = [value for _, value in points]
    low, high = sorted(data.draw(st.lists(st.floats(seconds[0], seconds[-1]), min_size=2, max_size=2)))
    found = effort.mean_between(seconds, values, low, high)
    if low == high:
        assert math.isnan(found)
    else:
        assert min(values) - 1e-9 <= found <= max(values) + 1e-9
        fine = np.linspace(low, high, 4001)
        assert found == pytest.approx(np.interp(fine, seconds, values).mean(), abs=0.02)


def test_where_the_head_is_always_right_a_choice_is_saved(tmp_path):
    labels = pd.DataFrame({"round": 1, "image": "a", "row": range(5), "column": 0, "label": 1})
    sure = labels.assign(expected=1, confidence=0.99).drop(columns="label")
    found = effort.seconds_by_round(labels, sure, 12, MODEL).iloc[0]
    assert found["seconds"] - found["confirming_seconds"] == pytest.approx(5 * (log2(13) - 1))
    assert found["confirmed"] == 5
