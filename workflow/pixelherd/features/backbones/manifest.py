"""Frozen networks as feature extractors: loading one, and the record of which one it is.

Importing this module is cheap; torch and diffusers are imported when a network is loaded.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pixelherd.errors import UserError
from pixelherd.features.backbones import embedded
from pixelherd.features.backbones.geometry import located, read_scheduler, read_unet
from pixelherd.features.backbones.settings import Embedded, Filters, PretrainedEncoder, read_source
from pixelherd.features.backbones.sources import encoders
from pixelherd.storage.files import digest_of, hash_of
from pixelherd.storage.records import read_record

if TYPE_CHECKING:
    import torch

    from pixelherd.features.backbones.backbone import Backbone

BUILT_IN = Embedded, Filters
"""Kinds that need no file of a study."""


def built_in(settings: Mapping[str, Any]) -> Embedded | Filters | None:
    """Return the backbone that settings describe, if it is one that comes with the installation."""
    source = read_source(settings) if {"embedded", "filters"} & settings.keys() else None
    return source if isinstance(source, BUILT_IN) else None


def load(
    source: Path | str | Embedded | Filters | PretrainedEncoder,
    *,
    device: "torch.device | str" = "cpu",
    batch: int | None = None,
    autocast: Literal["float16", "bfloat16"] | None = "float16",
) -> "Backbone":
    """Load a local diffusers folder that holds ``unet/`` (a `UNet2DModel`) and ``scheduler/``, or what is built in.

    Args:
        source: the folder, or settings of what comes with the installation.
        device: a torch device.
        batch: most network samples (images x timesteps) in one forward call; by default 4 on the CPU, where larger
            batches fall out of the cache and are slower per sample, and 16 elsewhere.
        autocast: reduced precision on CUDA; float16 by default, the precision that ADM networks were trained in and
            maps are stored in. The CPU always computes in float32.

    Returns:
        The network, frozen, in evaluation mode, with float32 weights.

    Raises:
        UserError: the folder, the U-Net or the scheduler is missing, damaged or of another kind.
    """
    if isinstance(source, Embedded):
        from pixelherd.features.backbones.networks.efficientnet import EfficientNet

        return EfficientNet(device=device)
    if isinstance(source, Filters):
        from pixelherd.features.backbones.networks.filters import FilterBank

        return FilterBank(source, device=device)
    if isinstance(source, PretrainedEncoder):
        from pixelherd.features.backbones.networks.pretrained import Pretrained

        return Pretrained(located(source.encoder), device=device)
    from pixelherd.features.backbones.networks.unet import UNet

    return UNet(located(source), device=device, batch=batch, autocast=autocast)


def manifest(source: Path | str | Embedded | Filters | PretrainedEncoder) -> dict:
    """What identifies a backbone: where it lies, and the digest of every file of its network and scheduler.

    Raises:
        UserError: the folder holds no usable network or scheduler, or what is built in is damaged.
    """
    if isinstance(source, Embedded):
        file = embedded.weights_file()
        return {"path": str(file), "files": {file.name: {"sha256": embedded.SHA256}}}
    if isinstance(source, Filters):
        return {"path": "filters", "files": {"filters": {"sha256": hash_of(source.identity())}}}
    if isinstance(source, PretrainedEncoder):
        folder = located(source.encoder)
        files = encoders.files_of(folder)
    else:
        folder = located(source)
        read_unet(folder)
        read_scheduler(folder)
        files = [path for part in ("unet", "scheduler") for path in sorted((folder / part).iterdir()) if path.is_file()]
    return {
        "path": str(folder),
        "files": {path.relative_to(folder).as_posix(): {"sha256": digest_of(path)} for path in files},
    }


def identity(recorded: dict) -> str:
    """Return the SHA-256 of what identifies the network of a :func:`manifest`, wherever it lies."""
    return hash_of(recorded["files"])


def source_of(recorded: Mapping[str, Any]) -> Path | Embedded | Filters | PretrainedEncoder:
    """Return what :func:`load` takes, of a :func:`manifest` that was written down."""
    return source_at(recorded.get("settings", {}), recorded["path"])


def source_at(settings: Mapping[str, Any], path: Path | str) -> Path | Embedded | Filters | PretrainedEncoder:
    """Return what :func:`load` takes of a backbone of these settings that lies at a path, unless it is built in."""
    return PretrainedEncoder(encoder=str(path)) if "encoder" in settings else built_in(settings) or Path(path)


def open_manifest(path: Path | str, *, device: "torch.device | str" = "cpu") -> "Backbone":
    """Load the backbone that a :func:`manifest` was written for.

    Raises:
        UserError: as :func:`load`, or the folder holds other files by now.
    """
    recorded = read_record(path)
    check(recorded, path)
    return load(source_of(recorded), device=device)


def check(recorded: dict, path: Path | str) -> None:
    """Compare the files of a backbone with its :func:`manifest` of then.

    Args:
        recorded: the manifest.
        path: where it was written, for messages.

    Raises:
        UserError: they are others by now, or gone.
    """
    folder = Path(recorded["path"])
    if "source" in recorded and not any(folder.glob("*")):
        raise UserError(f"backbone {folder} was deleted", remedy=f"delete {path} too and run again")
    if manifest(source_of(recorded))["files"] != recorded["files"]:
        raise UserError(f"backbone {folder} changed since features were made", remedy=f"delete {path} and run again")
