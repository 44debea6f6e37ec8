"""Maps under noise draws 1…M of the training images that pictures show."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake) as meter:
    from pixelherd.backbones import open_manifest
    from pixelherd.datasets import Dataset
    from pixelherd.devices import resolve
    from pixelherd.features import ComputedMaps, store_draws
    from pixelherd.pictures import pictured
    from pixelherd.storage import writing

    dataset = Dataset.open(Path(snakemake.input.dataset).parent)
    backbone = open_manifest(snakemake.input.backbone, device=resolve(snakemake.params.device))
    positions = pictured(len(dataset.train), snakemake.params.pictures)
    draws = snakemake.params.draws
    with writing(Path(snakemake.output[0]).parent, {"images": len(positions), "draws": draws}) as folder:
        perturbed = ComputedMaps(backbone, dataset.train.images, snakemake.params.settings)
        store_draws(folder, positions, perturbed, draws, dataset.size)
    meter.forwards = backbone.forwards
