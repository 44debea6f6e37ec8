"""Answer a round's queries from the masks."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pixelherd import queries
    from pixelherd.datasets import Dataset

    dataset = Dataset.open(Path(snakemake.input.dataset).parent)
    train, width = dataset.train, dataset.size[1]
    asked = queries.read([snakemake.input.queries], queries.QUERY_COLUMNS, train.ids, width)
    answered = queries.answer(asked, train.labels)
    queries.write(snakemake.output[0], queries.LABEL_COLUMNS, snakemake.params.round, answered, train.ids, width)
