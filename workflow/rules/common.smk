# The study, its paths, the wildcards, and what the rules look up. No rule is defined here.

import atexit
import functools
import sys
from contextlib import chdir
from pathlib import Path

from pixelherd import exchange, oracle, plan, sealing, session, shards
from pixelherd.errors import UserError
from pixelherd.study import Pretrained, Run, Study, hash_of


def in_one_line(function, *arguments):
    """Call, and show a user's mistake without a traceback."""
    try:
        return function(*arguments)
    except UserError as error:
        raise WorkflowError(str(error)) from None


STUDY = in_one_line(Study.read, config)

SESSION = session.Session()
if workflow.is_main_process:
    SESSION.claim()

# Jobs that gain by a GPU ask for one; where there is none they compute on the CPU.
GPU = 0 if STUDY.device == "cpu" else 1

CACHE = STUDY.cache
RESULTS = STUDY.results

DATASET = f"{CACHE}/datasets/{{dataset}}/manifest.json"
ORIGINAL_LABELS = f"{CACHE}/original_labels/{{dataset}}/manifest.json"
PRETRAINED = f"{CACHE}/pretrained/{{name}}/manifest.json"
BACKBONE = f"{CACHE}/backbones/{{features}}.json"
FEATURES_FOLDER = f"{CACHE}/features/{{dataset}}/{{features}}"
FEATURES = f"{FEATURES_FOLDER}/{{split}}/{{shard}}/manifest.json"
FEATURES_INDEX = f"{FEATURES_FOLDER}/{{split}}/index.json"
DRAW_MAPS = f"{CACHE}/draw_maps/{{dataset}}/{{features}}/{{shard}}/manifest.json"
PICTURES = f"{FEATURES_FOLDER}/pictures/manifest.json"
LISTS_FOLDER = f"{CACHE}/lists/{{dataset}}/{{features}}/seed-{{key}}"
LISTS = f"{LISTS_FOLDER}/{{shard}}/manifest.json"
UNION = f"{LISTS_FOLDER}/union-{{listed}}/manifest.json"
DRAWS_FOLDER = f"{CACHE}/draws/{{dataset}}/{{features}}/seed-{{key}}"
DRAWS = f"{DRAWS_FOLDER}/{{shard}}/manifest.json"
DRAWS_INDEX = f"{DRAWS_FOLDER}/index.json"
PASSES_FOLDER = f"{CACHE}/passes/{{dataset}}/{{features}}/{{group}}"
PASS_HEADS = f"{PASSES_FOLDER}/heads.json"
PASS = f"{PASSES_FOLDER}/{{shard}}.json"
PASSES = f"{PASSES_FOLDER}/index.json"
CONFUSIONS = f"{CACHE}/confusions/{{dataset}}/{{features}}/{{shard}}.npz"
POOL = f"{CACHE}/pools/{{step}}.npy"
RANKS = f"{CACHE}/ranks/{{step}}/{{shard}}.npz"
VECTORS = f"{CACHE}/vectors/{{answered}}.npy"
ROUND = f"{RESULTS}/runs/{{step}}"
LABELS = f"{ROUND}/labels.csv"
RUN = f"{RESULTS}/runs/{{run}}"
STOPPING = f"{ROUND}/stopping.csv"
ANNOTATION = f"{RESULTS}/annotation/{{step}}"
PAGE, ANSWERS, ASKED = (f"{ANNOTATION}/{name}" for name in (oracle.PAGE, oracle.ANSWERS, oracle.ASKED))

TABLES = (
    "final",
    "curves",
    "area",
    "comparison",
    "stages",
    "features",
    "wins",
    "labels_needed",
    "classes",
    "labels_per_class",
    "labels_per_round",
    "queries",
    "scores",
    "correlations",
    "stopping",
)
TABLE_SOURCE = ("tables.py", "choices.py", "pages.py", "statistics.py", "rankings.py")
RESULT_TABLES = expand(f"{RESULTS}/tables/{{table}}.{{kind}}", table=TABLES, kind=("csv", "md", "tex"))
RESULT_FIGURES = f"{RESULTS}/figures/manifest.json"
REPORT = f"{RESULTS}/report.html"
REPORT_PARTS = {
    part: Path(workflow.basedir) / "workflow" / "report" / name
    for part, name in {"template": "report.html.j2", "captions": "captions.yaml"}.items()
}
ANNOTATION_TEMPLATE = Path(workflow.basedir) / "workflow" / "report" / "annotation.html.j2"
COST_TABLE = f"{RESULTS}/costs/costs.md"
RECORD = f"{RESULTS}/run.json"


