"""The settings that each stage takes of a study, and no more: editing others must not redo the stage.

Rules hand them to jobs as JSON, in which a setting that a method does not use is absent; scripts read them back as the
models that these functions return.
"""

from typing import Any

from pixelherd.datasets.prepare import classes_of
from pixelherd.datasets.settings import FolderSettings
from pixelherd.features.backbones.manifest import PARTS
from pixelherd.features.backbones.settings import PretrainingSettings
from pixelherd.features.settings import MapSettings
from pixelherd.heads.settings import TrainingSettings
from pixelherd.selection.settings import ListSettings, SelectionSettings
from pixelherd.storage.files import hash_of
from pixelherd.study.run import Run
from pixelherd.study.settings import CandidateSettings, Pretrained
from pixelherd.study.study import Study


def preparation(study: Study, dataset: str) -> dict[str, Any]:
    """Return what the prepared dataset depends on."""
    return study.datasets[dataset].preparation()


def class_names(study: Study, dataset: str) -> list[str]:
    """Return the names of a dataset's classes in label order."""
    return [each.name for each in classes_of(study.datasets[dataset])]


def class_keys(study: Study, dataset: str) -> list[str]:
    """Return the names by which answers know a dataset's classes, in label order: they stay when names change."""
    settings = study.datasets[dataset]
    if isinstance(settings, FolderSettings):
        return [entry.key or entry.name for entry in settings.classes]
    return class_names(study, dataset)


def maps(study: Study, dataset: str, features: str) -> MapSettings:
    """Return what native maps and context vectors depend on."""
    entry, own = study.features[features], {"image_size", "threads", "parts"}
    shared = {name: getattr(entry, name) for name in MapSettings.model_fields if name not in own}
    found = MapSettings(**shared, image_size=study.network_size(dataset, features), threads=study.threads)
    if not entry.parts:
        return found
    kept = {"context": 1, "maps": "recompute"}  # the same for all, and read by nobody: those of the whole count
    return found.model_copy(
        update={"parts": [maps(study, dataset, part).model_copy(update=kept) for part in entry.parts]}
    )


def pretraining(study: Study, name: str) -> PretrainingSettings:
    """Return what a backbone that the study trains depends on."""
    return study.pretraining[name]


def lists(study: Study, method: str | None = None) -> ListSettings:
    """Return what the images' lists and their use depend on, besides the maps; without a method, the study's own."""
    candidates = study.candidates if method is None else study.candidates_of(method)
    return ListSettings(**candidates.model_dump(exclude={"per_seed"}))


def herding(study: Study, method: str | None = None) -> ListSettings:
    """Return what the images' lists alone depend on: how many of its pixels an image offers is no matter."""
    own = lists(study, method)
    return own.model_copy(update={"listed": own.length, "reserve": 0})


def list_key(study: Study, method: str, seed: int) -> str:
    """Return what names the lists that a method's runs of a seed choose from: methods with equal lists share them."""
    own, key = herding(study, method), study.candidate_seed(seed)
    return key if own == herding(study) else f"{key}-{hash_of(own.model_dump(mode='json'))[:8]}"


def listed_draws(study: Study, dataset: str, features: str) -> dict[str, int]:
    """Return M by the key of the lists whose pixels need draws: as many as any method that chooses from them takes."""
    found: dict[str, int] = {}
    for run in study.runs():
        if (run.dataset, run.features) == (dataset, features) and study.needs_listed_draws(run.method):
            key = list_key(study, run.method, run.seed)
            found[key] = max(found.get(key, 0), study.draws_of(run.method, run.features))
    return found


def selection(study: Study, run: Run) -> SelectionSettings:
    """Return what a run's queries depend on, besides its features and lists, and how the one errs who answers them."""
    name, method = run.method, study.methods[run.method]
    used: dict[str, Any] = {}
    if study.score(name) == "random" or study.is_single_stage(name):
        used["avoid_ignored"] = study.candidates.avoid_ignored
    if study.needs_lists(name):
        candidates = study.candidates_of(name)
        used |= {"listed": candidates.listed, "kernel": candidates.kernel}
    if study.is_scored(name):
        used["weight"] = method.weight
    if study.is_two_stage(name):
        used["pool_fraction"] = method.pool_fraction
    if study.is_single_stage(name):
        used["stages"] = 1
    if study.needs_draws(name):
        used["draws"] = study.draws_of(name, run.features)
    if study.needs_samples(name):
        used["samples"] = method.samples
    if study.needs_samples(name) and study.head_of(name).kind == "mlp":
        used["dropout"] = method.dropout
    if study.errs(name):
        used["annotator"] = study.annotator_of(name)
    return SelectionSettings(score=study.score(name), budget=run.budget, seed=run.seed, **used)


