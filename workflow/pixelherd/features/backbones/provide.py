"""Backbones that have to be made before they can be loaded: converted, or fetched."""

import errno
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pixelherd.errors import UserError
from pixelherd.features.backbones.manifest import load, manifest
from pixelherd.features.backbones.sources.encoder import EncoderFolder
from pixelherd.features.backbones.sources.folder import DiffusersFolder
from pixelherd.features.backbones.sources.kinds import read_source
from pixelherd.features.backbones.sources.source import Autocast, Source
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
    autocast: Autocast = "float16",
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
        ValueError: a folder is given for what is there already.
    """
    if isinstance(source, str | Path):
        source = {"path": str(source)}
    settings = source if isinstance(source, Source) else read_source(source)
    options: dict[str, Any] = {"device": device, "batch": batch, "autocast": autocast}
    if found := settings.stored():
        if folder is not None:
            raise ValueError(f"{found.place} is there already, so nothing is made: leave out `folder`")
        return load(found, **options)
    if folder is not None:
        _keep(settings, Path(folder))
        return load(settings.made(Path(folder)), **options)
    with TemporaryDirectory() as temporary:
        made = Path(temporary) / "backbone"
        provide(settings, made)
        backbone = load(settings.made(made), **options)
    backbone.path = Path(next(iter(settings.identity().values())))  # for errors
    return backbone


def _keep(settings: Source, folder: Path) -> None:
    """Make the folder, unless it was made of the same settings before."""
    record = folder / RECORD
    if not folder.exists():
        write_json(record, {"settings": settings.identity(), **provide(settings, folder)})
        return
    recorded = json.loads(record.read_text()) if record.is_file() else {}
    same = recorded.get("settings") == settings.identity()
    if not same or recorded["files"] != manifest(settings.made(folder))["files"]:
        raise UserError(f"{folder} holds something else than this backbone", remedy="delete it, or name another folder")


def provide(source: Source, folder: Path | str, *, copied: bool = False) -> dict[str, Any]:
    """Make what a backbone needs: itself, unless it is there, and what jobs would else compute each for themselves.

    Args:
        source: where it comes from.
        folder: what is made lies here.
        copied: whether a folder that has the network is copied into it, for jobs that do not see where it lies.

    Returns:
        Its :func:`pixelherd.features.backbones.manifest.manifest`; where it was made, its ``source``: where it came
        from; and where something was computed, as ``kept`` the digests of these files in the folder.

    Raises:
        UserError: the source is missing, damaged, of another kind or architecture than it should be.
    """
    folder, found, facts = Path(folder), source.stored(), dict[str, Any]()
    try:
        if found is None:
            shutil.rmtree(folder, ignore_errors=True)
            facts = {"source": source.make(folder)}
            found = source.made(folder)
        elif copied and isinstance(found, DiffusersFolder | EncoderFolder):
            shutil.copytree(found.place, folder, dirs_exist_ok=True)
            found = source.made(folder)
        found = found.prepared(folder)
        if kept := found.kept_files():
            facts["kept"] = {path.name: digest_of(path) for path in kept}
    except Exception as error:
        if "No space left on device" in str(error):  # safetensors raises its own kind
            raise OSError(errno.ENOSPC, "No space left on device", str(folder)) from None
        raise
    return {**manifest(found), **facts}
