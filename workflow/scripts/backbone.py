"""Find, convert or fetch the backbone of a features entry, and note which weights it has."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pixelherd.backbones import manifest
    from pixelherd.backbones.settings import Checkpoint, HubModel
    from pixelherd.backbones.sources import provide
    from pixelherd.storage import write_json

    settings = snakemake.params.settings
    if "path" in settings:
        found = manifest(settings["path"])
    elif "pretrain" in settings:
        found = manifest(Path(snakemake.input[0]).parent)
    else:
        source = Checkpoint(**settings) if "checkpoint" in settings else HubModel(**settings)
        found = provide(source, Path(snakemake.output[0]).with_suffix(""))
    write_json(snakemake.output[0], found)
