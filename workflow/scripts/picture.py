"""Maps under noise draws 1…M of the training images that pictures show."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake) as meter:
    from pixelherd.compute.devices import resolve
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.features.backbones.manifest import open_manifest
    from pixelherd.features.extract import store_draws
    from pixelherd.features.maps import ComputedMaps
    from pixelherd.features.settings import MapSettings
    from pixelherd.results.figures.thumbnails import pictured
    from pixelherd.storage.stores import writing

    dataset = Dataset.open(Path(snakemake.input.dataset).parent)
    backbone = open_manifest(snakemake.input.backbone, device=resolve(snakemake.params.device))
    positions = pictured(len(dataset.train), snakemake.params.pictures)
    draws, settings = snakemake.params.draws, MapSettings(**snakemake.params.settings)
    with writing(Path(snakemake.output[0]).parent, {"images": len(positions), "draws": draws}) as folder:
        perturbed = ComputedMaps(backbone, dataset.train.images, settings)
        store_draws(folder, positions, perturbed, draws, dataset.size)
    meter.forwards = backbone.forwards
