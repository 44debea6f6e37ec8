"""Frozen encoders of the transformers library: what their configurations say, and where they come from.

Imports transformers for models of the hub alone; planning reads folders without it.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixelherd.errors import UserError
from pixelherd.features.backbones.description import Description, Level
from pixelherd.features.backbones.geometry import located, read_configuration
from pixelherd.features.backbones.settings import PretrainedEncoder

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"

FILES = CONFIG, PREPROCESSOR, "model.safetensors", "model.safetensors.index.json", "model-*.safetensors"
"""What is taken of a model; older ones have their weights as pickles, which are not."""

OF_TOKENS = "beit", "dinov2", "dinov2_with_registers", "dinov3_vit"
"""Families whose layers all give maps of one size, a position for each patch."""

PYRAMIDS = "convnext", "convnextv2", "dinov3_convnext", "pvt_v2", "resnet"
"""Families whose stages halve the image, from a quarter of it on."""

FIRST_STRIDE = 4

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def folder_of(source: PretrainedEncoder) -> Path | None:
    """Return the folder that is meant; None where there is none, and an id of the hub is meant."""
    folder = located(source.encoder)
    return folder if folder.is_dir() else None


def describe(config: Mapping[str, Any], where: str | Path, licence: str | None = None) -> Description:
    """Return what an encoder takes and gives, by its ``config.json``; block n is stage n of the library.

    Raises:
        UserError: nobody knows the shapes of its maps.
    """
    family = config.get("model_type")
    if family in OF_TOKENS:
        layers = range(1, config["num_hidden_layers"] + 1)
        stride = config["patch_size"]
        return Description(where, {n: Level(config["hidden_size"], stride) for n in layers}, stride, licence=licence)
    if family not in PYRAMIDS:
        known = ", ".join(sorted((*OF_TOKENS, *PYRAMIDS)))
        raise UserError(f"{where} is an encoder of the family {family}", remedy=f"pixelherd knows {known}")
    levels = {n + 1: Level(each, FIRST_STRIDE * 2**n) for n, each in enumerate(config["hidden_sizes"])}
    return Description(where, levels, levels[len(levels)].stride, licence=licence)


def described(source: PretrainedEncoder, made: Path | str | None) -> Description:
    """Return :func:`describe` of an encoder, before it is fetched too.

    Raises:
        UserError: there is no such encoder, or as :func:`describe`.
    """
    folder = folder_of(source) or made
    if folder and (Path(folder) / CONFIG).is_file():
        return describe(read_configuration(Path(folder) / CONFIG), source.encoder)
    if not HUB_ID.fullmatch(source.encoder) or folder_of(source):
        what = f"there is no encoder {source.encoder}"
        raise UserError(what, remedy=f"give a folder that holds {CONFIG}, or an id of the hub")
    from transformers import PretrainedConfig

    try:
        config, _ = PretrainedConfig.get_config_dict(source.encoder, revision=source.revision)
    except (OSError, ValueError) as error:
        raise _not_there(source, error) from None
    return describe(config, source.encoder)


def files_of(folder: Path) -> list[Path]:
    """Return the files of an encoder's folder that count, sorted.

    Raises:
        UserError: it lacks configuration or weights.
    """
    found = sorted({path for pattern in FILES for path in folder.glob(pattern)})
    if not (folder / CONFIG).is_file() or not any(path.suffix == ".safetensors" for path in found):
        raise UserError(
            f"encoder {folder} lacks {CONFIG} or safetensors", remedy="save the model there with save_pretrained"
        )
    return found


def fetch(source: PretrainedEncoder, folder: Path) -> dict[str, Any]:
    """Copy an encoder of the hub into a folder; downloads what is not cached.

    Returns:
        Its id and commit.

    Raises:
        UserError: it is neither on the hub nor in the local cache.
    """
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(source.encoder, revision=source.revision, allow_patterns=list(FILES))
    except (OSError, ValueError) as error:
        raise _not_there(source, error) from None
    folder.mkdir(parents=True)
    for path in files_of(Path(found)):
        shutil.copyfile(path, folder / path.name)
    return {"encoder": source.encoder, "commit": Path(found).name}


def _not_there(source: PretrainedEncoder, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:200]
    what = f"cannot get encoder {source.encoder} from the Hugging Face hub or its local cache: {reason}"
    return UserError(what, remedy="check id, revision and network")
