"""What a study must fulfil besides the form of its file: names that exist, settings that do something, budgets."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from pixelherd.errors import UserError, nearest
from pixelherd.selection.methods import SCORES, SELECTIONS, meant
from pixelherd.selection.settings import pixels_a_round
from pixelherd.study.settings import FeatureSettings, Pretrained

if TYPE_CHECKING:
    from pixelherd.study.run import Run
    from pixelherd.study.study import Study

Images = dict[str, dict[str, int]]
"""Images of each dataset by split."""


def check(study: "Study") -> None:
    """Check that the entries of a study fit together.

    Raises:
        ValueError: they do not; the message begins with the key.
    """
    _check_folders(study.results, study.cache)
    if study.methods and not study.features:
        raise ValueError("features: methods choose pixels by their features; add an entry, or delete `methods`")
    for name in study.methods:
        _check_method(study, name)
    for name, features in study.features.items():
        _check_features(study, name, features)
    if study.annotator and study.oracle != "masks":
        raise ValueError(f"annotator: with `oracle: {study.oracle}` a person answers and errs alone; delete it")
    _check_published(study)
    for name, pretraining in study.pretraining.items():
        if pretraining.dataset not in study.datasets:
            raise ValueError(
                f"pretraining.{name}.dataset: unknown dataset {pretraining.dataset!r}"
                f"{nearest(pretraining.dataset, study.datasets)}"
            )
    _check_reference(study)
    lists: dict[str, Sequence[object]] = {
        "budgets": study.budgets,
        "seeds": study.seeds,
        "statistics.fractions": study.statistics.fractions,
    }
    lists |= {f"methods.{name}.seeds": method.seeds or [] for name, method in study.methods.items()}
    for key, entries in lists.items():
        # 1 is a pixel and 1.0 a pixel per image: only what is written alike is the same
        if len(set(map(str, entries))) < len(entries):
            raise ValueError(f"{key}: an entry appears twice")


def _check_folders(results: str, cache: str) -> None:
    """Check that each can be a folder of its own, and that deleting the cache deletes no results."""
    places = {}
    for key, name in (("results", results), ("cache", cache)):
        if set(name) & set("{}"):
            raise ValueError(f"{key}: {name!r} has braces, which stand for wildcards in paths of the workflow")
        places[key] = place = Path(os.path.realpath(name))
        if place == place.parent:
            raise ValueError(f"{key}: {name!r} is the root of the file system; name a folder of the study")
        if file := next((each for each in (place, *place.parents) if each.is_file()), None):
            raise ValueError(f"{key}: {str(file)!r} is a file; name a folder")
    if places["results"] == places["cache"]:
        raise ValueError("cache: it is the folder of the results, which are kept; name another, which may be deleted")
    if places["results"] in places["cache"].parents:
        raise ValueError(f"cache: {cache!r} lies inside `results`, which are kept as a whole; name a folder beside it")
    if places["cache"] in places["results"].parents:
        raise ValueError(f"results: {results!r} lies inside `cache`, which may be deleted; name a folder beside it")


def no_key_twice(path: Path | str) -> None:
    """Check that a study file gives no key twice: its reader would take the last and say nothing.

    Raises:
        UserError: a key stands twice in a mapping; the message names both lines.
    """
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return  # whoever reads the file says what is wrong with it
    for mapping in _mappings(root):
        lines: dict[str, int] = {}
        for key in (key for key, _ in mapping.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            if key.value in lines:
                where = f"{path}, line {line}: `{key.value}`"
                raise UserError(f"{where} is given already in line {lines[key.value]}", remedy="delete one of them")
            lines[key.value] = line


def _mappings(root: "yaml.Node | None") -> Iterator["yaml.MappingNode"]:
    """Every mapping of a YAML document, once."""
    nodes, seen = [root], set()
    while nodes:
        node = nodes.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            nodes += [each for pair in node.value for each in pair]
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value


def _check_method(study: "Study", name: str) -> None:
    method, score, known = study.methods[name], study.score(name), list(dict.fromkeys([*SELECTIONS, *SCORES]))
    if score not in known:
        raise ValueError(f"methods.{name}: unknown score {score!r}{meant(score, known)}")
    if (score == "full") != (name == "full"):  # tables know the reference by its name
        raise ValueError(f"methods.{name}: the fully labelled reference is called `full`; rename the method")
    if score in SELECTIONS and method.stages == 1:
        raise ValueError(f"methods.{name}.stages: {score} is no score that could rank every pixel")
    if score != "full" and not study.depends_on_seed(name) and len(seeds := method.seeds or study.seeds) > 1:
        raise ValueError(
            f"methods.{name}.seeds: candidates are the same for all seeds, and nothing else about {score} is random: "
            f"all {len(seeds)} runs would be one; write `seeds: [{seeds[0]}]`"
        )
    for key, reads in _readers(study, name).items():
        if not reads and key in method.model_fields_set:
            raise ValueError(f"methods.{name}.{key}: {score} does not use it here; delete the line")
    _check_features_of(study, name)


def _check_features_of(study: "Study", name: str) -> None:
    method, score = study.methods[name], study.score(name)
    for entry in method.features or ():
        if entry not in study.features:
            raise ValueError(f"methods.{name}.features: unknown features {entry!r}{nearest(entry, study.features)}")
    for features in filter(lambda entry: study.uses(name, entry), study.features):
        if study.needs_draws(name) and study.draws_of(name, features) < 2:
            raise ValueError(f"methods.{name}: {score} measures disagreement and needs `draws` ≥ 2")
        if (method.draws or 0) > (stored := study.features[features].draws):
            raise ValueError(f"methods.{name}.draws: features.{features} have {stored}; raise their `draws`")


def _readers(study: "Study", method: str) -> dict[str, bool]:
    """Settings that only some methods use, and whether this one does."""
    return {
        "pool_fraction": study.is_two_stage(method),
        "stages": study.is_scored(method),
        "weight": study.is_scored(method) and SCORES[study.score(method)].takes_weight,
        "dropout": study.needs_samples(method) and study.head_of(method).kind == "mlp",
        "samples": study.needs_samples(method),
        "epochs": study.head_of(method).kind == "mlp",
        "draws": study.needs_draws(method),
        "annotator": study.oracle == "masks" and study.score(method) != "full",
        "candidates": study.needs_lists(method),
    }


def _check_features(study: "Study", name: str, features: FeatureSettings) -> None:
    for dataset in features.datasets or ():
        if dataset not in study.datasets:
            raise ValueError(f"features.{name}.datasets: unknown dataset {dataset!r}{nearest(dataset, study.datasets)}")
    if isinstance(features.backbone, Pretrained) and features.backbone.pretrain not in study.pretraining:
        raise ValueError(f"features.{name}.backbone: `pretraining` has no entry {features.backbone.pretrain!r}")
    for name_of_part in features.parts:
        part, where = study.features.get(name_of_part), f"features.{name}.backbone"
        if part is None:
            raise ValueError(f"{where}: unknown features {name_of_part!r}{nearest(name_of_part, study.features)}")
        if part.parts:
            raise ValueError(f"{where}: {name_of_part} joins others itself; name those")
    if len(set(features.parts)) < len(features.parts):
        raise ValueError(f"features.{name}.backbone: an entry appears twice")
    for key in ("blocks", "timesteps"):
        if len(set(getattr(features, key))) < len(getattr(features, key)):
            raise ValueError(f"features.{name}.{key}: an entry appears twice")


def _check_published(study: "Study") -> None:
    for dataset, published in study.published.miou.items() if study.published else ():
        if dataset not in study.datasets:
            raise ValueError(f"published.miou: this study has no {dataset!r}{nearest(dataset, study.datasets)}")
        for method in published:
            if method not in study.methods:
                raise ValueError(f"published.miou: this study has no {method!r}{nearest(method, study.methods)}")


def _check_reference(study: "Study") -> None:
    reference = study.statistics.reference
    known = [name for name in study.methods if study.score(name) != "full"]
    if reference is not None and reference not in known:
        raise ValueError(f"statistics.reference: {reference!r} is no method to compare with{nearest(reference, known)}")


def budgets_fit(study: "Study", runs: "Iterable[Run]", images: Images) -> None:
    """Check that the images can offer what the runs ask for, as far as that is known before anything runs.

    Raises:
        UserError: a budget is no pixel, a round asks for more pixels than the images offer or stage 1 keeps, or all
            rounds together ask for more than the images' lists (or context pixels) hold.
    """
    for run in runs:
        if study.score(run.method) == "full" or not study.chooses(run.method):
            continue
        train = images[run.dataset]["train"]
        for who, rounds, share, limits in _limits(study, run):
            mend, an_image = min(limits.items(), key=lambda limit: limit[1])  # to raise another limit would not help
            asked = rounds * pixels_a_round(run.budget, train)
            offered = max(1, round(share * train * an_image))
            if asked > offered:
                raise UserError(
                    f"budgets: with {run.budget}, {who} {run.method} for {asked:,} pixels, but the images of "
                    f"{run.dataset} offer it {offered:,}",
                    remedy=f"lower `budgets` or raise {mend}",
                )


def _limits(study: "Study", run: "Run") -> Iterator[tuple[str, int, float, dict[str, int]]]:
    """What bounds the pixels that a run asks for.

    Yields:
        who asks, for how many rounds' pixels, which share of the offered ones there is to choose from, and the pixels
        that an image offers at most, by what to raise for more.
    """
    method, rounds, candidates = run.method, study.rounds_of(run.method), study.candidates_of(run.method)
    height, width = study.datasets[run.dataset].size
    size = {f"`datasets.{run.dataset}.size`": height * width}
    everything = {f"`features.{run.features}.context`": study.features[run.features].context, **size}
    if study.needs_lists(method):
        herded = size if candidates.pixels == "all" else {"`candidates.pixels`": candidates.pixels, **size}
        offers = {"`candidates.listed`": candidates.listed, **herded}
        yield "the first round asks" if study.is_single_stage(method) else "a round asks", 1, 1, offers
        if study.is_two_stage(method) and rounds > 1:
            pooled = {f"{mend} or `methods.{method}.pool_fraction`": limit for mend, limit in offers.items()}
            yield "a round asks", 1, study.methods[method].pool_fraction, pooled
        listed = candidates.listed + candidates.reserve
        everything = {"`candidates.listed` or `candidates.reserve`": listed, **herded}
    yield "all rounds together ask", rounds, 1, size if study.is_single_stage(method) else everything
