"""Vectors of noise draws 1…M at the listed pixels of a shard."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake) as meter:
    from tqdm import tqdm

    from pixelherd.datasets.dataset import Dataset
    from pixelherd.features.extract import write_draws
    from pixelherd.features.maps import open_draws
    from pixelherd.features.settings import MapSettings
    from pixelherd.storage.shards import Shards, images_of
    from pixelherd.storage.stores import writing

    files, params = snakemake.input, snakemake.params
    dataset = Dataset.open(Path(files.dataset).parent)
    images = images_of(snakemake.wildcards.shard)
    stored, backbone = files.get("draw_maps"), files.get("backbone")
    settings = MapSettings(**params.settings)
    perturbed = open_draws(stored, backbone, dataset.train.images, settings, params.device)
    with (
        writing(Path(snakemake.output[0]).parent, {"images": len(images)}) as folder,
        tqdm(total=len(images), desc="perturb", unit="image", disable=None) as bar,
    ):
        lists = Shards.open(files.lists)
        write_draws(folder, images, lists, perturbed, params.draws, dataset.size, progress=bar.update)
    meter.forwards = perturbed.forwards
