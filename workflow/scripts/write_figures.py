"""Draw the figures of the study's finished runs."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.results.figures.write import write_figures
    from pixelherd.results.settings import TableSettings
    from pixelherd.storage.stores import writing

    runs, params = [Path(seal).parent for seal in snakemake.input.seals], snakemake.params
    settings = TableSettings.model_validate(params.statistics)
    *folders, manifest = map(Path, snakemake.output)
    with writing(manifest.parent, {}, inside="") as folder:
        for declared in folders:
            (folder / declared.name).mkdir()
        write_figures(runs, params.rounds, folder, params.methods, settings)
