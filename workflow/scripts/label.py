"""A round's labels: the answers that a person gave to its queries."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pixelherd import oracle, queries
    from pixelherd.datasets import Dataset

    files, number = snakemake.input, snakemake.params.round
    dataset = Dataset.open(Path(files.dataset).parent)
    ids, width = dataset.train.ids, dataset.size[1]
    asked = queries.read([files.queries], queries.QUERY_COLUMNS, ids, width)
    pixels = oracle.read_asked(files.queries)
    labels = oracle.read_answers(files.answers, pixels, number, [each.name for each in dataset.classes])
    answered = queries.answer_by(asked, labels, files.answers)
    queries.write(snakemake.output[0], queries.LABEL_COLUMNS, number, answered, ids, width)
