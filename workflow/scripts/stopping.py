"""How far a round's head agrees with the one before on the training images."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pixelherd import head, queries, stopping
    from pixelherd.datasets import Dataset
    from pixelherd.shards import Shards

    files = snakemake.input
    dataset = Dataset.open(Path(files.dataset).parent)
    labels = queries.read(files.labels, queries.LABEL_COLUMNS, dataset.train.ids, dataset.size[1]).values
    context = Shards.open(files.context)
    vectors = (context.image("context", image) for image in range(len(context)))
    before = head.load(files.before) if files.get("before") else None
    found = stopping.stability(head.load(files.head), before, vectors)
    cannot_tell = int((labels == queries.CANNOT_TELL).sum())
    stopping.write(snakemake.output[0], snakemake.params.round, len(labels) - cannot_tell, cannot_tell, found)
