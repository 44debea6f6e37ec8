"""Checks of a study before anything runs: data, backbones, disk and devices, as rows of a table.

Nothing is prepared, downloaded or written.
"""

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pixelherd.errors import UserError
from pixelherd.features.backbones.sources.folder import DiffusersFolder
from pixelherd.features.backbones.sources.source import Stored
from pixelherd.selection.settings import pixels_a_round
from pixelherd.storage.stores import DATA
from pixelherd.study import checks, plan, stages
from pixelherd.study.health.inspection import Check, Status, check_dataset, mistake
from pixelherd.study.plan import readable
from pixelherd.study.settings import Pretrained
from pixelherd.study.study import Study

if TYPE_CHECKING:
    import torch

    from pixelherd.features.backbones.backbone import Backbone


def examine(study: Study) -> list[Check]:
    """Every check of a study; what is wrong with a subject is told once."""
    checks: list[Check] = []
    for name in study.datasets:
        checks += check_dataset(study, name)
    networks: dict[str, Backbone] = {}
    for name, settings in study.features.items():
        if not settings.parts:  # those that they join have rows of their own
            checks += check_backbone(study, name, networks)
    for dataset, features in study.pairs():
        checks.append(check_maps(study, dataset, features))
        if checks[-1].status == "ok":
            parts = [part for part in study.features[features].parts or [features] if part in networks]
            checks += [check_time(study, dataset, part, networks[part]) for part in parts]
    checks += [*check_budgets(study), check_disk(study), check_device(study.device)]
    return list({(each.subject, each.status, each.detail): each for each in reversed(checks)}.values())[::-1]


def check_backbone(study: Study, name: str, networks: "dict[str, Backbone]") -> list[Check]:
    """Backbone readable and of its architecture, timesteps of its noise schedule; adds it to those that are loaded."""
    subject, settings = f"features.{name}", study.features[name]
    checks: list[Check] = []
    try:
        found, network = _backbone(study, name)
        checks.append(found)
        if network:
            networks[name] = network
        description = plan.description_of(study, name)
        description.check_timesteps(settings.timesteps)
        if description.timesteps is not None:
            checks.append(Check(subject, "timesteps", "ok", ", ".join(map(str, settings.timesteps))))
    except UserError as error:
        checks.append(mistake(subject, "timesteps" if checks else "backbone", error))
    return checks


def check_maps(study: Study, dataset: str, features: str) -> Check:
    """Blocks that the network has, at a size that it can halve."""
    subject, (height, width) = f"features.{features}", study.network_size(dataset, features)
    try:
        size, dimension = plan.geometry_of(study, dataset, features)
        plan.forwards_of(study, dataset, features)
    except UserError as error:
        return mistake(subject, "blocks", error)
    settings = study.features[features]
    blocks = " and ".join(settings.parts) or ", ".join(map(str, settings.blocks))
    detail = f"{blocks} of {dataset} at {width}x{height}: D = {dimension:,}, {readable(size)} of maps an image"
    return Check(subject, "blocks", "ok", detail)


def check_time(study: Study, dataset: str, features: str, network: "Backbone") -> Check:
    """Seconds that a network evaluation takes here, by one timed image, and how many the study asks for at most."""
    import numpy as np

    from pixelherd.features.maps import compute

    whole = stages.maps(study, dataset, features)
    settings = whole.model_copy(update={"timesteps": whole.timesteps[:1]})
    image = np.zeros((*study.datasets[dataset].size, 3), np.uint8)
    try:
        compute(network, image, settings)  # the first one takes longer
        before, start = network.forwards, time.perf_counter()
        compute(network, image, settings)
    except (UserError, RuntimeError, MemoryError) as error:
        what = " ".join(str(error).split())[:200]
        return Check(f"features.{features}", f"time on {dataset}", "note", f"an image could not be timed here: {what}")
    seconds = (time.perf_counter() - start) / (network.forwards - before)
    detail = f"{seconds:.2g} s an evaluation of the network here, on {network.device}"
    try:
        runs = [run for run in study.runs() if (run.dataset, run.features) == (dataset, features)]
        forwards = sum(item.forwards for item in plan.items(study, plan.images_of(study, [dataset]), runs))
    except UserError:  # told among the dataset's files
        return Check(f"features.{features}", f"time on {dataset}", "note", detail)
    total = f"; {forwards:,} of them at most: {_duration(seconds * forwards)}" if runs else ""
    return Check(f"features.{features}", f"time on {dataset}", "note", detail + total)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"


