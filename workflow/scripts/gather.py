"""Gather the listed pixels of all training images, and what every pool shares of their kernel."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pixelherd.candidates import write_union
    from pixelherd.shards import Shards
    from pixelherd.storage import writing

    params = snakemake.params
    kernel, scale = params.candidates["kernel"], params.candidates["bandwidth"]
    key = snakemake.wildcards.key.partition("-")[0]
    facts = {"listed": params.listed, "kernel": kernel}
    with writing(Path(snakemake.output[0]).parent, facts) as folder:
        lists = Shards([Path(manifest).parent for manifest in snakemake.input])
        facts["bandwidth"] = write_union(folder, lists, params.listed, kernel, key, scale)
