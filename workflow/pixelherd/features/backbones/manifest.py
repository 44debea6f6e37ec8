"""Frozen unconditional diffusion U-Nets as feature extractors.

Importing this package is cheap, so that planning can use :mod:`.geometry` and :mod:`.settings`; torch and diffusers are
imported when a network is loaded.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pixelherd.errors import UserError
from pixelherd.features.backbones.geometry import located, read_scheduler, read_unet
from pixelherd.storage.files import digest_of, hash_of
from pixelherd.storage.records import read_record

if TYPE_CHECKING:
    import torch

    from pixelherd.features.backbones.unet import Backbone


def load(
    path: Path | str,
    *,
    device: "torch.device | str" = "cpu",
    batch: int | None = None,
    autocast: Literal["float16", "bfloat16"] | None = "float16",
) -> "Backbone":
    """Load a local diffusers folder that holds ``unet/`` (a `UNet2DModel`) and ``scheduler/``.

    Args:
        path: the folder.
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
    from pixelherd.features.backbones.unet import Backbone

    return Backbone(located(path), device=device, batch=batch, autocast=autocast)


def manifest(folder: Path | str) -> dict:
    """What identifies a backbone: its folder, and the digest of every file of its network and scheduler.

    Raises:
        UserError: the folder holds no usable network or scheduler.
    """
    folder = located(folder)
    read_unet(folder)
    read_scheduler(folder)
    files = [
        path for part in ("unet", "scheduler") for path in sorted((Path(folder) / part).iterdir()) if path.is_file()
    ]
    return {
        "path": str(folder),
        "files": {path.relative_to(folder).as_posix(): {"sha256": digest_of(path)} for path in files},
    }


def identity(recorded: dict) -> str:
    """Return the SHA-256 of what identifies the network of a :func:`manifest`, wherever it lies."""
    return hash_of(recorded["files"])


def open_manifest(path: Path | str, *, device: "torch.device | str" = "cpu") -> "Backbone":
    """Load the backbone that a :func:`manifest` was written for.

    Raises:
        UserError: as :func:`load`, or the folder holds other files by now.
    """
    recorded = read_record(path)
    check(recorded, path)
    return load(recorded["path"], device=device)


def check(recorded: dict, path: Path | str) -> None:
    """Compare the files of a backbone with its :func:`manifest` of then.

    Args:
        recorded: the manifest.
        path: where it was written, for messages.

    Raises:
        UserError: they are others by now, or gone.
    """
    folder = Path(recorded["path"])
    if "source" in recorded and not (folder / "unet").is_dir():
        raise UserError(f"backbone {folder} was deleted", remedy=f"delete {path} too and run again")
    if manifest(folder)["files"] != recorded["files"]:
        raise UserError(f"backbone {folder} changed since features were made", remedy=f"delete {path} and run again")
