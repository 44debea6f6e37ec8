"""Masks of new images by a trained head: the last stage for those who came for masks."""
