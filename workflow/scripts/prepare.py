"""Prepare one dataset."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pydantic import TypeAdapter

    from pixelherd.datasets import prepare
    from pixelherd.datasets.settings import DatasetSettings

    settings = TypeAdapter(DatasetSettings).validate_python(snakemake.params.settings)
    prepare(settings, Path(snakemake.output[0]).parent)
