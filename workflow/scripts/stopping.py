"""How far a round's head agrees with the one before on the training images."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.annotation import stopping
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.datasets.pixels import CANNOT_TELL, LABEL_COLUMNS, read_pixels
    from pixelherd.heads import network
    from pixelherd.storage.records import write_digests
    from pixelherd.storage.shards import Shards

    files = snakemake.input
    dataset = Dataset.open(Path(files.dataset).parent)
    labels = read_pixels(files.labels, LABEL_COLUMNS, dataset.train.ids, dataset.size[1]).values
    context = Shards.open(files.context)
    vectors = (context.image("context", image) for image in range(len(context)))
    before = network.load(files.before) if files.get("before") else None
    found = stopping.stability(network.load(files.head), before, vectors)
    cannot_tell = int((labels == CANNOT_TELL).sum())
    stopping.write(snakemake.output[0], snakemake.params.round, len(labels) - cannot_tell, cannot_tell, found)
    write_digests(snakemake.output[1], [snakemake.output[0]])
