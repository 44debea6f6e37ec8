"""Inputs of a run's rounds: pool, ranks, queries, answers, heads."""

from pixelherd.pipeline import seals
from pixelherd.pipeline.inputs.shared import native_maps
from pixelherd.pipeline.inputs.work import Files, Work
from pixelherd.study import stages
from pixelherd.study.run import Run


def labels_until(work: Work, run: Run, last: int) -> list[str]:
    """Return the answers of rounds 0…last; the reference asks nothing."""
    return [] if work.study.score(run.method) == "full" else work.paths.until(work.paths.labels, run, last)


def made_again(work: Work, run: Run, number: int | None = None) -> Files:
    """Return what a round, or the evaluation, must be newer than, if other settings finished the run before."""
    first = work.again.get(run)
    if first is None or (number is not None and number < first):
        return {}
    return {"mark": str(seals.mark_of(work.study, run))}


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
    union, dataset = work.at(work.paths.union, run), work.at(work.paths.dataset, run)
    return {"dataset": dataset, "union": union, "labels": labels_until(work, run, number - 1)}


def rank(work: Work, run: Run, number: int, shard: str) -> Files:
    """Return what a single-stage score of a shard's pixels reads."""
    study, paths = work.study, work.paths
    draws, kept = study.needs_draws(run.method), work.kept_draws[run.dataset, run.features] > 0
    needed: Files = {"dataset": work.at(paths.dataset, run), "labels": labels_until(work, run, number - 1)}
    needed |= heads_before(work, run, number)
    if work.keeps_maps(run.features):
        needed["maps"] = work.at(paths.maps, run, split="train", shard=shard)
    if draws and kept:
        needed["draw_maps"] = work.at(paths.draw_maps, run, shard=shard)
    if not work.keeps_maps(run.features) or (draws and not kept):
        needed["backbone"] = work.at(paths.backbone, run)
    return needed


def score(work: Work, run: Run, number: int) -> Files:
    """Return what the queries of a round are chosen from."""
    study, paths = work.study, work.paths
    labels = labels_until(work, run, number - 1)
    needed: Files = {"dataset": work.at(paths.dataset, run), "labels": labels, **made_again(work, run, number)}
    if study.is_single_stage(run.method) and number > 0:
        step, names = run.step(number), work.shards(run.dataset, "train")
        union = work.at(paths.union, run)
        ranks = [paths.ranks.format(step=step, shard=shard) for shard in names]
        return needed | {"ranks": ranks, "union": union} | heads_before(work, run, number)
    if study.needs_lists(run.method):
        needed["union"] = work.at(paths.union, run)
    else:
        needed["context"] = work.at(paths.maps_index, run, split="train")
    if number == 0:
        return needed
    if study.is_two_stage(run.method):
        needed["pool"] = paths.of_round(paths.pool, run, number)
    if study.needs_listed_draws(run.method):
        needed["draws"] = work.at(paths.draws_index, run)
    return needed | heads_before(work, run, number)


def vectors(work: Work, run: Run) -> Files:
    """Return what the vectors of a round's labelled pixels are taken from, besides its labels."""
    return {"dataset": work.at(work.paths.dataset, run)} | native_maps(work, run.dataset, run.features, "train")


def train(work: Work, run: Run, number: int) -> Files:
    """Return labels of rounds 0…number, and the features of their pixels."""
    study, paths = work.study, work.paths
    labels = labels_until(work, run, number)
    needed: Files = {"dataset": work.at(paths.dataset, run), "labels": labels, **made_again(work, run, number)}
    if study.trains_densely(run.method):
        return needed | native_maps(work, run.dataset, run.features, "train")
    needed["context"] = work.at(paths.maps_index, run, split="train")
    if study.is_single_stage(run.method):
        needed["vectors"] = [paths.vectors.format(answered=run.step(each)) for each in range(number + 1)]
    elif study.needs_lists(run.method):
        needed["union"] = work.at(paths.union, run)
    return needed


def train_sampled(work: Work, run: Run, number: int) -> Files:
    """Return what the round before was trained on: the head that is sampled ranks this round's pixels."""
    return train(work, run, number - 1)


def stopping(work: Work, run: Run, number: int) -> Files:
    """Return what tells a person how far predictions have settled."""
    paths = work.paths
    needed: Files = {"dataset": work.at(paths.dataset, run), "labels": labels_until(work, run, number)}
    needed |= {
        "context": work.at(paths.maps_index, run, split="train"),
        "head": paths.of_round(paths.head, run, number),
    }
    return needed | ({"before": paths.of_round(paths.head, run, number - 1)} if number else {})


def stopping_until(work: Work, run: Run, last: int) -> list[str]:
    """Return how far predictions had settled in rounds 0…last, where a person labels."""
    return [] if work.study.needs_masks(run.method) else work.paths.until(work.paths.stopping, run, last)


def annotate(work: Work, run: Run, number: int) -> Files:
    """Return what a page shows: queries, how the head of the round before sees their images, how it came about."""
    paths = work.paths
    needed: Files = {"dataset": work.at(paths.dataset, run), "queries": paths.of_round(paths.queries, run, number)}
    if number > 0:
        needed["head"] = paths.of_round(paths.head, run, number - 1)
        needed |= native_maps(work, run.dataset, run.features, "train")
        needed["stopping"] = stopping_until(work, run, number - 1)
        needed["labels"] = labels_until(work, run, number - 1)
    return needed


def label(work: Work, run: Run, number: int) -> Files:
    """Return a round's queries and a person's answers."""
    paths = work.paths
    queries, answers = (paths.of_round(each, run, number) for each in (paths.queries, paths.answers))
    return {"dataset": work.at(paths.dataset, run), "queries": queries, "answers": answers}


def trains_densely(work: Work, run: Run) -> bool:
    """Return whether heads of the run see every pixel of their batches' images."""
    return work.study.trains_densely(run.method)


def checkpoint(work: Work, run: Run, number: int) -> str:
    """Return where a training notes how far it is."""
    identity = stages.identity(work.study, run)[:12]
    return work.paths.checkpoint.format(step=run.step(number), identity=identity)


def sampled_checkpoint(work: Work, run: Run, number: int) -> str:
    """Return where the training of a head that is sampled notes how far it is."""
    identity = stages.identity(work.study, run)[:12]
    return work.paths.checkpoint.format(step=run.step(number), identity=f"{identity}-sampled")
