"""Print what the study will cost, before anything runs."""

from pixelherd.job import job

with job(snakemake):
    from pixelherd import plan
    from pixelherd.study import Study

    study = Study.read(snakemake.params.study)
    print(plan.page(study, plan.images_of(study, study.datasets), snakemake.params.sealed))
