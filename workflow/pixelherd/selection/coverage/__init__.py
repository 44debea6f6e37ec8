"""Stage 1, coverage: MaxHerding within images and over them."""

NEIGHBOURS = 512
"""Neighbours of each offered pixel that the rounds of a seed share.

After p picks about one pair in p still matters. A first round of one pixel per ten images, of which each offers 50,
leaves 500 neighbours a pixel, whatever the number of images; herded picks leave fewer.
"""

UNION = (
    *("vectors", "images", "ranks", "pixels", "centre", "opening", "opening_coverage"),
    *("neighbour_thresholds", "neighbour_starts", "neighbour_terms", "neighbour_values"),
)
"""Arrays of a union (:func:`~pixelherd.selection.coverage.union.write_union`), beside its manifest."""
