"""Check the study before anything runs, and print a table."""

from pixelherd.job import job

with job(snakemake):
    from pixelherd import doctor
    from pixelherd.study import Study

    checks = doctor.examine(Study.read(snakemake.params.study))
    print(doctor.table(checks), flush=True)
    doctor.verdict(checks)
