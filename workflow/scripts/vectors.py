"""Vectors of the pixels that a round labelled."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake) as meter:
    import numpy as np

    from pixelherd.datasets import Dataset
    from pixelherd.features import open_maps
    from pixelherd.training import labelled_vectors

    files, params = snakemake.input, snakemake.params
    dataset = Dataset.open(Path(files.dataset).parent)
    images = dataset.train.images
    maps_of = open_maps(files.get("maps"), files.get("backbone"), images, params.settings, params.device)
    np.save(snakemake.output[0], labelled_vectors(dataset, files.labels, maps_of))
    meter.forwards = maps_of.forwards