@functools.cache
def lists_of(method, seed):
    """The key of the lists that a run chooses from, and how many pixels of its list an image offers."""
    return STUDY.list_key(method, seed), STUDY.candidates_of(method).listed


def of_run(pattern, run, **more):
    """A path pattern filled for a run."""
    key, listed = lists_of(run.method, run.seed)
    return pattern.format(dataset=run.dataset, features=run.features, key=key, listed=listed, **more)


# The methods behind the keys of lists: those with equal lists share them.
LISTING = {STUDY.list_key(run.method, run.seed): run.method for run in STUDY.runs()}
KEPT_DRAWS = {pair: STUDY.kept_draws(*pair) for pair in STUDY.pairs()}
LISTED_DRAWS = {pair: STUDY.listed_draws(*pair) for pair in STUDY.pairs()}


# Sealing: only what a pending run lacks has a rule that makes it. Of the runs that wait for a person, the page of a round
# is asked for instead of the seal.
if workflow.is_main_process:
    PENDING = sealing.pending(STUDY)
    sealing.mark_outdated(STUDY, PENDING)
    WAITING = in_one_line(oracle.waiting, STUDY, PENDING)
else:
    PENDING, WAITING = in_one_line(session.told, STUDY)
PENDING_STEPS = [f"{run.path}/round-{number}" for run, rounds in PENDING.items() for number in rounds]
# Rounds that pending ones learn from; their labels may be sealed, what lies in the cache is not.
ANSWERED = [f"{run.path}/round-{number}" for run in PENDING for number in range(STUDY.rounds_of(run.method))]


if workflow.is_main_process and (kept := [] if STUDY.refresh else sealing.made_by_other_source(STUDY)):
    names = ", ".join(run.path for run in kept[:3]) + (", …" if len(kept) > 3 else "")
    message = f"pixelherd: another version of the source made {len(kept)} finished runs ({names}); they are kept"
    print(f"{message}, `--config refresh=true` redoes them", file=sys.stderr)


# Images of the datasets that pending runs use; a finished study asks neither raw data nor cache, and the doctor tells
# in its own table what is amiss. (Snakemake knows the targets only after parsing.)
IMAGES = {}
if not (workflow.is_main_process and "doctor" in sys.argv):
    IMAGES = in_one_line(plan.images_of, STUDY, sorted({run.dataset for run in PENDING}))
    in_one_line(plan.check_budgets, STUDY, PENDING, IMAGES)


def ask(folder):
    """Say what waits for labels, and where; the last thing that a call of Snakemake prints."""
    with chdir(folder):  # Snakemake has left it by now
        for run, number in WAITING.items():
            if line := oracle.request(STUDY, run, number):
                print(f"pixelherd: {line}", file=sys.stderr)


if workflow.is_main_process:
    atexit.register(ask, Path.cwd())


def is_asked(step):
    run, number = Run.parse(step), int(step.rsplit("-", 1)[1])
    return oracle.has_asked(ASKED.format(step=step), STUDY.identity(run), f"{ROUND.format(step=step)}/queries.csv")


# Masks answer in the job that asks; a person's answers come by a job of their own.
BY_MASKS = STUDY.oracle == "masks"
ANSWERED_AT_ONCE = {"labels": LABELS} if BY_MASKS else {}

# Queries that a page asks are not chosen anew.
UNASKED = [step for step in PENDING_STEPS if BY_MASKS or not is_asked(step)]


# Snakemake does not remake a missing shard behind an index that exists, so such an index is none.
for run in PENDING if workflow.is_main_process else ():
    for index in (
        of_run(FEATURES_INDEX, run, split="train"),
        of_run(FEATURES_INDEX, run, split="test"),
        of_run(DRAWS_INDEX, run),
    ):
        if not shards.is_complete(index):
            Path(index).unlink()


wildcard_constraints:
    dataset="[A-Za-z0-9_-]+",
    features="[A-Za-z0-9_-]+",
    name="[A-Za-z0-9_-]+",
    split="train|test",
    shard=r"\d+-\d+",
    key=r"(\d+|shared)(-[0-9a-f]{8})?",
    listed=r"\d+",
    group="[0-9a-f]{12}",
    run=sealing.one_of(run.path for run in PENDING),
    step=sealing.one_of(PENDING_STEPS),
    answered=sealing.one_of(ANSWERED),


