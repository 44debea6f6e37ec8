"""List, or remove, what nothing uses of the cache."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.pipeline import upkeep
    from pixelherd.study.health.doctor import readable

    (used, addresses), remove = snakemake.params.used, snakemake.params.removes
    found = upkeep.unused(Path(snakemake.params.cache), set(map(Path, used)), set(addresses))
    for path, size in found.items():
        print(f"{readable(size):>10}  {path}")
    if remove:
        upkeep.remove(found)
    what = "removed" if remove else "are used by nothing in this study; `snakemake clean` removes them"
    print(f"{readable(sum(found.values()))} in {len(found)} stores {what}", flush=True)
