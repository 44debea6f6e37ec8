"""Write the tables of the study's finished runs."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.results.pages.write import write_tables
    from pixelherd.results.settings import TableSettings

    runs, params = [Path(seal).parent for seal in snakemake.input], snakemake.params
    settings = TableSettings.model_validate(params.statistics)
    write_tables(runs, params.rounds, Path(snakemake.output[0]).parent, params.methods, settings)
