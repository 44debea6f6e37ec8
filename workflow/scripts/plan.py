"""Print what the study will cost, before anything runs."""

from pixelherd.job import job

with job(snakemake):
    from pixelherd import plan
    from pixelherd.study import Run, Study

    study = Study.read(snakemake.params.study)
    print(plan.overview(study, [Run.parse(path) for path in snakemake.params.pending]))
