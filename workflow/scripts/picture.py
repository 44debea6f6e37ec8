"""Maps under noise draws 1…M of the training images that pictures show."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake) as meter:
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.features.extract import store_draws
    from pixelherd.features.maps import open_computed
    from pixelherd.features.settings import MapSettings
    from pixelherd.results.figures.thumbnails import pictured
    from pixelherd.storage.stores import writing

    dataset = Dataset.open(Path(snakemake.input.dataset).parent)
    positions = pictured(len(dataset.train), snakemake.params.pictures)
    draws, settings = snakemake.params.draws, MapSettings(**snakemake.params.settings)
    with writing(Path(snakemake.output[0]).parent, {"images": len(positions), "draws": draws}) as folder:
        perturbed = open_computed(snakemake.input.backbone, dataset.train.images, settings, snakemake.params.device)
        store_draws(folder, positions, perturbed, draws, dataset.size)
    meter.forwards = perturbed.forwards
