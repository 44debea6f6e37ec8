"""Find, convert or fetch the backbone of a features entry, and note which weights it has."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.features.backbones.manifest import PARTS, joined, manifest
    from pixelherd.features.backbones.provide import provide
    from pixelherd.features.backbones.sources.kinds import read_source
    from pixelherd.storage.records import write_record
    from pixelherd.storage.stores import DATA

    settings, folder = snakemake.params.settings, Path(snakemake.output[1])
    folder.mkdir(parents=True, exist_ok=True)
    if PARTS in settings:
        found = joined(list(snakemake.input))
    elif "pretrain" in settings:
        found = manifest(Path(snakemake.input[0]).with_name(DATA))
    else:
        source = read_source(settings)
        settings, found = source.identity(), provide(source, folder)
    write_record(snakemake.output[0], {"settings": settings, **found})
