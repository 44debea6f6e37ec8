"""Add up what the jobs cost, beside what was planned, and record how the results were made."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.pipeline.accounts import costs, provenance
    from pixelherd.pipeline.seals import read_seal
    from pixelherd.storage.records import write_record
    from pixelherd.study import plan
    from pixelherd.study.study import Study

    study = Study.read(snakemake.params.study)
    seals = [read_seal(Path(seal).parent) for seal in snakemake.input.seals]
    images = {seal["run"]["dataset"]: seal["images"] for seal in seals}
    planned = plan.by_stage(plan.items(study, images))
    forwards = {stage: item.forwards for stage, item in planned.items()}
    folder = Path(snakemake.output.costs).parent
    costs.write_summary(folder, forwards)
    repository = Path(snakemake.scriptdir).parents[1]
    made_by = provenance.record(study, folder / "jobs", repository, snakemake.params.runs_source)
    write_record(snakemake.output.record, made_by)
