"""Vectors of noise draws 1…M at the listed pixels of a shard."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake) as meter:
    from tqdm import tqdm

    from pixelherd.backbones import open_manifest
    from pixelherd.datasets import Dataset
    from pixelherd.devices import resolve
    from pixelherd.features import write_draws
    from pixelherd.shards import Shards, images_of
    from pixelherd.storage import writing

    dataset = Dataset.open(Path(snakemake.input.dataset).parent)
    backbone = open_manifest(snakemake.input.backbone, device=resolve(snakemake.params.device))
    images = images_of(snakemake.wildcards.shard)
    with (
        writing(Path(snakemake.output[0]).parent, {"images": len(images)}) as folder,
        tqdm(total=len(images), desc="perturb", unit="image", disable=None) as bar,
    ):
        write_draws(
            folder,
            images,
            dataset.train,
            Shards.open(snakemake.input.lists),
            backbone,
            snakemake.params.settings,
            snakemake.params.draws,
            dataset.size,
            progress=bar.update,
        )
    meter.forwards = backbone.forwards
