"""Store a dataset's test labels in the resolution of their files."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.datasets.prepare import write_original_labels
    from pixelherd.datasets.settings import read_dataset

    params = snakemake.params
    write_original_labels(read_dataset(params.settings), Path(snakemake.output[0]).parent, originals=params.originals)
