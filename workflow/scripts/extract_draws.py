"""Extract native maps of a shard's training images under noise draws 1…M."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake) as meter:
    from tqdm import tqdm

    from pixelherd.datasets.dataset import Dataset
    from pixelherd.features.extract import store_draws
    from pixelherd.features.maps import open_computed
    from pixelherd.features.settings import MapSettings
    from pixelherd.storage.shards import images_of
    from pixelherd.storage.stores import writing

    params = snakemake.params
    dataset = Dataset.open(Path(snakemake.input.dataset).parent)
    images, settings = images_of(snakemake.wildcards.shard), MapSettings(**params.settings)
    with (
        writing(Path(snakemake.output[0]).parent, {"images": len(images), "draws": params.draws}) as folder,
        tqdm(total=len(images), desc="extract draws", unit="image", disable=None) as bar,
    ):
        perturbed = open_computed(snakemake.input.backbone, dataset.train.images, settings, params.device)
        store_draws(folder, images, perturbed, params.draws, dataset.size, progress=bar.update)
    meter.forwards = perturbed.forwards
