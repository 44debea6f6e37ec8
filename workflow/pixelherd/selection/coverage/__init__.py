"""Stage 1, coverage: MaxHerding within images and over them."""

NEIGHBOURS = 512
"""Neighbours of each offered pixel that the rounds of a seed share.

After p picks about one pair in p still matters. A first round of one pixel per ten images, of which each offers 50,
leaves 500 neighbours a pixel, whatever the number of images; herded picks leave fewer.
"""
