"""Gather the listed pixels of all training images, and what every pool shares of their kernel."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.selection.coverage.union import write_union
    from pixelherd.selection.settings import ListSettings
    from pixelherd.storage.shards import Shards
    from pixelherd.storage.stores import writing

    params = snakemake.params
    settings = ListSettings(**params.candidates)
    key = snakemake.wildcards.key.partition("-")[0]
    facts = {"listed": params.listed, "kernel": settings.kernel}
    with writing(Path(snakemake.output[0]).parent, facts, inside="") as folder:
        lists = Shards([Path(manifest).parent for manifest in snakemake.input.shards])
        facts["bandwidth"] = write_union(folder, lists, params.listed, settings, key)
