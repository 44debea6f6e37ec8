"""Extract native maps and context vectors of a shard."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake) as meter:
    from tqdm import tqdm

    from pixelherd.backbones import open_manifest
    from pixelherd.datasets import Dataset
    from pixelherd.devices import resolve
    from pixelherd.features import extract
    from pixelherd.shards import images_of
    from pixelherd.storage import writing

    settings = dict(snakemake.params.settings)
    dataset = Dataset.open(Path(snakemake.input.dataset).parent)
    backbone = open_manifest(snakemake.input.backbone, device=resolve(snakemake.params.device))
    images = images_of(snakemake.wildcards.shard)
    split = snakemake.wildcards.split
    with (
        writing(Path(snakemake.output[0]).parent, {"images": len(images)}) as folder,
        tqdm(total=len(images), desc="extract", unit="image", disable=None) as bar,
    ):
        extract(
            folder,
            images,
            getattr(dataset, split),
            backbone,
            settings,
            dataset.size,
            training=split == "train",
            progress=bar.update,
        )
    meter.forwards = backbone.forwards
