"""Stage 1 of a round: herd the pool."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.datasets.pixels import LABEL_COLUMNS, read_pixels
    from pixelherd.selection.choose import pool
    from pixelherd.selection.coverage.union import read_union
    from pixelherd.selection.settings import Round, SelectionSettings
    from pixelherd.storage.stores import save_arrays

    files, params, settings = snakemake.input, snakemake.params, SelectionSettings(**snakemake.params.settings)
    dataset = Dataset.open(Path(files.dataset).parent)
    labelled = read_pixels(files.labels, LABEL_COLUMNS, dataset.train.ids, dataset.size[1])
    current = Round(params.round, settings.pixels(len(dataset.train)), labelled, settings)
    save_arrays(snakemake.output[0], rows=pool(read_union(Path(files.union).parent), current))
