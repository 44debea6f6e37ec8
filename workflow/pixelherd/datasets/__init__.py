"""Datasets: their settings, how they are prepared and read, and the pixels and labels of a round."""
