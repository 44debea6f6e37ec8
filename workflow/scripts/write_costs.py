"""Add up what the jobs cost, beside what was planned."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pixelherd import costs, plan, sealing
    from pixelherd.study import Study

    study = Study.read(snakemake.params.study)
    seals = [sealing.read_seal(Path(seal).parent) for seal in snakemake.input]
    images = {seal["run"]["dataset"]: seal["images"] for seal in seals}
    planned = plan.by_stage(plan.items(study, images))
    forwards = {stage: item.forwards for stage, item in planned.items()}
    costs.write_summary(Path(snakemake.output[0]).parent, forwards)
