"""Index the shards of a split."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.storage.shards import write_index

    write_index(snakemake.output[0], [Path(manifest).parent for manifest in snakemake.input.shards])
