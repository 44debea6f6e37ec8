"""A round's labels: the answers that a person gave to its queries, or chose to give while labelling live."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.annotation import log, oracle
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.datasets.pixels import LABEL_COLUMNS, QUERY_COLUMNS, answer_by, read_pixels, write_pixels
    from pixelherd.storage.records import write_digests

    files, params, number = snakemake.input, snakemake.params, snakemake.params.round
    dataset = Dataset.open(Path(files.dataset).parent)
    ids, width = dataset.train.ids, dataset.size[1]
    if files.get("queries"):
        asked = read_pixels([files.queries], QUERY_COLUMNS, ids, width)
        pixels = oracle.read_asked(files.queries)
        numbers = oracle.asked_keys(files.queries)
        labels = oracle.read_answers(files.answers, pixels, number, params.classes, params.known_as, numbers)
        answered = answer_by(asked, labels, files.answers)
    else:
        answered = log.read_round(files.answers, number, ids, dataset.size, len(params.classes))
    write_pixels(snakemake.output.labels, LABEL_COLUMNS, number, answered, ids, width)
    write_digests(snakemake.output.digests, [snakemake.output.labels])
