"""Pixels a round, from what stands in a study."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelherd.errors import UserError
from pixelherd.selection.settings import SelectionSettings, pixels_a_round, used


@pytest.mark.parametrize(
    ("budget", "images", "pixels"),
    [("0.1", 367, 37), ("1.0", 80, 80), ("1", 80, 1), ("40", 3, 40), ("1e-05", 10**6, 10)],
)
def test_a_decimal_point_makes_a_multiple_of_the_images(budget, images, pixels):
    assert pixels_a_round(budget, images) == pixels


@given(st.floats(0.01, 10), st.integers(1, 10_000))
@settings(max_examples=50)
def test_a_fraction_is_rounded_to_at_least_a_pixel(budget, images):
    exact = budget * images
    if exact > 0.5:
        assert abs(pixels_a_round(str(budget), images) - exact) <= 0.5
    else:
        with pytest.raises(UserError, match="no pixel; write a larger budget"):
            pixels_a_round(str(budget), images)


def test_what_a_method_does_not_use_is_no_setting():
    settings = SelectionSettings(score="margin", budget="0.5", seed=0, weight=0.0)
    assert used(settings.weight) == 0.0 and settings.pixels(6) == 3
    with pytest.raises(ValueError, match="does not use this setting"):
        used(settings.draws)
    absent = settings.model_dump(mode="json", exclude_none=True)
    assert list(absent) == ["score", "budget", "seed", "weight"] and SelectionSettings(**absent) == settings
