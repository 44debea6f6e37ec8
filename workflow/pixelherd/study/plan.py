"""What a study will cost, from its settings alone: jobs, network forwards and disk, per stage and per method.

A forward is one image at one timestep under one draw. With lists per seed a study of two-stage methods takes
N · (T + T · M · seeds) + T · N_test of them, once for all methods, budgets and rounds; with ``draw_maps: keep``
N · (T + T · M) + T · N_test for any number of seeds.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from pixelherd.datasets.originals import Digests, Originals, counts, look, remember, remembered
from pixelherd.datasets.prepare import classes_of
from pixelherd.errors import UserError, say
from pixelherd.features.backbones.description import Description
from pixelherd.features.backbones.diffusion.pipeline import Pipeline
from pixelherd.features.backbones.settings import TRAINING_TIMESTEPS
from pixelherd.features.backbones.sources.source import Source
from pixelherd.selection.coverage import NEIGHBOURS
from pixelherd.selection.settings import pixels_a_round
from pixelherd.storage.records import is_sound, read_record
from pixelherd.storage.stores import MANIFEST
from pixelherd.study import stages
from pixelherd.study.addresses import LENGTH
from pixelherd.study.checks import Images
from pixelherd.study.run import Run
from pixelherd.study.settings import Pretrained
from pixelherd.study.study import Study

FLOAT16, FLOAT32, INT32 = 2, 4, 4


@dataclass(frozen=True)
class Item:
    """A stage's work for one dataset × features.

    Attributes:
        stage: the rule.
        jobs: number of jobs.
        forwards: network evaluations.
        bytes: what the stage leaves on disk.
        methods: the methods that need it.
    """

    stage: str
    jobs: int
    forwards: int
    bytes: int
    methods: tuple[str, ...]


class Looked(dict[str, Originals]):
    """The raw images of a study's datasets by name, each looked at when it is first asked for.

    Args:
        study: the study.
        digests: of their files.
        tell: is called with a line for a dataset that has changed since the last look.

    Attributes:
        superseded: the images of datasets that have changed, as they were.
    """

    def __init__(self, study: Study, digests: Digests, tell: Callable[[str], object] = say) -> None:
        super().__init__()
        self._study, self._digests, self._tell = study, digests, tell
        self.superseded: dict[str, Originals] = {}

    def __missing__(self, name: str) -> Originals:
        """Look at a dataset: as its files are, else as they were, else as many images as were published.

        Raises:
            UserError: there is none of them; or the training images have no masks, and runs take answers from masks.
        """
        study, record = self._study, Path(self._study.paths.originals.format(dataset=name))
        before = remembered(study.datasets[name], record)
        found, changes = look(study.datasets[name], record, self._digests)
        if changes:
            self.superseded[name] = before
            self._tell(f"dataset {name} has changed: {', '.join(changes)}; what depends on that is made anew")
        _check_masks(study, name, any(each.mask for each in found["train"]))
        self[name] = found
        return found

    def remember(self) -> None:
        """Remember the images as they are now, for the next look."""
        for name, found in self.items():
            remember(self._study.datasets[name], Path(self._study.paths.originals.format(dataset=name)), found)


def images_of(study: Study, datasets: Iterable[str]) -> Images:
    """Return how many images datasets have, by split; reads and writes no file.

    Raises:
        UserError: as :class:`Looked`.
    """
    images = {}
    for name in datasets:
        images[name], labelled = counts(study.datasets[name], Path(study.paths.originals.format(dataset=name)))
        _check_masks(study, name, labelled)
    return images


def _check_masks(study: Study, dataset: str, labelled: bool) -> None:
    takes_masks = any(run.dataset == dataset and study.needs_masks(run.method) for run in study.runs())
    if takes_masks and not labelled:
        raise UserError(
            f"datasets.{dataset}: the training images have no masks, and runs take their answers from masks",
            remedy=(
                "set `oracle: csv` to label yourself (and leave out the method `full`), or give `train_masks`, or a "
                "`train_list` with a mask in every line"
            ),
        )


def items(study: Study, images: Images, runs: Collection[Run] | None = None) -> list[Item]:
    """Everything that the study does, or what some of its ``runs`` need, stage by stage.

    Raises:
        UserError: a backbone is missing or lacks a block, or a budget is no pixel.
    """
    runs, found = study.runs() if runs is None else runs, []
    for dataset in dict.fromkeys(run.dataset for run in runs):
        used = tuple(dict.fromkeys(run.method for run in runs if run.dataset == dataset))
        height, width = study.datasets[dataset].size
        total = sum(images[dataset].values())
        found.append(Item("prepare", 1, 0, total * height * width * 4, used))
        if study.evaluates_originals(dataset) and images[dataset]["test"]:
            found.append(Item("original_labels", 1, 0, 0, used))  # compressed, of a size that the files decide
    named = dict.fromkeys(run.features for run in runs)
    for features in dict.fromkeys([*named, *(part for name in named for part in study.features[name].parts)]):
        backbone = study.features[features].backbone
        stored = backbone.bytes_made() if isinstance(backbone, Source) else 0
        found.append(Item("backbone", 1, 0, stored, tuple(study.methods)))
    for dataset, features in dict.fromkeys((run.dataset, run.features) for run in runs):
        found += _shared(study, dataset, features, images[dataset], runs)
        for method in study.methods:
            mine = [run for run in runs if (run.dataset, run.features, run.method) == (dataset, features, method)]
            found += _rounds(study, mine, images[dataset]) if mine else []
    return found


def _shared(study: Study, dataset: str, features: str, images: dict[str, int], runs: Iterable[Run]) -> list[Item]:
    """What is computed once for all of some runs of a dataset × features."""
    settings = study.features[features]
    steps, draws = forwards_of(study, dataset, features), settings.draws
    native, dimension = geometry_of(study, dataset, features)
    train, test = images["train"], images["test"]
    pixels = study.datasets[dataset].size[0] * study.datasets[dataset].size[1]
    runs = [run for run in runs if (run.dataset, run.features) == (dataset, features)]
    methods = tuple(dict.fromkeys(run.method for run in runs))
    gathering = tuple(name for name in methods if study.needs_context(name))
    listing = tuple(filter(study.needs_lists, methods))
    drawing = tuple(filter(study.needs_listed_draws, methods))
    pictured = tuple(filter(study.needs_draws, methods))
    keys = {run: stages.list_key(study, run.method, run.seed) for run in runs}
    lists = {keys[run]: study.candidates_of(run.method) for run in runs if run.method in listing}
    unions = {(keys[run], study.candidates_of(run.method).listed) for run in runs if run.method in listing}
    wanted = {keys[run] for run in runs if run.method in drawing}
    drawn = {key: each for key, each in stages.listed_draws(study, dataset, features).items() if key in wanted}
    shards = {split: ceil(number / study.images_per_job) for split, number in images.items()}
    keeps = settings.maps == "keep"

    vector, norms = dimension * FLOAT16, pixels * FLOAT32
    context = train * min(settings.context, pixels) * (vector + INT32)
    found = []
    if keeps:
        jobs = sum(shards.values())
        size = (native + norms) * (train + test) + context
        found.append(Item("extract", jobs, steps * (train + test), size, methods))
        found.append(Item("index_features", 2 if test else 1, 0, 0, methods))
    elif gathering:
        found.append(Item("extract", shards["train"], steps * train, context, gathering))
        found.append(Item("index_features", 1, 0, 0, gathering))
    if test and not keeps:
        found.append(Item("index_heads", 1, 0, 0, methods))
        found.append(Item("test_pass", shards["test"], steps * test, 0, methods))
        found.append(Item("index_passes", 1, 0, 0, methods))
    if listing:
        listed = {key: train * (candidates.listed + candidates.reserve) for key, candidates in lists.items()}
        again = 0 if keeps else steps * train * len(lists)
        size = sum(listed.values()) * (vector + INT32)
        found.append(Item("herd", len(lists) * shards["train"], again, size, listing))
        size = 0
        for key, offers in unions:
            offered = train * offers
            # pairs with their values, where each vector's begin, its threshold; the opening with its coverage; centre
            size += offered * (min(NEIGHBOURS, offered) * (INT32 + FLOAT32) + 8 + FLOAT32) + 8
            size += min(train, offered) * 16 + dimension * FLOAT32
            size += listed[key] * (vector + 3 * INT32)
        found.append(Item("gather", len(unions), 0, size, listing))
    kept = study.kept_draws(dataset, features) if any(map(study.ranks_by_draws, methods)) else 0
    if kept:
        size = kept * train * (native + norms)
        found.append(Item("extract_draws", shards["train"], kept * train * steps, size, pictured))
    if drawing:
        jobs, size = len(drawn) * shards["train"], sum(listed[key] * each for key, each in drawn.items()) * vector
        again = 0 if kept else sum(drawn.values()) * train * steps
        found.append(Item("perturb", jobs, again, size, drawing))
        found.append(Item("index_draws", len(drawn), 0, 0, drawing))
    if pictured and study.pictures:
        pictures = min(study.pictures, train)
        size = pictures * draws * (native + norms)
        found.append(Item("picture", 1, pictures * steps * draws, size, pictured))
    return found


def _rounds(study: Study, runs: list[Run], images: dict[str, int]) -> list[Item]:
    """The runs of one method on a dataset × features."""
    run = runs[0]
    method, settings = run.method, study.features[run.features]
    rounds, steps = study.rounds_of(method), forwards_of(study, run.dataset, run.features)
    asks = study.score(method) != "full"
    recomputes = settings.maps == "recompute"
    found = []
    if asks:
        asked = [pixels_a_round(each.budget, images["train"]) for each in runs]
        if study.is_two_stage(method) and rounds > 1:
            found.append(Item("pool", len(runs) * (rounds - 1), 0, 0, (method,)))
        if study.needs_samples(method) and rounds > 1:
            found.append(_sampling(study, runs, rounds - 1, images))
        if study.labels_anywhere(method):
            found += _single_stage(study, runs, rounds, asked, images["train"])
        if study.chooses(method):
            found.append(Item("score", len(runs) * rounds, 0, 0, (method,)))
        if study.oracle == "csv" and not study.needs_masks(method):
            # the page of a round shows what the head of the round before predicts in the images that are asked about
            again = (rounds - 1) * steps * sum(min(pixels, images["train"]) for pixels in asked) if recomputes else 0
            found.append(Item("annotate", len(runs) * rounds, again, 0, (method,)))
        if not study.needs_masks(method):
            found.append(Item("answer", len(runs) * rounds, 0, 0, (method,)))
            found.append(Item("stopping", len(runs) * rounds, 0, 0, (method,)))
    name = "fit" if study.head_of(method).kind == "linear" else "train"
    found.append(Item(name, *_training(study, runs, rounds, images), (method,)))
    # pictures show training images, some more that were asked about, and test images
    pictures = min((2 if asks else 1) * study.pictures, images["train"]) + min(study.pictures, images["test"])
    again = len(runs) * steps * pictures if recomputes else 0
    found.append(Item("evaluate", len(runs), again, 0, (method,)))
    return found


def _single_stage(study: Study, runs: list[Run], rounds: int, asked: list[int], train: int) -> list[Item]:
    """What single-stage runs that ask so many pixels a round do besides scoring."""
    run, settings = runs[0], study.features[runs[0].features]
    steps, recomputes = forwards_of(study, run.dataset, run.features), settings.maps == "recompute"
    found = []
    if rounds > 1 and study.chooses(run.method):
        draws = study.needs_draws(run.method) and not study.kept_draws(run.dataset, run.features)
        maps = recomputes + study.draws_of(run.method, run.features) * draws
        jobs = len(runs) * (rounds - 1)
        shards = ceil(train / study.images_per_job)
        found.append(Item("rank", jobs * shards, jobs * train * steps * maps, 0, (run.method,)))
    if not study.trains_densely(run.method):
        _, dimension = geometry_of(study, run.dataset, run.features)
        again = rounds * steps * sum(min(pixels, train) for pixels in asked) if recomputes else 0
        stored = rounds * sum(asked) * dimension * FLOAT16
        found.append(Item("vectors", len(runs) * rounds, again, stored, (run.method,)))
    return found


def _training(study: Study, runs: list[Run], heads: int, images: dict[str, int]) -> tuple[int, int, int]:
    """Jobs, forwards at most and bytes of so many heads in each run."""
    run, jobs = runs[0], len(runs) * heads
    settings, head = study.features[run.features], study.head_of(run.method)
    _, dimension = geometry_of(study, run.dataset, run.features)
    if head.kind == "linear":
        return jobs, 0, jobs * dimension * len(classes_of(study.datasets[run.dataset])) * FLOAT32
    size = dimension * (head.hidden or [128, 32])[0] * FLOAT32
    dense = settings.maps == "recompute" and study.trains_densely(run.method)
    # besides the epochs, two passes for the statistics of two BatchNorms
    each = forwards_of(study, run.dataset, run.features)
    forwards = ((head.epochs + 2) * images["train"] + 1) * each if dense else 0
    return jobs, jobs * forwards, jobs * size


def _sampling(study: Study, runs: list[Run], heads: int, images: dict[str, int]) -> Item:
    """What it takes to sample so many heads in each run of a method."""
    method, (jobs, forwards, size) = runs[0].method, _training(study, runs, heads, images)
    if study.head_of(method).kind == "linear":
        return Item("sample", jobs, forwards, size * study.methods[method].samples, (method,))
    return Item("train_dropout", jobs, forwards, size, (method,))


def description_of(study: Study, features: str) -> Description:
    """Return what a backbone takes and gives, which may still have to be trained or fetched.

    Raises:
        UserError: the backbone is missing, or of a kind that nobody knows.
        ValueError: the features join others, each of which has a backbone of its own.
    """
    backbone = study.features[features].backbone
    if isinstance(backbone, list):
        raise ValueError(f"features.{features} join others")
    if isinstance(backbone, Pretrained):
        trained = study.pretraining[backbone.pretrain]
        network = {"block_out_channels": trained.channels, "layers_per_block": trained.layers_per_block}
        schedule = {"num_train_timesteps": TRAINING_TIMESTEPS}
        return Pipeline(f"pretraining.{backbone.pretrain}", {}, network, schedule).describe()
    kept = kept_backbone(study, features)
    found = backbone.stored() or (backbone.made(kept) if kept else None)
    return found.describe() if found else backbone.describe(f"of features.{features}")


def forwards_of(study: Study, dataset: str, features: str) -> int:
    """Network evaluations of an image under one draw: its timesteps in each of its windows.

    Raises:
        UserError: as :func:`description_of`, or the backbone sees no windows of this size.
    """
    settings = study.features[features]
    if settings.parts:
        return sum(forwards_of(study, dataset, part) for part in settings.parts)
    windows = description_of(study, features).windows(study.network_size(dataset, features), settings.window)
    return settings.steps * len(windows)


def geometry_of(study: Study, dataset: str, features: str) -> tuple[int, int]:
    """Bytes of an image's native maps, and D.

    Raises:
        UserError: as :func:`description_of`, or the backbone lacks a block.
    """
    settings = study.features[features]
    if settings.parts:
        sizes, dimensions = zip(*(geometry_of(study, dataset, part) for part in settings.parts), strict=True)
        return sum(sizes), sum(dimensions)
    maps = description_of(study, features).shapes(study.network_size(dataset, features), settings.blocks).values()
    return (
        sum(channels * height * width for channels, height, width in maps) * settings.steps * FLOAT16,
        sum(channels for channels, _, _ in maps) * settings.steps,
    )


def kept_backbone(study: Study, features: str) -> Path | None:
    """Return the folder of the cache in which a converted or fetched backbone of these settings is kept, if any is."""
    for record in stored(study.paths.backbone, features=features):
        folder = record.with_suffix("")
        same = is_sound(record) and read_record(record).get("settings") == stages.backbone(study, features)
        if same and any(folder.glob("*")):
            return folder
    return None


def stored(pattern: str, **names: str) -> list[Path]:
    """Return the manifests of stores of any address that there are, by the names that are part of their paths."""
    wanted = Path(pattern.format(**names, address="?" * LENGTH))
    folder = wanted.parent.parent if wanted.name == MANIFEST else wanted.parent
    return sorted(folder.glob(wanted.relative_to(folder).as_posix()))


def _sum(stage: str, planned: Collection[Item]) -> Item:
    jobs, forwards, size = (sum(getattr(item, key) for item in planned) for key in ("jobs", "forwards", "bytes"))
    return Item(stage, jobs, forwards, size, ())


def by_stage(planned: Iterable[Item]) -> dict[str, Item]:
    """The items of every stage added up."""
    total: dict[str, Item] = {}
    for item in planned:
        before = total.get(item.stage, Item(item.stage, 0, 0, 0, ()))
        total[item.stage] = Item(
            item.stage,
            before.jobs + item.jobs,
            before.forwards + item.forwards,
            before.bytes + item.bytes,
            tuple(dict.fromkeys(before.methods + item.methods)),
        )
    return total


def overview(study: Study, pending: Collection[Run]) -> str:
    """:func:`page`, or of a finished study whose data or backbone is gone all that can be told without them.

    Raises:
        UserError: data or a backbone is missing that pending runs may need.
    """
    try:
        return page(study, images_of(study, study.datasets), pending)
    except UserError as error:
        if pending or not study.runs():
            raise
        return f"{_progress(study, pending)}\n\nWhat the whole study costs cannot be told: {error}"


def _progress(study: Study, pending: Collection[Run]) -> str:
    runs = len(study.runs())
    line = f"{runs} runs, {runs - len(pending)} of them sealed"
    return line if pending or not runs else f"{line}: nothing remains to be done"


def page(study: Study, images: Images, pending: Collection[Run]) -> str:
    """The plan as Markdown: tables of stages, of methods and, where there are several, of datasets.

    They tell of the whole study. What its pending runs need of that stands above them, where others are sealed.

    Args:
        study: the study.
        images: images of each dataset and split.
        pending: the runs that are not finished.
    """
    from tabulate import tabulate

    planned = items(study, images)
    stages = list(by_stage(planned).values())
    total = _sum("total", stages)
    rows = [[item.stage, item.jobs, item.forwards, readable(item.bytes)] for item in [*stages, total]]
    lines = [
        f"{_progress(study, pending)}; "
        + ", ".join(f"{name}: {each['train']} train, {each['test']} test images" for name, each in images.items()),
        "",
    ]
    if 0 < len(pending) < len(study.runs()):
        rest = _sum("rest", items(study, images, pending))
        lines += [
            f"What remains, {len(pending)} runs, needs at most {rest.jobs:,} jobs, {rest.forwards:,} forwards and "
            f"{readable(rest.bytes)}: less by what the cache holds already, and by sealed rounds.",
            "",
        ]
    if len(pending) < len(study.runs()):
        lines += ["The whole study, as if nothing of it were there:", ""]
    lines += [
        tabulate(rows, ["stage", "jobs", "forwards", "disk"], "github", intfmt=",", stralign="right"),
        "",
        "Each method with all that it needs; what methods share is computed once.",
        "",
    ]
    methods = []
    for method in study.methods:
        mine = _sum(method, [item for item in planned if method in item.methods])
        runs = sum(run.method == method for run in study.runs())
        methods.append([method, runs, mine.jobs, mine.forwards, readable(mine.bytes)])
    lines.append(
        tabulate(methods, ["method", "runs", "jobs", "forwards", "disk"], "github", intfmt=",", stralign="right")
    )
    if len(study.datasets) > 1:
        rows = []
        for dataset in study.datasets:
            alone = study.model_copy(update={"datasets": {dataset: study.datasets[dataset]}})
            mine = _sum(dataset, items(alone, images))
            rows.append([dataset, len(alone.runs()), mine.jobs, mine.forwards, readable(mine.bytes)])
        lines += ["", "Each dataset alone.", ""]
        lines.append(
            tabulate(rows, ["dataset", "runs", "jobs", "forwards", "disk"], "github", intfmt=",", stralign="right")
        )
    bounds = {"train": " (it may stop early)", "train_dropout": "", "vectors": "", "annotate": ""}
    if bounded := [f"`{item.stage}`{bounds[item.stage]}" for item in stages if item.stage in bounds and item.forwards]:
        lines += ["", f"`maps: recompute`: forwards of {' and '.join(bounded)} are upper bounds."]
    again = [run for run in study.runs() if study.is_single_stage(run.method) and study.ranks_by_draws(run.method)]
    again = [run for run in again if not study.kept_draws(run.dataset, run.features)]
    if single := list(dict.fromkeys(run.method for run in again)):
        forwards = sum(item.forwards for item in planned if item.stage == "rank" and set(item.methods) <= set(single))
        lines += [
            "",
            f"{', '.join(single)}: the network runs on every training image again in every round, for every "
            f"seed and budget: {forwards:,} of the forwards. `draw_maps: keep` stores what it says instead.",
        ]
    return "\n".join(lines)


def readable(size: int) -> str:
    """A number of bytes with a decimal unit."""
    value, units = float(size), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 1000 and unit != "TB":
        value, unit = value / 1000, next(units)
    return f"{value:.0f} {unit}" if unit in ("B", "kB") else f"{value:.1f} {unit}"
