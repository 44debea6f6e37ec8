"""Unconditional models of the Hugging Face hub, through diffusers and the hub's local cache."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline, UNet2DModel

from pixelherd.errors import UserError
from pixelherd.features.backbones.geometry import check_parts, check_unet, indexed_parts
from pixelherd.features.backbones.settings import HubModel


def unet_config(model: HubModel) -> dict[str, Any]:
    """The configuration of a model's U-Net; fetches no weights.

    Raises:
        UserError: as :func:`fetch`.
    """
    _check_parts(model)

    def load(**where: Any) -> dict[str, Any]:
        return UNet2DModel.load_config(model.diffusers, revision=model.revision, **where)

    try:
        config = load(subfolder="unet")
    except OSError:
        config = _asked(model, load)
    return check_unet(config, f"model {model.diffusers}")


def fetch(model: HubModel, folder: Path) -> str:
    """Copy a model's network and scheduler to ``folder/unet`` and ``folder/scheduler``; downloads what is not cached.

    Returns:
        The commit of the model.

    Raises:
        UserError: the model is neither on the hub nor in the local cache, or has other parts than a U-Net and its
            scheduler.
    """
    _check_parts(model)
    snapshot = _downloaded(model)
    if not any(snapshot.rglob("diffusion_pytorch_model*")):  # some have float16 weights alone
        snapshot = _downloaded(model, variant="fp16")
    patterns = {"unet": ("config.json", "diffusion_pytorch_model*"), "scheduler": ("scheduler_config.json",)}
    for part, names in patterns.items():
        (folder / part).mkdir(parents=True)
        for pattern in names:  # older models keep the files of both parts beside model_index.json
            for file in sorted((snapshot / part).glob(pattern)) or sorted(snapshot.glob(pattern)):
                shutil.copyfile(file, folder / part / file.name)
    return snapshot.name


def _downloaded(model: HubModel, **options: str) -> Path:
    """The folder of the hub's local cache that has the files of a model."""
    return Path(_asked(model, lambda: DiffusionPipeline.download(model.diffusers, revision=model.revision, **options)))


def _check_parts(model: HubModel) -> None:
    """Refuse, before anything large is fetched, pipelines with more than a network and its scheduler."""
    index = _asked(model, lambda: DiffusionPipeline.load_config(model.diffusers, revision=model.revision))
    check_parts(indexed_parts(index), f"model {model.diffusers}")


def _asked(model: HubModel, load: Callable) -> Any:
    try:
        return load()
    except Exception as error:  # diffusers, the hub's client and its transport each raise their own kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"cannot get model {model.diffusers} from the Hugging Face hub or its local cache: {reason}",
            remedy=(
                "check id, revision and network, or fetch the model where there is one and copy the cache (HF_HOME)"
            ),
        ) from None
