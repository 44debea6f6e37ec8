"""A page to label the images of a study with, until Ctrl+C."""

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.labelling.web.command import label_study

    label_study(snakemake.params.study)