def training(study: Study, run: Run) -> TrainingSettings:
    """Return what a run's heads depend on, besides its features and labels."""
    return TrainingSettings(head=study.head_of(run.method), seed=run.seed, threads=study.threads)


def backbone(study: Study, features: str) -> dict[str, Any]:
    """Return where the backbone comes from, as far as results depend on it."""
    source = study.features[features].backbone
    if isinstance(source, list):
        return {PARTS: [backbone(study, part) for part in source]}
    if isinstance(source, Pretrained):
        return {"pretrain": study.pretraining[source.pretrain].model_dump(mode="json")}
    return source.identity()


def backbone_request(study: Study, features: str) -> dict[str, Any]:
    """Return :func:`backbone`, with what it takes to fetch the backbone and to check what came."""
    source = study.features[features].backbone
    if isinstance(source, Pretrained | list):
        return backbone(study, features)
    return source.model_dump(mode="json", exclude_none=True)


def result(study: Study, run: Run) -> dict[str, Any]:
    """Return all that affects a run's results, as JSON; how many rounds it has affects none of those before."""
    made_of = maps(study, run.dataset, run.features).identity()
    settings: dict[str, Any] = {
        "dataset": preparation(study, run.dataset),
        "backbone": backbone(study, run.features),
        "features": {key: value for key, value in made_of.items() if key != "maps"},
        "selection": selection(study, run).model_dump(mode="json", exclude_none=True),
        "training": training(study, run).identity(),
    }
    if study.needs_lists(run.method):
        candidates = lists(study, run.method).model_dump(mode="json") | {"key": study.candidate_seed(run.seed)}
        if candidates["bandwidth"] == CandidateSettings().bandwidth:
            del candidates["bandwidth"]  # older than the setting are seals that hold it all the same
        settings["candidates"] = candidates
    if study.evaluates_originals(run.dataset):
        settings["evaluate_at"] = "original"
    if not study.needs_masks(run.method):
        settings["oracle"] = study.oracle
    return settings


def identity(study: Study, run: Run) -> str:
    """Return the SHA-256 of all but the labels that affects a run's heads, which hold it.

    Whoever answers, equal answers give equal heads.
    """
    settings = result(study, run) | {"dataset": study.datasets[run.dataset].training_images()}
    settings.pop("oracle", None)
    settings["selection"].pop("annotator", None)
    return hash_of(settings)


def question(study: Study, run: Run) -> str:
    """Return the SHA-256 of what a person's questions depend on besides the answers: no name or number of classes."""
    images = study.datasets[run.dataset].training_images()
    images.pop("classes", None)
    return hash_of(result(study, run) | {"dataset": images, "oracle": "csv"})


def stage_pairs(study: Study) -> dict[str, str]:
    """Return by two-stage method the single-stage one that is the same otherwise: what stage 1 is measured by."""

    def asks(method: str) -> tuple[str, dict[str, Any]]:
        stage_1 = {"stages", "pool_fraction"}
        return study.score(method), study.methods[method].model_dump(exclude={"score", "seeds", *stage_1})

    single = {method: asks(method) for method in study.methods if study.is_single_stage(method)}
    return {two: one for two in filter(study.is_two_stage, study.methods) for one in single if asks(two) == single[one]}


def first_features(study: Study) -> str | dict[str, str] | None:
    """Return the features entry that others are compared with: the first of a dataset, by dataset if those differ."""
    first: dict[str, str] = {}
    for dataset, features in study.pairs():
        first.setdefault(dataset, features)
    return first if len(set(first.values())) > 1 else next(iter(first.values()), None)


def statistics(study: Study) -> dict[str, Any]:
    """Return what tables of finished runs depend on, as JSON: their comparison, and what others published."""
    methods = [name for name in study.methods if study.score(name) != "full"]
    # False sorts before True, and sorting is stable
    found = sorted(methods, key=lambda name: study.score(name) != "random")
    reference = study.statistics.reference or next(iter(found), None)
    return {
        **study.statistics.model_dump(mode="json"),
        "reference": reference,
        "stages": stage_pairs(study),
        "features": first_features(study),
        "published": study.published and study.published.model_dump(mode="json"),
    }
