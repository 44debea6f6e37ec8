"""Vectors of the pixels that a round labelled."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake) as meter:
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.features.maps import open_maps
    from pixelherd.features.settings import MapSettings
    from pixelherd.selection.labelled import labelled_vectors
    from pixelherd.storage.stores import save_arrays

    files, params = snakemake.input, snakemake.params
    dataset = Dataset.open(Path(files.dataset).parent)
    images = dataset.train.images
    settings = MapSettings(**params.settings)
    maps_of = open_maps(files.get("maps"), files.get("backbone"), images, settings, params.device)
    save_arrays(snakemake.output[0], vectors=labelled_vectors(dataset, files.labels, maps_of))
    meter.forwards = maps_of.forwards
