"""Store a dataset's test labels in the resolution of their files."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pydantic import TypeAdapter

    from pixelherd.datasets import write_original_labels
    from pixelherd.datasets.settings import DatasetSettings

    settings = TypeAdapter(DatasetSettings).validate_python(snakemake.params.settings)
    write_original_labels(settings, Path(snakemake.output[0]).parent)
