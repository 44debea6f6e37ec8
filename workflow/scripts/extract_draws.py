"""Extract native maps of a shard's training images under noise draws 1…M."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake) as meter:
    from tqdm import tqdm

    from pixelherd.backbones import open_manifest
    from pixelherd.datasets import Dataset
    from pixelherd.devices import resolve
    from pixelherd.features import ComputedMaps, store_draws
    from pixelherd.shards import images_of
    from pixelherd.storage import writing

    params = snakemake.params
    dataset = Dataset.open(Path(snakemake.input.dataset).parent)
    backbone = open_manifest(snakemake.input.backbone, device=resolve(params.device))
    images = images_of(snakemake.wildcards.shard)
    with (
        writing(Path(snakemake.output[0]).parent, {"images": len(images), "draws": params.draws}) as folder,
        tqdm(total=len(images), desc="extract draws", unit="image", disable=None) as bar,
    ):
        perturbed = ComputedMaps(backbone, dataset.train.images, params.settings)
        store_draws(folder, images, perturbed, params.draws, dataset.size, progress=bar.update)
    meter.forwards = backbone.forwards
