"""Find the backbone of a features entry, and note which weights it has."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pixelherd.backbones import manifest
    from pixelherd.storage import write_json

    settings = snakemake.params.settings
    folder = settings["path"] if "path" in settings else Path(snakemake.input[0]).parent
    write_json(snakemake.output[0], manifest(folder))
