"""Extract native maps and context vectors of a shard."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake) as meter:
    from tqdm import tqdm

    from pixelherd.datasets.dataset import Dataset
    from pixelherd.features.backbones.manifest import identity
    from pixelherd.features.extract import write_features
    from pixelherd.features.maps import open_computed
    from pixelherd.features.settings import MapSettings
    from pixelherd.storage.records import read_record
    from pixelherd.storage.shards import images_of
    from pixelherd.storage.stores import writing

    dataset = Dataset.open(Path(snakemake.input.dataset).parent)
    images = images_of(snakemake.wildcards.shard)
    facts = {"images": len(images), "network": identity(read_record(snakemake.input.backbone))}
    split = getattr(dataset, snakemake.wildcards.split)
    settings = MapSettings(**snakemake.params.settings)
    computed = open_computed(snakemake.input.backbone, split.images, settings, snakemake.params.device)
    with (
        writing(Path(snakemake.output[0]).parent, facts) as folder,
        tqdm(total=len(images), desc="extract", unit="image", disable=None) as bar,
    ):
        training = split is dataset.train
        write_features(folder, images, split, computed, dataset.size, training=training, progress=bar.update)
    meter.forwards = computed.forwards
