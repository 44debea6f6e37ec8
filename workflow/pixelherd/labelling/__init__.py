"""Labelling live: a person answers in a browser while the model learns beside; rounds are written for Snakemake."""
