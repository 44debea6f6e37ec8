"""What a backbone's configuration alone tells: shapes of its decoder blocks and length of its noise schedule.

Planning reads this for every study, so nothing here imports torch or diffusers.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixelherd.errors import UserError
from pixelherd.features.backbones.description import Description, Level
from pixelherd.features.backbones.settings import Filters

DOWN_BLOCKS = ("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D")

UP_BLOCKS = ("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D")

RESPONSES = 7
"""Responses of filters to each colour channel at a scale."""

REPOSITORY = Path(__file__).parents[4]


def located(folder: Path | str) -> Path:
    """Return a backbone's folder: as it is named, or else the one of this name that ships beside the workflow."""
    shipped = REPOSITORY / folder
    return shipped if not Path(folder).is_dir() and shipped.is_dir() else Path(folder)


def describe(config: Mapping[str, Any], scheduler: Mapping[str, Any] | None, where: Path | str) -> Description:
    """Return what an unconditional U-Net takes and gives, by the configurations of its network and scheduler.

    Decoder blocks count from 0 over all levels of the decoder, the coarsest first: each residual block, with the
    attention behind it, is one block; the up-sampler of a level belongs to the level's last block. Images are halved
    from level to level.

    Args:
        config: of ``unet/config.json``.
        scheduler: of ``scheduler/scheduler_config.json``; None where it is not here yet.
        where: is named in messages.
    """
    depth, layers, found = len(config["block_out_channels"]), config["layers_per_block"] + 1, []
    for level in reversed(range(depth)):
        # the last block of a level ends in its up-sampler
        strides = [2 ** max(level - (layer == layers - 1), 0) for layer in range(layers)]
        found += [Level(config["block_out_channels"][level], stride) for stride in strides]
    length = None if scheduler is None else schedule_length(scheduler)
    return Description(where, dict(enumerate(found)), 2 ** (depth - 1), length, (3, 1))


def describe_folder(path: Path | str) -> Description:
    """Return :func:`describe` of a diffusers folder.

    Raises:
        UserError: as :func:`read_unet` and :func:`read_scheduler`.
    """
    return describe(read_unet(path), read_scheduler(path), path)


def describe_filters(settings: Filters) -> Description:
    """Return what filters give: a block for each scale, as fine as the image; the last one has the position too."""
    channels = [3 * RESPONSES] * len(settings.filters)
    channels[-1] += 2 * settings.position
    return Description("filters", {number: Level(each, 1) for number, each in enumerate(channels)})


def schedule_length(scheduler: Mapping[str, Any]) -> int:
    """Return the number of timesteps of a noise schedule."""
    return len(scheduler["trained_betas"]) if scheduler.get("trained_betas") else scheduler["num_train_timesteps"]


def read_unet(path: Path | str) -> dict:
    """The configuration of an unconditional RGB `UNet2DModel`.

    Raises:
        UserError: it is missing, unreadable, of a network whose decoder we do not know how to walk, or of one that sees
            something else than pixels.
    """
    config = check_unet(_read(path, "unet", "config.json"), Path(path) / "unet" / "config.json")
    check_parts(_parts(located(path)), f"backbone {path}")
    return config


def check_parts(parts: Mapping[str, str], what: str) -> None:
    """Refuse pipelines with more than a network and its scheduler: with an autoencoder, the network sees latents.

    Args:
        parts: the class of each part.
        what: is named in the error.

    Raises:
        UserError: there are other parts.
    """
    if parts.keys() != {"unet", "scheduler"} or parts["unet"] != "UNet2DModel":
        held = ", ".join(f"{name} {kind}" for name, kind in parts.items()) or "nothing of it"
        remedy = "pixelherd needs an unconditional UNet2DModel of pixels and its scheduler alone"
        raise UserError(f"{what} has {held}", remedy=remedy)


