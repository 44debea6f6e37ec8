"""Backbones that are not diffusers folders yet: checkpoints of guided-diffusion, and models of the Hugging Face hub."""

import errno
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from pixelherd.errors import UserError
from pixelherd.features.backbones import embedded
from pixelherd.features.backbones.description import Description
from pixelherd.features.backbones.geometry import describe, describe_filters, describe_folder, read_scheduler, read_unet
from pixelherd.features.backbones.manifest import BUILT_IN, load, manifest, source_at
from pixelherd.features.backbones.settings import (
    Checkpoint,
    Embedded,
    Filters,
    HubModel,
    PretrainedEncoder,
    Source,
    read_source,
)
from pixelherd.features.backbones.sources import encoders
from pixelherd.features.backbones.sources.download import download
from pixelherd.storage.files import digest_of, write_json

if TYPE_CHECKING:
    import torch

    from pixelherd.features.backbones.backbone import Backbone

RECORD = "backbone.json"
"""What :func:`load_backbone` writes into the folder that it keeps a network in, last of all."""


def load_backbone(
    source: str | Path | Mapping[str, Any] | Source,
    *,
    folder: Path | str | None = None,
    device: "torch.device | str" = "cpu",
    batch: int | None = None,
    autocast: Literal["float16", "bfloat16"] | None = "float16",
) -> "Backbone":
    """Load a frozen network, whatever form it has.

    A network lies in memory once it is loaded, so the diffusers folder that a checkpoint or a model of the hub becomes
    on the way is temporary, unless ``folder`` says where it shall stay: then the next call needs no conversion.

    Args:
        source: a diffusers folder; or settings as a study has them, such as ``{"embedded": "efficientnet_lite2"}``,
            ``{"checkpoint": …, "architecture": …}`` or ``{"diffusers": …}``.
        folder: where the converted network is kept; does not exist yet, or is what the same settings made before.
        device: a torch device.
        batch: most network samples in one forward call, see :func:`pixelherd.features.backbones.manifest.load`.
        autocast: reduced precision on CUDA, see there.

    Returns:
        The network, frozen, in evaluation mode, with float32 weights.

    Raises:
        UserError: as :func:`provide` and :func:`pixelherd.features.backbones.manifest.load`, the settings are
            malformed, or the folder holds something else.
        ValueError: a folder is given for what is a folder already.
    """
    if isinstance(source, str | Path):
        if folder is not None:
            raise ValueError(f"{source} is a diffusers folder already, so nothing is converted: leave out `folder`")
        return load(source, device=device, batch=batch, autocast=autocast)
    settings = read_source(source) if isinstance(source, Mapping) else source
    if isinstance(settings, BUILT_IN) or (isinstance(settings, PretrainedEncoder) and encoders.folder_of(settings)):
        return load(settings, device=device)
    if folder is not None:
        _keep(settings, Path(folder))
        return load(source_at(settings.identity(), folder), device=device, batch=batch, autocast=autocast)
    with TemporaryDirectory() as temporary:
        made = Path(temporary) / "backbone"
        provide(settings, made)
        backbone = load(source_at(settings.identity(), made), device=device, batch=batch, autocast=autocast)
    backbone.path = Path(next(iter(settings.identity().values())))  # for errors
    return backbone


def _keep(settings: Source, folder: Path) -> None:
    """Make the folder, unless it was made of the same settings before."""
    record = folder / RECORD
    if not folder.exists():
        write_json(record, {"settings": settings.identity(), **provide(settings, folder)})
        return
    recorded = json.loads(record.read_text()) if record.is_file() else {}
    if (
        recorded.get("settings") != settings.identity()
        or recorded["files"] != manifest(source_at(settings.identity(), folder))["files"]
    ):
        raise UserError(f"{folder} holds something else than this backbone", remedy="delete it, or name another folder")


