"""Herd the ordered lists of a shard's images."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake) as meter:
    from tqdm import tqdm

    from pixelherd.datasets.dataset import Dataset
    from pixelherd.features.maps import open_maps
    from pixelherd.features.settings import MapSettings
    from pixelherd.selection.coverage.lists import write_lists
    from pixelherd.selection.settings import ListSettings
    from pixelherd.storage.shards import images_of
    from pixelherd.storage.stores import writing

    files, params = snakemake.input, snakemake.params
    split = Dataset.open(Path(files.dataset).parent).train
    key = snakemake.wildcards.key.partition("-")[0]  # lists of other settings begin with the same candidates
    images = images_of(snakemake.wildcards.shard)
    settings = MapSettings(**params.settings)
    maps_of = open_maps(files.get("maps"), files.get("backbone"), split.images, settings, params.device)
    with writing(Path(snakemake.output[0]).parent, {"images": len(images)}) as folder:
        bar = tqdm(images, desc="herd", unit="image", disable=None)
        write_lists(folder, bar, split, maps_of, key, ListSettings(**params.candidates))
    meter.forwards = maps_of.forwards
