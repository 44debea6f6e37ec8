"""Compare the cache and all runs with what was written, and name what is damaged."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from tqdm import tqdm

    from pixelherd.errors import UserError, say
    from pixelherd.pipeline import upkeep

    cache, runs = Path(snakemake.params.cache), [Path(run) for run in snakemake.params.runs if Path(run).is_dir()]
    total = len(upkeep.stores(cache)) + len(runs)
    with tqdm(total=total, desc="verify", unit="store", disable=None) as bar:
        found = list(upkeep.damages(cache, runs, progress=bar.update))
    for error in found:
        say(str(error))
    if found:
        raise UserError(f"{len(found)} of {total} stores and runs are damaged", remedy="do what the lines above say")
    print(f"{total} stores and runs are as they were written", flush=True)
