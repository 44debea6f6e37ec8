"""Models of the Hugging Face hub, through its client, diffusers and the hub's local cache."""

import shutil
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pixelherd.errors import UserError
from pixelherd.features.backbones.diffusion.pipeline import BESIDE, Pipeline, check_parts, indexed_parts

FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "*.bin")
"""Files of parts: configurations, vocabularies and weights."""

VARIANTS = ".fp16.", ".non_ema.", ".bf16."
"""In names of files of weights that are there a second time."""


def read(name: str, revision: str | None) -> Pipeline:
    """Read the configurations of a model's networks; fetches no weights.

    Raises:
        UserError: the model is neither on the hub nor in the local cache, or of a kind that nobody knows.
    """

    def configuration(part: str, file: str) -> dict[str, Any] | None:
        from diffusers import UNet2DModel

        def load(**where: Any) -> dict[str, Any]:
            return UNet2DModel.load_config(name, revision=revision, **where)

        try:
            return load(subfolder=part)
        except OSError:  # older models keep their only network beside model_index.json
            return asked(name, load) if part == "unet" else None

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
    from diffusers import DiffusionPipeline

    without = {part: None for part in BESIDE if part in parts}

    def load() -> str:
        return DiffusionPipeline.download(name, revision=revision, **without, **options)

    return Path(asked(name, load))


def _parts(name: str, revision: str | None) -> dict[str, str]:
    """The class of each part; refuses, before anything large is fetched, models that nobody knows."""
    from diffusers import DiffusionPipeline

    index = asked(name, lambda: DiffusionPipeline.load_config(name, revision=revision))
    parts = indexed_parts(index)
    check_parts(parts, name)
    return parts


def offer(name: str, revision: str | None, patterns: Sequence[str]) -> list[str]:
    """Say what a model is offered with: its licence, and how much there is to download; nothing without a network.

    Args:
        name: its id.
        revision: branch, tag or commit.
        patterns: of the files that would be fetched.
    """
    from huggingface_hub import HfApi

    try:
        found = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=10)
    except Exception:  # of the hub's client and its transport; to describe the model comes before, and says why
        return []
    licence = getattr(found.card_data, "license", None)
    files = {each.rfilename: each.size or 0 for each in found.siblings or []}
    kept = [name for name in files if any(fnmatch(name, one) for one in patterns)]
    kept = [name for name in kept if not any(variant in name for variant in VARIANTS)]
    safe = any(name.endswith(".safetensors") for name in kept)
    sizes = [files[name] for name in kept if not (safe and name.endswith(".bin"))]
    said = [f"licence {licence}"] if licence else []
    return [*said, f"{sum(sizes) / 1e9:.2f} GB to download, unless they are in the hub's cache"]


def asked(name: str, load: Callable) -> Any:
    """Return what a library loads of a model.

    Raises:
        UserError: the model is neither on the hub nor in the local cache.
    """
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
