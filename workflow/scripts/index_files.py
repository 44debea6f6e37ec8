"""Write the digests of files that other jobs read together."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.storage.files import digest_of
    from pixelherd.storage.records import write_record

    write_record(snakemake.output[0], {"files": {str(path): digest_of(Path(path)) for path in snakemake.input.files}})
