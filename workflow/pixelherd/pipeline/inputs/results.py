"""Inputs of what is made of runs: their evaluation, tables, masks of new images."""

from collections.abc import Iterable
from typing import Any

from pixelherd.errors import UserError
from pixelherd.pipeline.inputs.rounds import labels_until, made_again, stopping_until, train
from pixelherd.pipeline.inputs.shared import native_maps
from pixelherd.pipeline.inputs.stores import Files
from pixelherd.pipeline.inputs.work import Work
from pixelherd.pipeline.seals import read_seal
from pixelherd.study import stages
from pixelherd.study.addresses import address
from pixelherd.study.run import Run


def heads(work: Work, run: Run) -> list[str]:
    """Return the heads of all rounds of a run."""
    return work.paths.until(work.paths.head, run, work.study.rounds_of(run.method) - 1)


def evaluated_together(work: Work, dataset: str, features: str) -> list[Run]:
    """Return pending runs that share a pass of the network over the test images; those that wait lack heads."""
    ready = [run for run in work.pending if run not in work.waiting]
    return [run for run in ready if (run.dataset, run.features) == (dataset, features)]


def heads_evaluated_together(work: Work, dataset: str, features: str) -> list[str]:
    """Return the heads of those runs."""
    return [head for run in evaluated_together(work, dataset, features) for head in heads(work, run)]


def shards_of_passes(work: Work, dataset: str, features: str, group: str) -> list[str]:
    """Return the shards of passes over the test images that an index names."""
    where = {"dataset": dataset, "features": features, "group": group}
    names = work.addresses.shards("maps", dataset, features, "test")
    return [work.paths.test_pass.format(**where, shard=shard) for shard in names]


def test_pass(work: Work, dataset: str, features: str, group: str) -> Files:
    """Return what a pass over a shard of test images reads: one file of heads, or edges were shards times heads."""
    where = {"dataset": dataset, "features": features, "group": group}
    files: Files = {"dataset": work.dataset(dataset), **work.network(features)}
    if work.study.evaluates_originals(dataset):
        files["original_labels"] = work.original_labels(dataset)
    return files | {"heads": work.paths.pass_heads.format(**where)}


def passes(work: Work, run: Run) -> str:
    """Return the index of the passes that a run's metrics are added up from."""
    together = sorted(each.path for each in evaluated_together(work, run.dataset, run.features))
    where = {"dataset": run.dataset, "features": run.features}
    made_of = {"dataset": work.dataset(run.dataset), "backbone": work.backbone(run.features)}
    group = address(runs=together, rounds=work.study.rounds, **made_of)
    return work.paths.passes.format(**where, group=group)


def evaluate(work: Work, run: Run) -> Files:
    """Return what the evaluation of a run reads."""
    study, last = work.study, work.study.rounds_of(run.method) - 1
    has_tests = bool(work.images[run.dataset]["test"])
    needed: Files = {"dataset": work.dataset(run.dataset), "heads": heads(work, run), **made_again(work, run)}
    needed |= {"labels": labels_until(work, run, last), "stopping": stopping_until(work, run, last)}
    needed["sealed"] = sealed(work, run)
    if not work.keeps_maps(run.features) and has_tests:
        needed["passes"] = passes(work, run)
    elif study.evaluates_originals(run.dataset) and has_tests:
        needed["original_labels"] = work.original_labels(run.dataset)
    for split in work.splits(run.dataset):
        maps = native_maps(work, run.dataset, run.features, split)
        needed |= {f"{split}_{name}": path for name, path in maps.items()}
    if study.needs_draws(run.method) and study.pictures:
        needed["pictures"] = work.pictures(run)
    if study.score(run.method) != "full" and not study.trains_densely(run.method):
        # heads tell what they expected of later answers, fits without an image which of a person's contradict others
        vectors = train(work, run, last)
        needed |= {name: vectors[name] for name in ("context", "union", "vectors") if name in vectors}
    return needed


def sealed(work: Work, run: Run) -> list[str]:
    """Return what else a run's rounds leave: its seal speaks of them, and nothing else would make them again."""
    return left_by(work, run, work.pending.get(run, ()))


