"""Stage 2 of a round: the pixels to label, and their labels where masks answer."""

from pathlib import Path

from pixelherd.job import job

with job(snakemake):
    import numpy as np

    from pixelherd import head, queries, rankings, selection
    from pixelherd.budget import pixels_a_round
    from pixelherd.candidates import read_union
    from pixelherd.datasets import Dataset
    from pixelherd.shards import Shards
    from pixelherd.single_stage import Best

    settings, number, files = snakemake.params.settings, snakemake.params.round, snakemake.input
    dataset = Dataset.open(Path(files.dataset).parent)
    train, width = dataset.train, dataset.size[1]
    budget = pixels_a_round(settings["budget"], len(train))
    labelled = queries.read(files.get("labels", []), queries.LABEL_COLUMNS, train.ids, width)
    ranking = rankings.Ranking()
    before, dropout_head = (head.load(files[name]) if files.get(name) else None for name in ("head", "dropout_head"))
    if files.get("ranks"):
        best = Best.of([Best.read(path) for path in files.ranks], budget)
        chosen, ranking = best.queries(budget)
    elif files.get("context"):
        context = Shards.open(files.context)
        chosen = selection.at_random(context, train.labels, labelled, budget, number, settings)
    elif files.get("pool"):
        union, rows = read_union(Path(files.union).parent), np.load(files.pool)
        draws = Shards.open(files.draws) if files.get("draws") else None
        chosen, ranking = selection.by_score(union, rows, draws, before, budget, number, settings, dropout_head)
    else:
        union = read_union(Path(files.union).parent)
        rows = union.rows_of(labelled.images, labelled.flat)
        chosen = selection.together(union, rows, budget, number, settings, before)
    queries.write(snakemake.output.queries, queries.QUERY_COLUMNS, number, chosen, train.ids, width)
    if labels := snakemake.output.get("labels"):
        answered = queries.answer(chosen, train.labels)
        queries.write(labels, queries.LABEL_COLUMNS, number, answered, train.ids, width)
    rankings.write_scores(snakemake.output.scores, number, ranking)
    rankings.write_correlations(snakemake.output.correlations, number, ranking)
