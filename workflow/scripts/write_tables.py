"""Write the tables of the study's finished runs."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.results.pages.write import write_tables
    from pixelherd.results.settings import TableSettings
    from pixelherd.storage.records import write_digests

    runs, params, made = [Path(seal).parent for seal in snakemake.input.seals], snakemake.params, snakemake.output
    settings = TableSettings.model_validate(params.statistics)
    write_tables(runs, params.rounds, Path(made.digests).parent, params.methods, settings)
    write_digests(made.digests, made.tables, place=params.place)
