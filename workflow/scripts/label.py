"""Answer a round's queries, from the masks or by a person's file."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    from pixelherd import oracle, queries
    from pixelherd.datasets import Dataset

    files, number = snakemake.input, snakemake.params.round
    dataset = Dataset.open(Path(files.dataset).parent)
    train, width = dataset.train, dataset.size[1]
    asked = queries.read([files.queries], queries.QUERY_COLUMNS, train.ids, width)
    if files.get("answers"):
        pixels = oracle.read_asked(files.queries)
        labels = oracle.read_answers(files.answers, pixels, number, [each.name for each in dataset.classes])
        answered = queries.answer_by(asked, labels, files.answers)
    else:
        answered = queries.answer(asked, train.labels)
    queries.write(snakemake.output[0], queries.LABEL_COLUMNS, number, answered, train.ids, width)
