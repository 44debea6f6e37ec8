"""Pixels a round, from what stands in a study."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelherd.budget import pixels_a_round
from pixelherd.errors import UserError


@pytest.mark.parametrize(
    ("budget", "images", "pixels"),
    [("0.1", 367, 37), ("1.0", 80, 80), ("1", 80, 1), ("40", 3, 40), ("1e-05", 10**6, 10)],
)
def test_a_decimal_point_makes_a_multiple_of_the_images(budget, images, pixels):
    assert pixels_a_round(budget, images) == pixels


@given(st.floats(0.01, 10), st.integers(1, 10_000))
@settings(max_examples=50, deadline=None)
def test_a_fraction_is_rounded_to_at_least_a_pixel(budget, images):
    exact = budget * images
    if exact > 0.5:
        assert abs(pixels_a_round(str(budget), images) - exact) <= 0.5
    else:
        with pytest.raises(UserError, match="no pixel; write a larger budget"):
            pixels_a_round(str(budget), images)
