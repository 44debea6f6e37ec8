"""Find, convert or fetch the backbone of a features entry, and note which weights it has."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.features.backbones.manifest import manifest
    from pixelherd.features.backbones.settings import read_source
    from pixelherd.features.backbones.sources.provide import provide
    from pixelherd.storage.files import write_json

    settings = snakemake.params.settings
    if "path" in settings:
        found = manifest(settings["path"])
    elif "pretrain" in settings:
        found = manifest(Path(snakemake.input[0]).parent)
    else:
        found = provide(read_source(settings), Path(snakemake.output[0]).with_suffix(""))
    write_json(snakemake.output[0], found)
