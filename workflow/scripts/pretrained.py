"""Train a backbone on a dataset's unlabelled training images."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pixelherd.backbones import manifest
    from pixelherd.backbones.settings import PretrainingSettings
    from pixelherd.datasets import Dataset
    from pixelherd.devices import resolve
    from pixelherd.pretraining import pretrain
    from pixelherd.storage import write_json

    folder = Path(snakemake.output[0]).parent
    dataset = Dataset.open(Path(snakemake.input.dataset).parent)
    settings = PretrainingSettings(**snakemake.params.settings)
    pretrain(dataset.train.images[:], settings, folder, device=resolve(snakemake.params.device))
    write_json(snakemake.output[0], manifest(folder))
