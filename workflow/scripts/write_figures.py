"""Draw the figures of the study's finished runs."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pixelherd.figures import write
    from pixelherd.storage import writing

    runs = [Path(seal).parent for seal in snakemake.input]
    with writing(Path(snakemake.output[0]).parent, {}) as folder:
        write(runs, snakemake.params.rounds, folder, snakemake.params.methods)
