"""Check the study before anything runs, print a table, and draw what the datasets look like."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.errors import UserError
    from pixelherd.results.figures import contact
    from pixelherd.study.health import doctor
    from pixelherd.study.study import Study

    study = Study.read(snakemake.params.study)
    checks = doctor.examine(study)
    print(doctor.table(checks), flush=True)
    for name, settings in study.datasets.items():
        path = Path(study.paths.contact_sheet.format(dataset=name))
        try:
            contact.draw(contact.Sheet.read(name, settings), path)
        except UserError:
            continue  # the table says what is wrong with the files
        print(f"{path} shows images of {name} with their masks: look whether they fit", flush=True)
    doctor.verdict(checks)
