"""Backbones that are not diffusers folders yet: checkpoints of guided-diffusion, and models of the Hugging Face hub."""

import errno
import shutil
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..storage import digest_of
from . import load, manifest
from .download import download
from .geometry import read_unet
from .settings import Checkpoint, HubModel


def provide(source: Checkpoint | HubModel, folder: Path | str) -> dict[str, Any]:
    """Make ``folder`` a diffusers folder of the backbone; downloads what is missing.

    A checkpoint whose tensors are all float16 stays float16 on disk; others are stored as float32.

    Returns:
        The folder's :func:`pixelherd.backbones.manifest`, and its ``source``: the checkpoint's path, SHA-256 and
        architecture, or the model's id and commit.

    Raises:
        UserError: the source is missing, damaged, of another kind or architecture than it should be.
    """
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        facts = _convert(source, folder) if isinstance(source, Checkpoint) else _fetch(source, folder)
    except Exception as error:
        if "No space left on device" in str(error):  # safetensors raises its own kind
            raise OSError(errno.ENOSPC, "No space left on device", str(folder)) from None
        raise
    return {**manifest(folder), "source": facts}


def unet_config(source: str | Checkpoint | HubModel, made: Path | str) -> dict[str, Any]:
    """The configuration of a backbone's U-Net, before the backbone is made too.

    Args:
        source: a diffusers folder, or what becomes one.
        made: the folder that it becomes.

    Raises:
        UserError: there is no usable configuration.
    """
    if isinstance(source, str):
        return read_unet(source)
    if isinstance(source, Checkpoint):
        return source.network.unet_config()
    if (Path(made) / "unet" / "config.json").is_file():
        return read_unet(made)
    from . import hub

    return hub.unet_config(source)


def find_checkpoint(source: Checkpoint) -> Path:
    """The checkpoint's file, downloaded if it is not there and has a URL; its size is right.

    Raises:
        UserError: the file is missing or has another size, or its download failed.
    """
    path = Path(source.checkpoint)
    if not path.is_file():
        if source.url is None:
            published = source.published()
            fetch = f"download {published} and put it there" if published else "put the file there"
            raise UserError(f"there is no checkpoint {path}; {fetch}, or give a `url` to download it from")
        download(source.url, path, size=source.bytes)
    size = path.stat().st_size
    if source.bytes not in (None, size):
        raise UserError(
            f"checkpoint {path} has {size} bytes rather than {source.bytes}; delete it and fetch it again, or "
            "correct `bytes`"
        )
    return path


def _convert(source: Checkpoint, folder: Path) -> dict[str, Any]:
    import torch

    from . import adm

    path = find_checkpoint(source)
    digest = digest_of(path)
    if source.sha256 not in (None, digest):
        raise UserError(
            f"checkpoint {path} has SHA-256 {digest} rather than {source.sha256}; delete it and fetch it again, or "
            "correct `sha256`"
        )
    state_dict = adm.read_checkpoint(path)
    network = adm.convert(state_dict, source.network, where=f"checkpoint {path}")
    if all(tensor.dtype == torch.float16 for tensor in state_dict.values()):
        network.half()
    network.save_pretrained(folder / "unet")
    adm.scheduler(source.network).save_pretrained(folder / "scheduler")
    return {"checkpoint": str(path), "sha256": digest, "architecture": source.network.model_dump(mode="json")}


def _fetch(source: HubModel, folder: Path) -> dict[str, Any]:
    from . import hub

    commit = hub.fetch(source, folder)
    load(folder)  # weights of another architecture are found here rather than in the jobs that need them
    return {"diffusers": source.diffusers, "commit": commit}
