"""Write the digests of files that other jobs read together."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.storage.files import digest_of, write_json

    write_json(snakemake.output[0], {str(path): digest_of(Path(path)) for path in snakemake.input})
