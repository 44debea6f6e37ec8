"""Line charts: what is drawn where."""

import itertools
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelherd.results.figures.style import COLOURS
from pixelherd.results.report import charts

COLUMNS = ["method", "reference", "round", "labelled_pixels", "miou_mean", "miou_std"]


def curves(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


CURVES = curves(
    ("edald", False, 0, 10, 0.2, 0.01),
    ("edald", False, 1, 30, 0.4, 0.02),
    ("random", False, 0, 10, 0.1, math.nan),
    ("random", False, 1, 20, 0.3, math.nan),
    ("full", True, 0, 9000, 0.5, math.nan),
)


def test_places_follow_the_values():
    chart = charts.learning_curves(CURVES, ["random", "edald"], "in words")
    edald, random, full = chart.lines
    (left, low), (right, high) = edald.markers
    assert left < right and low > high, "more labels are right, and more mIoU is above"
    assert random.markers[1][0] == pytest.approx((left + right) / 2, abs=0.1)
    levels = {text: y for y, text in chart.levels}
    assert low == levels["20"] and high == levels["40"]
    assert edald.colour == COLOURS[1] and random.colour == COLOURS[0], "a method keeps its looks in a study"
    assert full.markers == [] and full.dash and full.points == f"44.0,{levels['50']} 586.0,{levels['50']}"
    assert edald.band and not random.band


def test_a_stop_tells_all_lines_that_have_a_value_there():
    chart = charts.learning_curves(CURVES, [], "")
    assert [(head, texts) for _, head, texts in chart.stops] == [
        ("10 labelled pixels, round 0", ["edald 20.0 ± 1.0 %", "random 10.0 %"]),
        ("20 labelled pixels, round 1", ["random 30.0 %"]),
        ("30 labelled pixels, round 1", ["edald 40.0 ± 2.0 %"]),
    ]


@pytest.mark.parametrize("rows", [[("edald", False, 0, 10, 0.2, math.nan)], [("full", True, 0, 9000, 0.5, 0.1)]])
def test_one_point_is_a_chart(rows):
    (line,) = charts.learning_curves(curves(*rows), [], "").lines
    assert "nan" not in line.points


def test_settling_begins_with_the_second_round():
    columns = ["method", "round", "labelled_pixels_mean", "agreement_mean", "agreement_std"]
    rows = [("edald", 0, 10, math.nan, math.nan), ("edald", 1, 20, 0.8, math.nan), ("edald", 2, 30, 0.9, math.nan)]
    chart = charts.settling(pd.DataFrame(rows, columns=columns), [], "")
    assert [texts for *_, texts in chart.stops] == [["edald 80.0 %"], ["edald 90.0 %"]]


@given(st.floats(0, 100), st.floats(0, 100))
def test_levels_are_round_and_hold_all_values(one, other):
    low, high = sorted((one, other))
    levels = charts.levels(low, high)
    assert levels[0] <= low and levels[-1] >= high and 2 <= len(levels) <= 8
    assert all(after > before for before, after in itertools.pairwise(levels))
