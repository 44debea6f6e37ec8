"""Stage 2 of a round: the pixels to label, and their labels where masks answer."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    from pixelherd.datasets.dataset import Dataset
    from pixelherd.datasets.pixels import LABEL_COLUMNS, QUERY_COLUMNS, answer_as, read_pixels, write_pixels
    from pixelherd.heads import network
    from pixelherd.selection import choose, rankings
    from pixelherd.selection.coverage.union import read_union
    from pixelherd.selection.rules.offer import Offer
    from pixelherd.selection.settings import Round, SelectionSettings
    from pixelherd.selection.single_stage import Best
    from pixelherd.storage import records, shards, stores

    files, made, params, number = snakemake.input, snakemake.output, snakemake.params, snakemake.params.round
    settings, dataset = SelectionSettings(**params.settings), Dataset.open(Path(files.dataset).parent)
    train, width = dataset.train, dataset.size[1]
    labelled = read_pixels(files.get("labels", []), LABEL_COLUMNS, train.ids, width)
    current = Round(number, settings.pixels(len(train)), labelled, settings)
    head, sampled = (network.load_any(files[name]) if files.get(name) else None for name in ("head", "sampled_head"))
    head = head if head and head.known.sum() > 1 else None  # one that knows one class is sure of it everywhere
    union, ranking = read_union(Path(files.union).parent) if files.get("union") else None, rankings.Ranking()
    if files.get("context"):
        chosen = choose.at_random(shards.Shards.open(files.context), train.labels, current)
    elif head and files.get("ranks"):
        chosen, ranking = Best.of(map(Best.read, files.ranks), current.budget).queries(current.budget)
    elif head and files.get("pool"):
        rows, draws = stores.load_arrays(files.pool)["rows"], files.get("draws") and shards.Shards.open(files.draws)
        chosen, ranking = choose.by_score(union, rows, current, head, sampled, draws=draws)
    else:
        chosen = choose.together(Offer(union, current, len(params.known_as), head))
    write_pixels(made.queries, QUERY_COLUMNS, number, chosen, train.ids, width)
    if labels := made.get("labels"):
        answered = answer_as(settings.annotator, chosen, train.labels, train.ids, len(params.known_as), settings.seed)
        write_pixels(labels, LABEL_COLUMNS, number, answered, train.ids, width)
    rankings.write(made.scores, made.correlations, number, ranking)
    records.write_digests(made.digests, made[:-1], classes=params.known_as)  # of all but itself
