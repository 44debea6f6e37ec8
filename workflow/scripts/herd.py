"""Herd the ordered lists of a shard's images."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake) as meter:
    from tqdm import tqdm

    from pixelherd.candidates import write_lists
    from pixelherd.datasets import Dataset
    from pixelherd.features import open_maps
    from pixelherd.shards import images_of
    from pixelherd.storage import writing

    split = Dataset.open(Path(snakemake.input.dataset).parent).train
    key = snakemake.wildcards.key.partition("-")[0]  # lists of other settings begin with the same candidates
    images = images_of(snakemake.wildcards.shard)
    maps_of = open_maps(
        snakemake.input.get("maps"),
        snakemake.input.get("backbone"),
        split.images,
        snakemake.params.settings,
        snakemake.params.device,
    )
    with writing(Path(snakemake.output[0]).parent, {"images": len(images)}) as folder:
        bar = tqdm(images, desc="herd", unit="image", disable=None)
        write_lists(folder, bar, split, maps_of, key, snakemake.params.candidates)
    meter.forwards = maps_of.forwards