def left_by(work: Work, run: Run, rounds: Iterable[int], *, labels: bool = False) -> list[str]:
    """Return what rounds of a run leave besides heads, and besides labels if these are not asked for."""
    study, paths = work.study, work.paths
    every_round, later_rounds = [paths.training_log, paths.trained_digests], []
    if study.needs_samples(run.method):
        later_rounds = [paths.sampled_head, paths.sampled_log, paths.sampled_digests]
    if not study.needs_masks(run.method):
        every_round += [paths.answered_digests, paths.stopping_digests]
    elif study.score(run.method) != "full":
        every_round += [paths.queries, paths.scores, paths.correlations, paths.asked_digests]
    if labels and study.score(run.method) != "full":
        every_round.append(paths.labels)
    return [each.format(step=run.step(n)) for n in rounds for each in every_round + (later_rounds if n else [])]


def made_of(work: Work, run: Run) -> str:
    """Return the address of all that a run is made of."""
    return work.addresses.run(run)


def every_seal(work: Work) -> list[str]:
    """Return the seals of all runs but those that wait for a person."""
    return [work.paths.seal.format(run=run.path) for run in work.study.runs() if run not in work.waiting]


def reported(work: Work) -> Files:
    """Return what the report is made of, besides its template."""
    return {"seals": every_seal(work), "figures": work.paths.figures}


def every_page(work: Work) -> list[str]:
    """Return the pages that wait for a person, who waits for the network before the first answer and not after it.

    Who labels live has a page already.
    """
    if work.study.oracle == "log":
        return []
    pages = [work.paths.of_round(work.paths.page, run, number) for run, number in work.waiting.items()]
    drawn = {work.draws_index(run) for run in work.waiting if work.study.needs_listed_draws(run.method)}
    return pages + sorted(drawn)


def of_finished_runs(work: Work, *files: str | list[str]) -> Iterable[str | list[str]]:
    """Return files that are made of finished runs, if there will be any."""
    return files if every_seal(work) else []


def predicting(work: Work) -> tuple[Run, int]:
    """Return the run and round whose head predicts; of a run that waits for a person the last head that there is.

    Raises:
        UserError: there is no such head, or no folder of images is named.
    """
    study, run = work.study, work.study.predicting_run()
    made = work.waiting.get(run, study.rounds_of(run.method))
    number = made - 1 if study.predict.round is None else study.predict.round
    if not 0 <= number < made:
        raise UserError(f"predict.round: {run.path} has {made} heads so far, and none of round {max(number, 0)}")
    if study.predict.images is None:
        raise UserError("predict.images: name the folder of new images, --config 'predict={images: FOLDER}'")
    head = work.paths.of_round(work.paths.head, run, number)
    if run not in work.pending and not work.is_there(head):
        seal = work.paths.seal.format(run=run.path)
        raise UserError(f"predict.run: {head} is gone", remedy=f"to make the finished run again delete {seal}")
    return run, number


def mistake(work: Work) -> str | None:
    """Return why there is no head to predict with, for the job to tell if anybody asks for predictions."""
    try:
        predicting(work)
    except UserError as error:
        return str(error)
    return None


def predict(work: Work) -> Files:
    """Return the head that predicts, and its backbone; nothing where there is a :func:`mistake`."""
    if mistake(work):
        return {}
    run, number = predicting(work)
    return {"head": work.paths.of_round(work.paths.head, run, number), **work.network(run.features)}


def sealed_backbone(work: Work) -> str | None:
    """Return the digest of the backbone's files that the finished run that predicts was made with, if it is known."""
    if mistake(work):
        return None
    run, _ = predicting(work)
    return (read_seal(work.study.paths.run_folder(run)) or {}).get("backbone_sha256")


def prediction_settings(work: Work) -> dict[str, Any]:
    """Return the settings of the dataset and the maps of the run that predicts, as JSON."""
    if mistake(work):
        return {}
    run, _ = predicting(work)
    maps = stages.maps(work.study, run.dataset, run.features).model_dump(mode="json")
    return {"dataset": stages.preparation(work.study, run.dataset), "features": maps}


def classes(work: Work, dataset: str) -> int:
    """Return how many classes heads tell apart."""
    return len(stages.class_names(work.study, dataset))


def pictured_draws(work: Work, run: Run) -> list[int]:
    """Return how many noise draws are stored of each pictured image, and M."""
    return [work.study.features[run.features].draws, work.study.draws_of(run.method, run.features)]
