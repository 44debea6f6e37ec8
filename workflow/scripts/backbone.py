"""Find, convert or fetch the backbone of a features entry, and note which weights it has."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.features.backbones.manifest import PARTS, joined, manifest
    from pixelherd.features.backbones.provide import provide
    from pixelherd.features.backbones.sources.kinds import read_source
    from pixelherd.storage.files import write_text
    from pixelherd.storage.records import write_record
    from pixelherd.storage.stores import DATA

    settings, folder = snakemake.params.settings, Path(snakemake.output[0])
    folder.mkdir(parents=True, exist_ok=True)
    if PARTS in settings:
        found = joined(list(snakemake.input.parts))
    elif "pretrain" in settings:
        found = manifest(Path(snakemake.input.parts).with_name(DATA))
    else:
        source = read_source(settings)
        settings, found = source.identity(), provide(source, folder, copied=snakemake.params.carried)
    if snakemake.params.carried and not any(folder.iterdir()):
        write_text(folder / "README", "This backbone comes with its package.\n")  # storages keep no empty folders
    write_record(snakemake.output[1], {"settings": settings, **found})
