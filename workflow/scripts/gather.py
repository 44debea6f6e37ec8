"""Gather the listed pixels of all training images."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pixelherd.candidates import write_union
    from pixelherd.shards import Shards
    from pixelherd.storage import writing

    facts = {}
    with writing(Path(snakemake.output[0]).parent, facts) as folder:
        lists = Shards([Path(manifest).parent for manifest in snakemake.input])
        facts["bandwidth"] = write_union(folder, lists, snakemake.params.listed, snakemake.wildcards.key)