def splits_of(dataset):
    """The splits that have images; a test split is not needed, and the doctor looks for itself."""
    return [split for split, images in IMAGES.get(dataset, {}).items() if images]


def shard_names(dataset, split):
    return shards.ranges(IMAGES[dataset][split], STUDY.images_per_job)


run_at = functools.cache(Run.parse)
identity_of = functools.cache(STUDY.identity)


def run_of(wildcards):
    """The run of a job, and the job's round if it has one."""
    return run_at(wildcards.get("step") or wildcards.run)


def round_of(wildcards):
    return int(wildcards.step.rsplit("-", 1)[1])


def scaled(base, per_image=0, split=None):
    """A resource that grows with the attempt, and with a shard's images or with those of a whole ``split``."""

    def resource(wildcards, attempt):
        if split is None:
            return attempt * round(base + per_image * STUDY.images_per_job)
        dataset = wildcards.get("dataset") or run_of(wildcards).dataset
        return attempt * round(base + per_image * IMAGES[dataset][split])

    return resource


def keeps_maps(wildcards):
    """Whether native maps are stored; of a job's wildcards, or of a run."""
    return STUDY.features[wildcards.features].maps == "keep"


def keeps_draws(wildcards):
    """Whether native maps under noise draws are stored; of a job's wildcards, or of a run."""
    return KEPT_DRAWS[wildcards.dataset, wildcards.features] > 0


def maps_of(dataset, features, split):
    """What native maps of a whole split need: the stored maps, or the backbone."""
    if STUDY.features[features].maps == "keep":
        return {"maps": FEATURES_INDEX.format(dataset=dataset, features=features, split=split)}
    return {"backbone": BACKBONE.format(features=features)}


def labels_until(run, last):
    """The answers of rounds 0…last; the reference asks nothing."""
    if STUDY.score(run.method) == "full":
        return []
    return [f"{RESULTS}/runs/{run.path}/round-{number}/labels.csv" for number in range(last + 1)]


def pool_input(wildcards):
    run, number = run_of(wildcards), round_of(wildcards)
    return {
        "dataset": of_run(DATASET, run),
        "union": of_run(UNION, run),
        "labels": labels_until(run, number - 1),
    }


first_round_again = functools.cache(functools.partial(sealing.first_round_again, STUDY))


def made_again(run, number=None):
    """What a round, or the evaluation, of a run must be newer than, if other settings finished the run before."""
    first = first_round_again(run)
    if first is None or (number is not None and number < first):
        return {}
    return {"mark": str(sealing.mark_of(STUDY, run))}


def score_input(wildcards):
    run, number = run_of(wildcards), round_of(wildcards)
    needed = {"dataset": of_run(DATASET, run), "labels": labels_until(run, number - 1), **made_again(run, number)}
    if STUDY.is_single_stage(run.method) and number > 0:
        shards_of = shard_names(run.dataset, "train")
        return needed | {"ranks": expand(RANKS, step=wildcards.step, shard=shards_of)}
    if STUDY.needs_lists(run.method):
        needed["union"] = of_run(UNION, run)
    else:
        needed["context"] = of_run(FEATURES_INDEX, run, split="train")
    if number == 0:
        return needed
    if STUDY.is_two_stage(run.method):
        needed["pool"] = POOL.format(step=wildcards.step)
    if STUDY.needs_listed_draws(run.method):
        needed["draws"] = of_run(DRAWS_INDEX, run)
    return needed | heads_before(run, number)


def heads_before(run, number):
    """The heads that a round asks: of the round before, and one that was trained with dropout on the same labels."""
    needed = {}
    if STUDY.needs_head(run.method):
        needed["head"] = f"{RESULTS}/runs/{run.path}/round-{number - 1}/head.safetensors"
    if STUDY.needs_dropout(run.method):
        needed["dropout_head"] = f"{RESULTS}/runs/{run.path}/round-{number}/dropout_head.safetensors"
    return needed


def rank_input(wildcards):
    run, number = run_of(wildcards), round_of(wildcards)
    needed = {"dataset": of_run(DATASET, run), "labels": labels_until(run, number - 1)} | heads_before(run, number)
    if keeps_maps(run):
        needed["maps"] = of_run(FEATURES, run, split="train", shard=wildcards.shard)
    if STUDY.needs_draws(run.method) and keeps_draws(run):
        needed["draw_maps"] = of_run(DRAW_MAPS, run, shard=wildcards.shard)
    if not keeps_maps(run) or (STUDY.needs_draws(run.method) and not keeps_draws(run)):
        needed["backbone"] = of_run(BACKBONE, run)
    return needed


