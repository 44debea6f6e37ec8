"""Stage 1 of a round: herd the pool."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    import numpy as np

    from pixelherd.candidates import read_union
    from pixelherd.datasets import Dataset
    from pixelherd.queries import LABEL_COLUMNS, read
    from pixelherd.selection import pool

    dataset = Dataset.open(Path(snakemake.input.dataset).parent)
    union = read_union(Path(snakemake.input.union).parent)
    labelled = read(snakemake.input.labels, LABEL_COLUMNS, dataset.train.ids, dataset.size[1])
    rows = pool(union, union.rows_of(labelled.images, labelled.flat), snakemake.params.settings)
    np.save(snakemake.output[0], rows)