def check_budgets(study: Study) -> Iterator[Check]:
    """Pixels a round, and whether the images can offer them."""
    aspect = ", ".join(map(str, study.budgets))
    for dataset in dict.fromkeys(run.dataset for run in study.runs()):
        try:
            images = plan.images_of(study, [dataset])
        except UserError:  # told among the dataset's files
            continue
        train = images[dataset]["train"]
        try:
            checks.budgets_fit(study, [run for run in study.runs() if run.dataset == dataset], images)
            pixels = ", ".join(str(pixels_a_round(str(budget), train)) for budget in study.budgets)
        except UserError as error:
            yield mistake("budgets", aspect, error)
        else:
            yield Check("budgets", aspect, "ok", f"{pixels} pixels a round for {dataset}'s {train:,} training images")


def check_disk(study: Study) -> Check:
    """What the study still stores, against what is free where its cache lies."""
    cache = Path(study.cache).absolute()
    free = shutil.disk_usage(next(folder for folder in (cache, *cache.parents) if folder.exists())).free
    try:
        total = sum(item.bytes for item in plan.items(study, plan.images_of(study, study.datasets)))
    except UserError:
        return Check("cache", "disk", "note", f"{readable(free)} free", "mend the rows above to learn what is needed")
    stored = sum(map(_size, _stores(study)))
    needed = max(total - stored, 0)
    detail = f"{readable(needed)} needed ({readable(stored)} stored already), {readable(free)} free"
    if needed <= free:
        return Check("cache", "disk", "ok", detail)
    mend = "free space, move `cache`, or set `maps` or `draw_maps` to `recompute`"
    return Check("cache", "disk", "wrong", detail, mend)


def check_device(name: str) -> Check:
    """GPUs seen here, and the device that jobs would take."""
    import torch

    from pixelherd.compute.devices import resolve

    try:
        device = resolve(name)
    except UserError as error:
        return mistake("device", name, error)
    gpus = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    seen = ", ".join(f"{each.name} ({readable(each.total_memory)})" for each in gpus) or "no CUDA GPU"
    status: Status = "note" if device.type == "cpu" else "ok"
    return Check("device", name, status, f"{seen} seen here, where jobs take {device}")


def table(checks: Iterable[Check]) -> str:
    """The checks as Markdown."""
    from tabulate import tabulate

    rows = [[each.subject, each.aspect, each.status, each.detail, each.mend] for each in checks]
    return tabulate(rows, ["what", "check", "status", "found", "how to mend"], "github", disable_numparse=True)


def verdict(checks: Sequence[Check]) -> None:
    """Raise a UserError that names what is wrong, if anything is."""
    wrong = [f"{each.subject} ({each.aspect})" for each in checks if each.status == "wrong"]
    if wrong:
        raise UserError(
            f"{len(wrong)} of {len(checks)} checks failed: {', '.join(wrong)}", remedy="the table says how to mend them"
        )


def _backbone(study: Study, name: str) -> "tuple[Check, Backbone | None]":
    """Read the backbone as its job will, without converting or downloading anything; with it, if it is there."""
    subject, backbone = f"features.{name}", study.features[name].backbone
    assert not isinstance(backbone, list)
    stored: Stored
    if isinstance(backbone, Pretrained):
        made = [path.with_name(DATA) for path in plan.stored(study.paths.pretrained, name=backbone.pretrain)]
        if not made:
            return Check(subject, "backbone", "note", f"this study trains {backbone.pretrain} first"), None
        stored = DiffusersFolder(made[-1])
    else:
        kept, changes = plan.kept_backbone(study, name), any(path.is_file() for path in backbone.watched())
        found = backbone.stored() or (backbone.made(kept).prepared(kept) if kept and not changes else None)
        if found is None:
            told = backbone.examine()
            return Check(subject, "backbone", "ok" if told.sound else "note", told.found), None
        stored = found
    network = stored.load(_device(study), None, "float16")
    module = getattr(network, "network", None)
    parameters = sum(each.numel() for each in module.parameters()) if module else 0
    licence = f", licence {network.description.licence}" if network.description.licence else ""
    detail = f"{network.path}: {parameters:,} parameters, {network.blocks} blocks{licence}"
    return Check(subject, "backbone", "ok", detail), network


def _device(study: Study) -> "torch.device | str":
    from pixelherd.compute.devices import resolve

    try:
        return resolve(study.device)
    except UserError:  # told as the device
        return "cpu"


def _stores(study: Study) -> Iterator[Path]:
    """The folders of the cache that this study fills."""
    for dataset, features in study.pairs():
        for pattern in (study.paths.maps, study.paths.draw_maps, study.paths.lists, study.paths.draws):
            folder, _, _ = pattern.partition("{features}")
            yield Path(folder.format(dataset=dataset)) / features
    yield from (path.parent for name in study.datasets for path in plan.stored(study.paths.dataset, dataset=name))
    yield from filter(None, (plan.kept_backbone(study, name) for name in study.features))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
