"""Write the report of the study's finished runs."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    import yaml

    from pixelherd.results.report.page import make_report
    from pixelherd.results.settings import TableSettings
    from pixelherd.storage.files import write_text
    from pixelherd.storage.records import write_digests

    files, params = snakemake.input, snakemake.params
    page = make_report(
        [Path(seal).parent for seal in files.seals],
        params.rounds,
        Path(files.figures).parent,
        Path(files.template).read_text(),
        yaml.safe_load(Path(files.captions).read_text()),
        params.methods,
        TableSettings.model_validate(params.statistics),
    )
    write_text(snakemake.output.report, page)
    write_digests(snakemake.output.digests, [snakemake.output.report], place=params.place)
