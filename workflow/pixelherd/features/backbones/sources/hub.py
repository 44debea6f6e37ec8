"""Diffusion models of the Hugging Face hub, through diffusers and the hub's local cache."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline, UNet2DModel

from pixelherd.errors import UserError
from pixelherd.features.backbones.sources.pipeline import BESIDE, Pipeline, check_parts, indexed_parts

FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "*.bin")
"""Files of parts: configurations, vocabularies and weights."""


def read(name: str, revision: str | None) -> Pipeline:
    """Read the configurations of a model's networks; fetches no weights.

    Raises:
        UserError: the model is neither on the hub nor in the local cache, or of a kind that nobody knows.
    """

    def configuration(part: str, file: str) -> dict[str, Any] | None:
        def load(**where: Any) -> dict[str, Any]:
            return UNet2DModel.load_config(name, revision=revision, **where)

        try:
            return load(subfolder=part)
        except OSError:  # older models keep their only network beside model_index.json
            return _asked(name, load) if part == "unet" else None

    return Pipeline.read(name, _parts(name, revision), configuration, scheduled=False)


def fetch(name: str, revision: str | None, folder: Path, parts: Sequence[str]) -> str:
    """Copy parts of a model to folders of these names in ``folder``; downloads what is not cached.

    Returns:
        The commit of the model.

    Raises:
        UserError: as :func:`read`.
    """
    found = _parts(name, revision)
    snapshot = _downloaded(name, revision, found)
    weights = "diffusion_pytorch_model*"
    if not any([*snapshot.glob(weights), *(snapshot / "unet").glob(weights)]):  # some have float16 weights alone
        snapshot = _downloaded(name, revision, found, variant="fp16")
    for part in (part for part in parts if part in found):
        (folder / part).mkdir(parents=True)
        beside = {"unet": ("config.json", weights), "scheduler": ("scheduler_config.json",)}
        inside = [file for pattern in FILES for file in sorted((snapshot / part).glob(pattern))]
        for file in inside or [file for pattern in beside.get(part, ()) for file in sorted(snapshot.glob(pattern))]:
            shutil.copyfile(file, folder / part / file.name)
    return snapshot.name


def _downloaded(name: str, revision: str | None, parts: dict[str, str], **options: Any) -> Path:
    """The folder of the hub's local cache that has the files of a model."""
    without = {part: None for part in BESIDE if part in parts}

    def load() -> str:
        return DiffusionPipeline.download(name, revision=revision, **without, **options)

    return Path(_asked(name, load))


def _parts(name: str, revision: str | None) -> dict[str, str]:
    """The class of each part; refuses, before anything large is fetched, models that nobody knows."""
    index = _asked(name, lambda: DiffusionPipeline.load_config(name, revision=revision))
    parts = indexed_parts(index)
    check_parts(parts, name)
    return parts


def _asked(name: str, load: Callable) -> Any:
    try:
        return load()
    except Exception as error:  # diffusers, the hub's client and its transport each raise their own kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"cannot get model {name} from the Hugging Face hub or its local cache: {reason}",
            remedy=(
                "check id, revision and network, or fetch the model where there is one and copy the cache (HF_HOME)"
            ),
        ) from None
