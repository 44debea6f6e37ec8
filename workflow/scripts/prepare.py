"""Prepare one dataset."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.datasets.prepare import prepare
    from pixelherd.datasets.settings import read_dataset

    params = snakemake.params
    prepare(read_dataset(params.settings), Path(snakemake.output[0]).parent, originals=params.originals)
