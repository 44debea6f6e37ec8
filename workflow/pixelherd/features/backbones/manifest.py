"""Frozen networks as feature extractors: loading one, and the record of which one it is.

Importing this module is cheap; torch and diffusers are imported when a network is loaded.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelherd.errors import UserError
from pixelherd.features.backbones.sources.folder import DiffusersFolder
from pixelherd.features.backbones.sources.kinds import kind_of, read_source
from pixelherd.features.backbones.sources.source import Autocast, Source, Stored
from pixelherd.storage.files import digest_of, hash_of
from pixelherd.storage.records import read_record

if TYPE_CHECKING:
    import torch

    from pixelherd.features.backbones.backbone import Backbone


PARTS = "parts"
"""Key of what backbones are joined of."""


def load(
    source: Path | str | Source | Stored,
    *,
    device: "torch.device | str" = "cpu",
    batch: int | None = None,
    autocast: Autocast = "float16",
) -> "Backbone":
    """Load a backbone that is there: a diffusers folder, or what settings name that need nothing to be made.

    Args:
        source: a diffusers folder, settings, or a backbone that is stored.
        device: a torch device.
        batch: most network samples (images x timesteps) in one forward call of a diffusion model; by default 4 on the
            CPU, where larger batches fall out of the cache and are slower per sample, and 16 elsewhere.
        autocast: reduced precision of diffusion models on CUDA; float16 by default, the precision that ADM networks
            were trained in and maps are stored in. The CPU always computes in float32.

    Returns:
        The network, frozen, in evaluation mode, with float32 weights.

    Raises:
        UserError: the network is missing, damaged or of another kind, or has still to be made.
    """
    return stored(source).load(device, batch, autocast)


def stored(source: Path | str | Source | Stored) -> Stored:
    """Return the backbone that is meant.

    Raises:
        UserError: it has still to be made.
    """
    if isinstance(source, Stored):
        return source
    if not isinstance(source, Source):
        return DiffusersFolder(Path(source))
    found = source.stored()
    if found is None:
        raise UserError(
            f"backbone {source.identity()} is not there yet", remedy="let pixelherd.load_backbone fetch or convert it"
        )
    return found


def manifest(source: Path | str | Source | Stored) -> dict:
    """What identifies a backbone: where it lies, and the digest of every file that its maps depend on.

    Raises:
        UserError: the backbone is missing, damaged or of another kind.
    """
    found = stored(source)
    files = found.digests()
    return {"path": str(found.place), "files": {name: {"sha256": digest} for name, digest in files.items()}}


def joined(paths: Sequence[Path | str]) -> dict:
    """Return what identifies backbones whose maps are joined.

    Args:
        paths: where the :func:`manifest` of each was written.
    """
    return {PARTS: [str(path) for path in paths], "files": files_of(map(read_record, paths))}


def files_of(recorded: Iterable[dict]) -> dict:
    """Return the files of :func:`manifest` of one backbone, or of several that are joined."""
    found = [each["files"] for each in recorded]
    if len(found) == 1:
        return found[0]
    return {f"{number}/{name}": facts for number, files in enumerate(found) for name, facts in files.items()}


def identity(recorded: dict) -> str:
    """Return the SHA-256 of what identifies the network of a :func:`manifest`, wherever it lies."""
    return hash_of(recorded["files"])


def stored_at(settings: Mapping[str, Any], path: Path | str) -> Stored:
    """Return the backbone of these settings that lies at a path.

    Args:
        settings: as a study has them, or those of a backbone that the study trained.
        path: of its :func:`manifest`, or where it was moved.
    """
    return read_source(settings).made(Path(path)) if kind_of(settings) else DiffusersFolder(Path(path))


def stored_in(path: Path | str) -> list[Stored]:
    """Return the backbone that a :func:`manifest` was written for, or those that :func:`joined` was.

    With them comes what was prepared beside the manifest.

    Raises:
        UserError: its files are others by now, or gone.
    """
    recorded = read_record(path)
    if PARTS in recorded:
        return [found for part in recorded[PARTS] for found in stored_in(part)]
    check(recorded, path)
    found = stored_at(recorded.get("settings", {}), recorded["path"])
    return [found.prepared(Path(path).with_suffix(""))]


def open_manifest(path: Path | str, *, device: "torch.device | str" = "cpu") -> "list[Backbone]":
    """Load the backbone that a :func:`manifest` was written for, or all that :func:`joined` was.

    Raises:
        UserError: as :func:`load`, or the folder holds other files by now.
    """
    return [load(found, device=device) for found in stored_in(path)]


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
    if manifest(stored_at(recorded.get("settings", {}), folder))["files"] != recorded["files"]:
        raise UserError(f"backbone {folder} changed since features were made", remedy=f"delete {path} and run again")
    for name, digest in recorded.get("kept", {}).items():
        file = Path(path).with_suffix("") / name
        if file.is_file() and digest_of(file) != digest:
            raise UserError(f"{file} is damaged", remedy="delete it and run again")