def provide(source: Source, folder: Path | str) -> dict[str, Any]:
    """Make ``folder`` a diffusers folder of the backbone, unless it is built in; downloads what is missing.

    A checkpoint whose tensors are all float16 stays float16 on disk; others are stored as float32.

    Returns:
        The folder's :func:`pixelherd.features.backbones.manifest.manifest`, and its ``source``: the checkpoint's path,
        SHA-256 and architecture, or the model's id and commit.

    Raises:
        UserError: the source is missing, damaged, of another kind or architecture than it should be.
    """
    if isinstance(source, BUILT_IN) or (isinstance(source, PretrainedEncoder) and encoders.folder_of(source)):
        return manifest(source)
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        if isinstance(source, Checkpoint):
            facts = _convert(source, folder)
        elif isinstance(source, PretrainedEncoder):
            facts = encoders.fetch(source, folder)
        else:
            facts = _fetch(source, folder)
    except Exception as error:
        if "No space left on device" in str(error):  # safetensors raises its own kind
            raise OSError(errno.ENOSPC, "No space left on device", str(folder)) from None
        raise
    return {**manifest(source_at(source.identity(), folder)), "source": facts}


def described(source: str | Source, made: Path | str | None, where: str) -> Description:
    """Return what a backbone takes and gives, before it is made too.

    Args:
        source: a diffusers folder, or what becomes one.
        made: the folder that it has become, if it has.
        where: names it in messages, if it is no folder.

    Raises:
        UserError: there is no usable configuration.
    """
    if isinstance(source, str):
        return describe_folder(source)
    if isinstance(source, Embedded):
        return embedded.describe()
    if isinstance(source, Filters):
        return describe_filters(source)
    if isinstance(source, PretrainedEncoder):
        return encoders.described(source, made)
    if isinstance(source, Checkpoint):
        return describe(source.network.unet_config(), {"num_train_timesteps": source.network.diffusion_steps}, where)
    if made and (Path(made) / "unet" / "config.json").is_file():
        return describe(read_unet(made), read_scheduler(made), where)
    from pixelherd.features.backbones.sources import hub

    return describe(hub.unet_config(source), None, where)


def find_checkpoint(source: Checkpoint) -> Path:
    """The checkpoint's file, downloaded if it is not there and has a URL; its size is right.

    Raises:
        UserError: the file is missing or has another size, or its download failed.
    """
    path = Path(source.checkpoint)
    if path.is_dir():
        raise UserError(f"checkpoint {path} is a folder", remedy="name a file, or give a diffusers folder by its path")
    if not path.is_file():
        if source.url is None:
            published = source.published()
            fetch = f"download {published} and put it there" if published else "put the file there"
            raise UserError(f"there is no checkpoint {path}", remedy=f"{fetch}, or give a `url` to download it from")
        download(source.url, path, size=source.bytes)
    size = path.stat().st_size
    if source.bytes not in (None, size):
        raise UserError(
            f"checkpoint {path} has {size} bytes rather than {source.bytes}",
            remedy=("delete it and fetch it again, or correct `bytes`"),
        )
    return path


def _convert(source: Checkpoint, folder: Path) -> dict[str, Any]:
    import torch

    from pixelherd.features.backbones.sources import adm

    path = find_checkpoint(source)
    digest = digest_of(path)
    if source.sha256 not in (None, digest):
        raise UserError(
            f"checkpoint {path} has SHA-256 {digest} rather than {source.sha256}",
            remedy=("delete it and fetch it again, or correct `sha256`"),
        )
    state_dict = adm.read_checkpoint(path)
    network = adm.convert_adm(state_dict, source.network, where=f"checkpoint {path}")
    if all(tensor.dtype == torch.float16 for tensor in state_dict.values()):
        network.half()
    network.save_pretrained(folder / "unet")
    adm.scheduler(source.network).save_pretrained(folder / "scheduler")
    return {"checkpoint": str(path), "sha256": digest, "architecture": source.network.model_dump(mode="json")}


def _fetch(source: HubModel, folder: Path) -> dict[str, Any]:
    from pixelherd.features.backbones.sources import hub

    commit = hub.fetch(source, folder)
    load(folder)  # weights of another architecture are found here rather than in the jobs that need them
    return {"diffusers": source.diffusers, "commit": commit}
