"""Draw the figures of the study's finished runs."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pixelherd.figures import write
    from pixelherd.storage import writing

    runs, params = [Path(seal).parent for seal in snakemake.input], snakemake.params
    with writing(Path(snakemake.output[0]).parent, {}) as folder:
        write(runs, params.rounds, folder, params.methods, params.statistics)
