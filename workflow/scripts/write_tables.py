"""Write the tables of the study's finished runs."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pixelherd.pages import write

    runs, params = [Path(seal).parent for seal in snakemake.input], snakemake.params
    write(runs, params.rounds, Path(snakemake.output[0]).parent, params.methods, params.statistics)
