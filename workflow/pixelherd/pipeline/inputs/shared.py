"""Inputs of what runs share: backbones, maps, lists, draws."""

from pixelherd.pipeline.inputs.work import Files, Work
from pixelherd.selection.settings import ListSettings
from pixelherd.study import stages
from pixelherd.study.settings import Pretrained


def native_maps(work: Work, dataset: str, features: str, split: str) -> Files:
    """Return what native maps of a whole split need: the stored maps, or the backbone."""
    if work.keeps_maps(features):
        return {"maps": work.paths.maps_index.format(dataset=dataset, features=features, split=split)}
    return {"backbone": work.paths.backbone.format(features=features)}


def shards_of_maps(work: Work, dataset: str, features: str, split: str) -> list[str]:
    """Return the shards of maps that an index names."""
    where = {"dataset": dataset, "features": features, "split": split}
    return [work.paths.maps.format(**where, shard=shard) for shard in work.shards(dataset, split)]


def shards_of_lists(work: Work, dataset: str, features: str, key: str) -> list[str]:
    """Return the shards of lists that a union gathers."""
    where = {"dataset": dataset, "features": features, "key": key}
    return [work.paths.lists.format(**where, shard=shard) for shard in work.shards(dataset, "train")]


def shards_of_draws(work: Work, dataset: str, features: str, key: str) -> list[str]:
    """Return the shards of draws that an index names."""
    where = {"dataset": dataset, "features": features, "key": key}
    return [work.paths.draws.format(**where, shard=shard) for shard in work.shards(dataset, "train")]


def pretraining(work: Work, name: str) -> str:
    """Return the dataset that a backbone is trained on."""
    return work.paths.dataset.format(dataset=work.study.pretraining[name].dataset)


def backbone(work: Work, features: str) -> str | list[str]:
    """Return the manifest of the backbone that this study trains, where it trains one."""
    source = work.study.features[features].backbone
    return work.paths.pretrained.format(name=source.pretrain) if isinstance(source, Pretrained) else []


def herd(work: Work, dataset: str, features: str, shard: str) -> Files:
    """Return what lists of a shard are herded from."""
    where = {"dataset": dataset, "features": features, "split": "train", "shard": shard}
    maps = {"maps": work.paths.maps} if work.keeps_maps(features) else {"backbone": work.paths.backbone}
    return {name: pattern.format(**where) for name, pattern in ({"dataset": work.paths.dataset} | maps).items()}


def perturb(work: Work, dataset: str, features: str, key: str, shard: str) -> Files:
    """Return what the draws at listed pixels of a shard come from."""
    where = {"dataset": dataset, "features": features, "key": key, "shard": shard}
    kept = work.kept_draws[dataset, features]
    maps = {"draw_maps": work.paths.draw_maps} if kept else {"backbone": work.paths.backbone}
    files = {"dataset": work.paths.dataset, "lists": work.paths.lists} | maps
    return {name: pattern.format(**where) for name, pattern in files.items()}


def every_index(work: Work) -> list[str]:
    """Return everything that a study computes once for all its runs."""
    study, paths, wanted = work.study, work.paths, set()
    for run in work.pending:
        if work.keeps_maps(run.features):
            wanted |= {work.at(paths.maps_index, run, split=split) for split in work.splits(run.dataset)}
        elif study.needs_context(run.method):
            wanted.add(work.at(paths.maps_index, run, split="train"))
        if study.needs_lists(run.method):
            wanted.add(work.at(paths.union, run))
        if study.needs_listed_draws(run.method):
            wanted.add(work.at(paths.draws_index, run))
        if study.ranks_by_draws(run.method) and work.kept_draws[run.dataset, run.features]:
            wanted |= {work.at(paths.draw_maps, run, shard=shard) for shard in work.shards(run.dataset, "train")}
    return sorted(wanted)


def every_pretrained(work: Work) -> list[str]:
    """Return every backbone that the study trains."""
    return [work.paths.pretrained.format(name=name) for name in work.study.pretraining]


def kept_draws(work: Work, dataset: str, features: str) -> int:
    """Return how many noise draws' maps are stored; 0 where they are made anew."""
    return work.kept_draws[dataset, features]


def listed_draws(work: Work, dataset: str, features: str, key: str) -> int:
    """Return M at the pixels of lists."""
    return work.listed_draws[dataset, features][key]


def herding(work: Work, key: str) -> ListSettings:
    """Return what the lists of a key depend on."""
    return stages.herding(work.study, work.listing[key])
