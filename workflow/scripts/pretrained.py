"""Train a backbone on a dataset's unlabelled training images."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.compute.devices import resolve
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.features.backbones.manifest import manifest
    from pixelherd.features.backbones.pretraining import pretrain
    from pixelherd.features.backbones.settings import PretrainingSettings
    from pixelherd.storage.records import write_record

    folder = Path(snakemake.output[0])
    dataset = Dataset.open(Path(snakemake.input.dataset).parent)
    settings = PretrainingSettings(**snakemake.params.settings)
    device, checkpoint = resolve(snakemake.params.device), folder.with_name("checkpoint.pt")
    pretrain(dataset.train.images[:], settings, folder, device=device, checkpoint=checkpoint)
    write_record(snakemake.output[1], manifest(folder), folder.parent.name)