def stopping_input(wildcards):
    run, number = run_of(wildcards), round_of(wildcards)
    needed = {"dataset": of_run(DATASET, run), "labels": labels_until(run, number)}
    needed["context"] = of_run(FEATURES_INDEX, run, split="train")
    heads = heads_of(run)
    return needed | {"head": heads[number]} | ({"before": heads[number - 1]} if number else {})


def stopping_until(run, last):
    """How far the predictions had settled in rounds 0…last, where a person labels."""
    if STUDY.needs_masks(run.method):
        return []
    return [STOPPING.format(step=f"{run.path}/round-{number}") for number in range(last + 1)]


def annotate_input(wildcards):
    """What a page shows: the queries, how the head of the round before sees their images, and how it came about."""
    run, number = run_of(wildcards), round_of(wildcards)
    needed = {"dataset": of_run(DATASET, run), "queries": f"{ROUND}/queries.csv"}
    if number > 0:
        needed["head"] = f"{RESULTS}/runs/{run.path}/round-{number - 1}/head.safetensors"
        needed |= maps_of(run.dataset, run.features, "train")
        needed |= {"stopping": stopping_until(run, number - 1), "labels": labels_until(run, number - 1)}
    return needed


def vectors_input(wildcards):
    run = Run.parse(wildcards.answered)
    return {"dataset": of_run(DATASET, run)} | maps_of(run.dataset, run.features, "train")


def train_input(wildcards):
    return training_input(run_of(wildcards), round_of(wildcards))


def train_dropout_input(wildcards):
    """What the round before was trained on: the head with dropout ranks this round's pixels."""
    return training_input(run_of(wildcards), round_of(wildcards) - 1)


def training_input(run, number):
    """Labels of rounds 0…number, and the features of their pixels."""
    needed = {"dataset": of_run(DATASET, run), "labels": labels_until(run, number), **made_again(run, number)}
    if STUDY.trains_densely(run.method):
        return needed | maps_of(run.dataset, run.features, "train")
    needed["context"] = of_run(FEATURES_INDEX, run, split="train")
    if STUDY.is_single_stage(run.method):
        needed["vectors"] = [VECTORS.format(answered=f"{run.path}/round-{each}") for each in range(number + 1)]
    elif STUDY.needs_lists(run.method):
        needed["union"] = of_run(UNION, run)
    return needed


def heads_of(run):
    return [f"{RESULTS}/runs/{run.path}/round-{n}/head.safetensors" for n in range(STUDY.rounds_of(run.method))]


def evaluated_together(dataset, features):
    """Pending runs that share a pass of the network over the test images."""
    return [run for run in PENDING if (run.dataset, run.features) == (dataset, features)]


def confusions_key(dataset, features):
    """What a head's confusion matrix depends on besides the head."""
    original = STUDY.evaluates_originals(dataset)
    return hash_of({"source": source("test_pass", "evaluate", "extract"), "original": original})


def pass_input(wildcards):
    dataset, features = wildcards.dataset, wildcards.features
    needed = {"dataset": DATASET.format(dataset=dataset), "backbone": BACKBONE.format(features=features)}
    # every shard looks at every head: one file between them, or the DAG has shards times heads edges
    needed["heads"] = PASS_HEADS.format(**wildcards)
    if STUDY.evaluates_originals(dataset):
        needed["original_labels"] = ORIGINAL_LABELS.format(dataset=dataset)
    return needed


def passes(run):
    """The index of the passes that a run's metrics are added up from."""
    together = [each.path for each in evaluated_together(run.dataset, run.features)]
    return of_run(PASSES, run, group=hash_of({"runs": sorted(together), "rounds": STUDY.rounds})[:12])


def kept_confusions(run):
    if STUDY.features[run.features].maps == "keep":
        return []
    return [of_run(CONFUSIONS, run, shard=shard) for shard in shard_names(run.dataset, "test")]


def evaluate_input(wildcards):
    run = run_of(wildcards)
    needed = {"dataset": of_run(DATASET, run), "heads": heads_of(run), **made_again(run)}
    needed["labels"] = labels_until(run, STUDY.rounds_of(run.method) - 1)
    needed["stopping"] = stopping_until(run, STUDY.rounds_of(run.method) - 1)
    if STUDY.features[run.features].maps == "recompute" and IMAGES[run.dataset]["test"]:
        needed["passes"] = passes(run)
    elif STUDY.evaluates_originals(run.dataset) and IMAGES[run.dataset]["test"]:
        needed["original_labels"] = of_run(ORIGINAL_LABELS, run)
    for split in splits_of(run.dataset):
        needed |= {f"{split}_{name}": path for name, path in maps_of(run.dataset, run.features, split).items()}
    if STUDY.needs_draws(run.method) and STUDY.pictures:
        needed["pictures"] = of_run(PICTURES, run)
    return needed


