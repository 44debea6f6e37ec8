"""Inputs of a run's rounds: pool, ranks, queries, answers, heads."""

from pixelherd.pipeline import marks
from pixelherd.pipeline.inputs.shared import native_maps, same_images
from pixelherd.pipeline.inputs.stores import Files
from pixelherd.pipeline.inputs.work import Work
from pixelherd.study.run import Run


def labels_until(work: Work, run: Run, last: int) -> list[str]:
    """Return the answers of rounds 0…last; the reference asks nothing."""
    return [] if work.study.score(run.method) == "full" else work.paths.until(work.paths.labels, run, last)


def made_again(work: Work, run: Run, number: int | None = None) -> Files:
    """Return what a round, or the evaluation, must be newer than, if other settings finished the run before."""
    first = work.again.get(run)
    if first is None or (number is not None and number < first):
        return {}
    return {"mark": str(marks.mark_of(work.study, run))}


def heads_before(work: Work, run: Run, number: int) -> Files:
    """Return the heads that a round asks: of the round before, and one to sample that learnt the same labels."""
    needed: Files = {}
    if work.study.needs_head(run.method):
        needed["head"] = work.paths.of_round(work.paths.head, run, number - 1)
    if work.study.needs_samples(run.method):
        needed["sampled_head"] = work.paths.of_round(work.paths.sampled_head, run, number)
    return needed


def pool(work: Work, run: Run, number: int) -> Files:
    """Return what stage 1 of a round reads."""
    union, dataset = work.union(run), work.dataset(run.dataset)
    return {"dataset": dataset, "union": union, "labels": labels_until(work, run, number - 1)}


def rank(work: Work, run: Run, number: int, shard: str) -> Files:
    """Return what a single-stage score of a shard's pixels reads."""
    study = work.study
    draws, kept = study.needs_draws(run.method), work.kept_draws[run.dataset, run.features] > 0
    needed: Files = {"dataset": work.dataset(run.dataset), "labels": labels_until(work, run, number - 1)}
    needed |= heads_before(work, run, number)
    if work.keeps_maps(run.features):
        needed["maps"] = same_images(work, work.maps(run.dataset, run.features, "train"), shard)
    if draws and kept:
        needed["draw_maps"] = same_images(work, work.draw_maps(run.dataset, run.features), shard)
    if not work.keeps_maps(run.features) or (draws and not kept):
        needed |= work.network(run.features)
    return needed


def score(work: Work, run: Run, number: int) -> Files:
    """Return what the queries of a round are chosen from."""
    study, paths = work.study, work.paths
    labels = labels_until(work, run, number - 1)
    needed: Files = {"dataset": work.dataset(run.dataset), "labels": labels, **made_again(work, run, number)}
    if study.is_single_stage(run.method) and number > 0:
        union, names = work.union(run), work.addresses.shards("maps", run.dataset, run.features, "train")
        ranks = [work.left(paths.ranks, run, number, shard=shard) for shard in names]
        return needed | {"ranks": ranks, "union": union} | heads_before(work, run, number)
    if study.needs_lists(run.method):
        needed["union"] = work.union(run)
    else:
        needed["context"] = work.maps_index(run.dataset, run.features, "train")
    if number == 0:
        return needed
    if study.is_two_stage(run.method):
        needed["pool"] = work.left(paths.pool, run, number)
    if study.needs_listed_draws(run.method):
        needed["draws"] = work.draws_index(run)
    return needed | heads_before(work, run, number)


def vectors(work: Work, run: Run) -> Files:
    """Return what the vectors of a round's labelled pixels are taken from, besides its labels."""
    return {"dataset": work.dataset(run.dataset)} | native_maps(work, run.dataset, run.features, "train")


def train(work: Work, run: Run, number: int) -> Files:
    """Return labels of rounds 0…number, and the features of their pixels."""
    study = work.study
    labels = labels_until(work, run, number)
    needed: Files = {"dataset": work.dataset(run.dataset), "labels": labels, **made_again(work, run, number)}
    if study.trains_densely(run.method):
        return needed | native_maps(work, run.dataset, run.features, "train")
    needed["context"] = work.maps_index(run.dataset, run.features, "train")
    if study.labels_anywhere(run.method):
        needed["vectors"] = [work.vectors(run, each) for each in range(number + 1)]
    elif study.needs_lists(run.method):
        needed["union"] = work.union(run)
    return needed


def train_sampled(work: Work, run: Run, number: int) -> Files:
    """Return what the round before was trained on: the head that is sampled ranks this round's pixels."""
    return train(work, run, number - 1)


def stopping(work: Work, run: Run, number: int) -> Files:
    """Return what tells a person how far predictions have settled."""
    paths = work.paths
    needed: Files = {"dataset": work.dataset(run.dataset), "labels": labels_until(work, run, number)}
    needed |= {
        "context": work.maps_index(run.dataset, run.features, "train"),
        "head": paths.of_round(paths.head, run, number),
    }
    return needed | ({"before": paths.of_round(paths.head, run, number - 1)} if number else {})


def stopping_until(work: Work, run: Run, last: int) -> list[str]:
    """Return how far predictions had settled in rounds 0…last, where a person labels."""
    return [] if work.study.needs_masks(run.method) else work.paths.until(work.paths.stopping, run, last)


def annotate(work: Work, run: Run, number: int) -> Files:
    """Return what a page shows: queries, how the head of the round before sees their images, how it came about."""
    paths = work.paths
    needed: Files = {"dataset": work.dataset(run.dataset), "queries": paths.of_round(paths.queries, run, number)}
    if number > 0:
        needed["head"] = paths.of_round(paths.head, run, number - 1)
        needed |= native_maps(work, run.dataset, run.features, "train")
        needed["stopping"] = stopping_until(work, run, number - 1)
        needed["labels"] = labels_until(work, run, number - 1)
    return needed


def answer(work: Work, run: Run, number: int) -> Files:
    """Return a round's queries, unless the study chooses nothing, and a person's answers."""
    paths = work.paths
    queries, answers = (paths.of_round(each, run, number) for each in (paths.queries, paths.answers))
    needed: Files = {"dataset": work.dataset(run.dataset), "answers": answers, **made_again(work, run, number)}
    return needed | ({"queries": queries} if work.study.chooses(run.method) else {})


def trains_densely(work: Work, run: Run) -> bool:
    """Return whether heads of the run see every pixel of their batches' images."""
    return work.study.trains_densely(run.method)


def checkpoint(work: Work, run: Run, number: int) -> str:
    """Return where a training notes how far it is."""
    return work.left(work.paths.checkpoint, run, number)


def sampled_checkpoint(work: Work, run: Run, number: int) -> str:
    """Return where the training of a head that is sampled notes how far it is."""
    return work.left(work.paths.sampled_checkpoint, run, number)
