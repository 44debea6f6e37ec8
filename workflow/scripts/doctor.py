"""Check the study before anything runs, and print a table."""

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.study import doctor
    from pixelherd.study.study import Study

    checks = doctor.examine(Study.read(snakemake.params.study))
    print(doctor.table(checks), flush=True)
    doctor.verdict(checks)
