"""Print what the study will cost, before anything runs."""

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.study import plan
    from pixelherd.study.run import Run
    from pixelherd.study.study import Study

    study = Study.read(snakemake.params.study)
    print(plan.overview(study, [Run.parse(path) for path in snakemake.params.pending]))