def indexed_parts(index: Mapping[str, Any]) -> dict[str, str]:
    """The class of each part that a ``model_index.json`` names."""
    lists = {name: value for name, value in index.items() if isinstance(value, list) and len(value) == 2}
    return {name: str(kind) for name, (library, kind) in lists.items() if library is not None}


def _parts(folder: Path) -> dict[str, str]:
    """The class of each part of a diffusers folder, as its index says and as its subfolders say themselves."""
    index = folder / "model_index.json"
    parts = {"unet": "UNet2DModel", "scheduler": ""} | (
        indexed_parts(read_configuration(index)) if index.is_file() else {}
    )
    for file in sorted(folder.glob("*/config.json")):
        kind = read_configuration(file).get("_class_name")
        if kind not in (None, "UNet2DModel"):
            parts.setdefault(file.parent.name, str(kind))
    return parts


def check_unet(config: dict, file: Path | str) -> dict:
    """:func:`read_unet` of a configuration at hand; ``file`` is named in errors."""
    kind = config.get("_class_name")
    if kind != "UNet2DModel":
        raise UserError(f"{file} describes a {kind}", remedy="pixelherd needs an unconditional UNet2DModel")
    needed = ("block_out_channels", "layers_per_block", "down_block_types", "up_block_types")
    missing = [key for key in needed if key not in config]
    if missing:
        raise UserError(f"{file} lacks {', '.join(missing)}", remedy="save the network with diffusers' save_pretrained")
    if config.get("class_embed_type") is not None or config.get("num_class_embeds") is not None:
        raise UserError(f"{file} describes a class-conditional network", remedy="pixelherd needs an unconditional one")
    if config.get("in_channels", 3) != 3:
        raise UserError(
            f"{file} describes a network of {config['in_channels']} input channels", remedy="pixelherd needs RGB"
        )
    if config.get("time_embedding_type", "positional") == "fourier":
        raise UserError(
            f"{file} describes a network conditioned on noise levels", remedy="pixelherd needs DDPM timesteps"
        )
    for key, known in (("down_block_types", DOWN_BLOCKS), ("up_block_types", UP_BLOCKS)):
        others = sorted(set(config[key]) - set(known))
        if others:
            raise UserError(f"{file} has {key} {', '.join(others)}", remedy=f"pixelherd knows {', '.join(known)}")
    return config


def read_scheduler(path: Path | str) -> dict:
    """The configuration of a scheduler with betas, of whatever class.

    Raises:
        UserError: it is missing, unreadable, or defines no betas.
    """
    config = _read(path, "scheduler", "scheduler_config.json")
    if not config.get("trained_betas") and not {"num_train_timesteps", "beta_schedule"} <= config.keys():
        raise UserError(
            f"{Path(path) / 'scheduler' / 'scheduler_config.json'} defines no betas",
            remedy=("put the scheduler that the network was trained with (such as DDPMScheduler) there"),
        )
    return config


def _read(path: Path | str, part: str, name: str) -> dict:
    path = located(path)
    if not Path(path).is_dir():
        raise UserError(
            f"there is no backbone folder {path}",
            remedy=(
                "give a diffusers folder with unet/ and scheduler/, or a mapping with "
                "`checkpoint` and `architecture` for a file of guided-diffusion, or with `diffusers` for a model of "
                "the hub"
            ),
        )
    file = Path(path) / part / name
    if not file.is_file():
        raise UserError(
            f"backbone {path} has no {part}/{name}", remedy="give a diffusers folder with unet/ and scheduler/"
        )
    return read_configuration(file)


def read_configuration(file: Path) -> dict:
    """Read the configuration of a network, or of a part of a pipeline.

    Raises:
        UserError: it is no JSON object.
    """
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is not valid JSON ({error})", remedy="fetch or convert the backbone again") from None
    if not isinstance(config, dict):
        raise UserError(f"{file} is not a diffusers configuration", remedy="fetch or convert the backbone again")
    return config
