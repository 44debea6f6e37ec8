"""Inputs of what runs share: backbones, maps, lists, draws."""

from pixelherd.pipeline.inputs.stores import Files
from pixelherd.pipeline.inputs.work import Work
from pixelherd.selection.settings import ListSettings
from pixelherd.storage.shards import images_of
from pixelherd.study import stages
from pixelherd.study.settings import Pretrained


def native_maps(work: Work, dataset: str, features: str, split: str) -> Files:
    """Return what native maps of a whole split need: the stored maps, or the backbone."""
    if work.keeps_maps(features):
        return {"maps": work.maps_index(dataset, features, split)}
    return work.network(features)


def pretraining(work: Work, name: str) -> str:
    """Return the dataset that a backbone is trained on."""
    return work.dataset(work.study.pretraining[name].dataset)


def backbone(work: Work, features: str) -> str | list[str]:
    """Return the manifest of the backbone that this study trains, or those that others are joined of."""
    source = work.study.features[features].backbone
    if isinstance(source, list):
        return [work.backbone(part) for part in source]
    return work.pretrained(source.pretrain) if isinstance(source, Pretrained) else []


def extract(work: Work, dataset: str, features: str) -> Files:
    """Return what maps are made of."""
    return {"dataset": work.dataset(dataset), **work.network(features)}


def herd(work: Work, dataset: str, features: str, shard: str) -> Files:
    """Return what lists of a shard are herded from."""
    if work.keeps_maps(features):
        return {
            "dataset": work.dataset(dataset),
            "maps": same_images(work, work.maps(dataset, features, "train"), shard),
        }
    return extract(work, dataset, features)


def perturb(work: Work, dataset: str, features: str, key: str, shard: str) -> Files:
    """Return what the draws at listed pixels of a shard come from."""
    lists = same_images(work, work.lists(dataset, features, key), shard)
    files: Files = {"dataset": work.dataset(dataset), "lists": lists}
    if work.kept_draws[dataset, features]:
        return files | {"draw_maps": same_images(work, work.draw_maps(dataset, features), shard)}
    return files | work.network(features)


def same_images(work: Work, shards: list[str], shard: str) -> str:
    """Return the one of all ``shards`` of a split that holds the images of ``shard``, of stores of another kind."""
    return shards[images_of(shard).start // work.study.images_per_job]


def every_index(work: Work) -> list[str]:
    """Return everything that a study computes once for all its runs."""
    study, wanted = work.study, set()
    for run in work.pending:
        if work.keeps_maps(run.features):
            wanted |= {work.maps_index(run.dataset, run.features, split) for split in work.splits(run.dataset)}
        elif study.needs_context(run.method):
            wanted.add(work.maps_index(run.dataset, run.features, "train"))
        if study.needs_lists(run.method):
            wanted.add(work.union(run))
        if study.needs_listed_draws(run.method):
            wanted.add(work.draws_index(run))
        if study.ranks_by_draws(run.method) and work.kept_draws[run.dataset, run.features]:
            wanted |= set(work.draw_maps(run.dataset, run.features))
    return sorted(wanted)


def every_pretrained(work: Work) -> list[str]:
    """Return every backbone that the study trains."""
    return [work.pretrained(name) for name in work.study.pretraining]


def kept_draws(work: Work, dataset: str, features: str) -> int:
    """Return how many noise draws' maps are stored; 0 where they are made anew."""
    return work.kept_draws[dataset, features]


def listed_draws(work: Work, dataset: str, features: str, key: str) -> int:
    """Return M at the pixels of lists."""
    return work.listed_draws[dataset, features][key]


def herding(work: Work, key: str) -> ListSettings:
    """Return what the lists of a key depend on."""
    return stages.herding(work.study, work.listing[key])
