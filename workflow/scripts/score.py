"""Stage 2 of a round: the pixels to label, and their labels where masks answer."""

from pathlib import Path

from pixelherd.pipeline.job import job

with job(snakemake):
    import numpy as np

    from pixelherd.datasets.dataset import Dataset
    from pixelherd.datasets.pixels import LABEL_COLUMNS, QUERY_COLUMNS, answer, read_pixels, write_pixels
    from pixelherd.heads import network
    from pixelherd.selection import choose, rankings
    from pixelherd.selection.coverage.union import read_union
    from pixelherd.selection.settings import Round, SelectionSettings
    from pixelherd.selection.single_stage import Best
    from pixelherd.storage.shards import Shards

    files, number = snakemake.input, snakemake.params.round
    settings, dataset = SelectionSettings(**snakemake.params.settings), Dataset.open(Path(files.dataset).parent)
    train, width = dataset.train, dataset.size[1]
    labelled = read_pixels(files.get("labels", []), LABEL_COLUMNS, train.ids, width)
    current = Round(number, settings.pixels(len(train)), labelled, settings)
    before, dropout_head = (network.load(files[name]) if files.get(name) else None for name in ("head", "dropout_head"))
    if files.get("ranks"):
        best = Best.of([Best.read(path) for path in files.ranks], current.budget)
        chosen, ranking = best.queries(current.budget)
    elif files.get("context"):
        chosen, ranking = choose.at_random(Shards.open(files.context), train.labels, current), rankings.Ranking()
    elif files.get("pool"):
        union, rows = read_union(Path(files.union).parent), np.load(files.pool)
        draws = Shards.open(files.draws) if files.get("draws") else None
        chosen, ranking = choose.by_score(union, rows, current, before, draws=draws, dropout_head=dropout_head)
    else:
        chosen, ranking = choose.together(read_union(Path(files.union).parent), current, before), rankings.Ranking()
    write_pixels(snakemake.output.queries, QUERY_COLUMNS, number, chosen, train.ids, width)
    if labels := snakemake.output.get("labels"):
        write_pixels(labels, LABEL_COLUMNS, number, answer(chosen, train.labels), train.ids, width)
    rankings.write_scores(snakemake.output.scores, number, ranking)
    rankings.write_correlations(snakemake.output.correlations, number, ranking)
