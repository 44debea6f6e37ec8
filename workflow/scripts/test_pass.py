"""Evaluate the heads of all pending runs on a shard of the test images, which the network sees once for all of them."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake) as meter:
    from tqdm import tqdm

    from pixelherd.compute.devices import resolve
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.features.maps import open_maps
    from pixelherd.features.settings import MapSettings
    from pixelherd.heads.evaluation import Tallies, tally
    from pixelherd.heads.network import load
    from pixelherd.storage.records import read_record
    from pixelherd.storage.shards import images_of

    files, params = snakemake.input, snakemake.params
    kept, wanted = Tallies(params.confusions, params.key), read_record(files.heads)["files"]
    missing = [head for head in wanted if head not in kept]
    if missing:
        dataset, images = Dataset.open(Path(files.dataset).parent), images_of(snakemake.wildcards.shard)
        truth = dataset.truth(files.get("original_labels"))
        settings = MapSettings(**params.settings)
        maps_of = open_maps(None, files.backbone, dataset.test.images, settings, params.device)
        heads = [load(path).to(resolve(params.device)) for path in missing]
        with tqdm(total=len(images), desc="evaluate", unit="image", disable=None) as bar:
            found = tally(heads, images, maps_of, truth, params.classes, progress=bar.update)
        kept.add(dict(zip(missing, found, strict=True)))
        meter.forwards = maps_of.forwards
    Tallies(snakemake.output[0], params.key).add({head: kept[head] for head in wanted})
