"""Compare the cache and all runs with what was written, and name what is damaged."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from tqdm import tqdm

    from pixelherd.errors import UserError, say
    from pixelherd.pipeline import upkeep
    from pixelherd.study.study import Study

    study = Study.read(snakemake.params.study)
    total = len(upkeep.stores(Path(study.cache)))
    with tqdm(total=total, desc="verify", unit="store", disable=None) as bar:
        found = list(upkeep.damages(study.paths, study.runs(), progress=bar.update))
    for error in found:
        say(str(error))
    if found:
        raise UserError(f"{len(found)} files are not as they were written", remedy="do what the lines above say")
    print(f"all {total} stores of the cache, and all results, are as they were written", flush=True)
