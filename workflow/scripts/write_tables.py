"""Write the tables of the study's finished runs."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pixelherd.tables import write

    runs = [Path(seal).parent for seal in snakemake.input]
    write(runs, snakemake.params.rounds, Path(snakemake.output[0]).parent, snakemake.params.methods)
