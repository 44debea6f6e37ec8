"""Store a dataset's test labels in the resolution of their files."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.datasets.originals import order_of
    from pixelherd.datasets.prepare import write_original_labels
    from pixelherd.datasets.settings import read_dataset

    settings = read_dataset(snakemake.params.settings)
    order = order_of(settings, Path(snakemake.params.originals.format(**snakemake.wildcards)))
    write_original_labels(settings, Path(snakemake.output[0]).parent, order=order)