def prediction():
    """The run and round whose head predicts; of a run that waits for a person the last head that there is."""
    run = STUDY.predicting_run()
    heads = WAITING.get(run, STUDY.rounds_of(run.method))
    number = heads - 1 if STUDY.predict.round is None else STUDY.predict.round
    if not 0 <= number < heads:
        raise UserError(f"predict.round: {run.path} has {heads} heads so far, and none of round {max(number, 0)}")
    if STUDY.predict.images is None:
        raise UserError("predict.images: name the folder of new images, --config 'predict={images: FOLDER}'")
    if run not in PENDING and not Path(heads_of(run)[number]).is_file():
        seal = f"{RESULTS}/runs/{run.path}/run.json"
        raise UserError(f"predict.run: {heads_of(run)[number]} is gone; to make the finished run again delete {seal}")
    return run, number


try:
    PREDICTING, MISTAKE = prediction(), None
except UserError as error:
    PREDICTING, MISTAKE = None, str(error)  # which the job tells, if anybody asks for predictions


def predict_input(wildcards):
    if MISTAKE:
        return {}
    run, number = PREDICTING
    return {"head": heads_of(run)[number], "backbone": of_run(BACKBONE, run)}


def predict_settings(wildcards):
    if MISTAKE:
        return {}
    run, _ = PREDICTING
    return {
        "dataset": STUDY.preparation_settings(run.dataset),
        "features": STUDY.feature_settings(run.dataset, run.features),
    }


def every_seal():
    """The seals of all runs but those that wait for a person."""
    return [f"{RESULTS}/runs/{run.path}/run.json" for run in STUDY.runs() if run not in WAITING]


def every_page():
    """The pages that wait for a person, who shall wait for the network before the first answer and not after it."""
    draws = [of_run(DRAWS_INDEX, run) for run in WAITING if STUDY.needs_listed_draws(run.method)]
    return [PAGE.format(step=f"{run.path}/round-{number}") for run, number in WAITING.items()] + sorted(set(draws))


def of_finished_runs(*files):
    """Files that are made of finished runs, if there will be any."""
    return files if every_seal() else []


def every_index():
    """Everything that a study computes once for all its runs."""
    wanted = []
    for run in PENDING:
        if STUDY.features[run.features].maps == "keep":
            wanted += [of_run(FEATURES_INDEX, run, split=split) for split in splits_of(run.dataset)]
        elif STUDY.needs_context(run.method):
            wanted.append(of_run(FEATURES_INDEX, run, split="train"))
        if STUDY.needs_lists(run.method):
            wanted.append(of_run(UNION, run))
        if STUDY.needs_listed_draws(run.method):
            wanted.append(of_run(DRAWS_INDEX, run))
        if STUDY.ranks_by_draws(run.method) and keeps_draws(run):
            wanted += [of_run(DRAW_MAPS, run, shard=shard) for shard in shard_names(run.dataset, "train")]
    return sorted(set(wanted))


def every_pretrained_backbone():
    return expand(PRETRAINED, name=STUDY.pretraining)


def backbone_source(wildcards):
    """The manifest of the backbone that this study trains, where it trains one."""
    backbone = STUDY.features[wildcards.features].backbone
    return PRETRAINED.format(name=backbone.pretrain) if isinstance(backbone, Pretrained) else []


def cost(*parts):
    """Where a job notes what it cost.

    Snakemake redoes no job for a parameter that takes `output`. So studies with different results share one cache.
    """
    place = f"{RESULTS}/costs/jobs/{'/'.join(parts)}.json"
    return lambda wildcards, output: place.format(**wildcards)


def source(script, *stages, parts=()):
    """What a rule's results depend on besides data and settings: its script, and package source by stage or module.

    Snakemake's own trigger for changed scripts goes by file times, so the profile leaves it out.
    """
    text = (Path(workflow.basedir) / "workflow" / "scripts" / f"{script}.py").read_text()
    stage_parts = [part for stage in stages for part in sealing.STAGE_SOURCE[stage]]
    return hash_of({"script": text, "package": sealing.source_hash_of(*stage_parts, *parts)})
