"""What the configurations of a diffusion model tell: its parts, its maps, its noise. Imports no torch.

A model is a U-Net and its noise schedule, and besides these an autoencoder where the U-Net sees latents rather than
pixels, and a text encoder where a prompt conditions it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelherd.errors import UserError
from pixelherd.features.backbones.description import Description, Level
from pixelherd.features.backbones.sources.source import located, read_configuration

UNCONDITIONAL, CONDITIONAL = "UNet2DModel", "UNet2DConditionModel"
"""U-Nets without and with a prompt; the former may have classes."""

BLOCKS = {
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D", "CrossAttnUpBlock2D"),
}
"""Levels of a U-Net that halve and double, and so tell the size of their maps."""

AUTOENCODERS = {"vae": "AutoencoderKL", "vqvae": "VQModel"}

TEXT_ENCODER, TOKENIZER, TEXT_MODEL = "text_encoder", "tokenizer", "CLIPTextModel"

BESIDE = ("safety_checker", "feature_extractor", "image_encoder")
"""Parts of pipelines that look at finished pictures, or at others."""

Condition = int | str | None
"""A class, a prompt, or neither."""

Read = Callable[[str, str], dict[str, Any] | None]
"""Gives a configuration by its part and file name; None where there is no such part."""


@dataclass(frozen=True)
class Pipeline:
    """The configurations of a diffusion model.

    Attributes:
        where: names it in messages.
        parts: the class of each part; nothing where that is not known.
        unet: of ``unet/config.json``.
        scheduler: of ``scheduler/scheduler_config.json``; None where it is not here yet.
        autoencoder: of ``vae/config.json`` or ``vqvae/config.json``; None for a U-Net that sees pixels.
    """

    where: Path | str
    parts: Mapping[str, str]
    unet: Mapping[str, Any]
    scheduler: Mapping[str, Any] | None = None
    autoencoder: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, where: Path | str, parts: Mapping[str, str], read: Read, *, scheduled: bool = True) -> "Pipeline":
        """Read and check the configurations of a model.

        Args:
            where: names it in messages.
            parts: the class of each part.
            read: gives a configuration.
            scheduled: whether that of the scheduler is wanted.

        Raises:
            UserError: a configuration is missing or damaged, or the model is of a kind that nobody knows.
        """
        check_parts(parts, where)
        unet = _needed(read, "unet", "config.json", where)
        scheduler = _needed(read, "scheduler", "scheduler_config.json", where) if scheduled else None
        latent = next((name for name in AUTOENCODERS if name in parts), None)
        autoencoder = _needed(read, latent, "config.json", where) if latent else None
        found = cls(where, parts, unet, scheduler, autoencoder)
        found.check()
        return found

    @property
    def is_prompted(self) -> bool:
        """Whether a prompt conditions the U-Net."""
        return self.unet.get("_class_name") == CONDITIONAL

    @property
    def classes(self) -> int | None:
        """How many classes the U-Net knows; None where it knows none."""
        return None if self.is_prompted else self.unet.get("num_class_embeds")

    @property
    def shrinks(self) -> int:
        """Pixels from one latent to the next; 1 where the U-Net sees pixels."""
        return 1 if self.autoencoder is None else 2 ** (len(self.autoencoder["block_out_channels"]) - 1)

    def check(self) -> None:
        """Check that the parts are networks that pixelherd knows, and fit together.

        Raises:
            UserError: they do not.
        """
        unet, where = self.unet, f"backbone {self.where}: unet/config.json"
        _check_keys(unet, ("block_out_channels", "layers_per_block", *BLOCKS), where)
        if self.autoencoder is not None:
            needed = "block_out_channels", "latent_channels"
            _check_keys(self.autoencoder, needed, f"backbone {self.where}: the autoencoder's config.json")
        for key, known in BLOCKS.items():
            others = sorted(set(unet[key]) - set(known))
            if others:
                raise UserError(f"{where} has {key} {', '.join(others)}", remedy=f"pixelherd knows {', '.join(known)}")
        asked = [key for key in ("class_embed_type", "addition_embed_type", "encoder_hid_dim_type") if unet.get(key)]
        if self.is_prompted and unet.get("num_class_embeds"):
            asked.append("num_class_embeds")
        if asked:
            raise UserError(
                f"{where} describes a network that is conditioned by {', '.join(asked)}",
                remedy="pixelherd knows networks conditioned by a class, by a prompt, or by nothing",
            )
        if unet.get("time_embedding_type", "positional") == "fourier":
            raise UserError(f"{where} describes a network conditioned on noise levels", remedy="choose a DDPM")
        seen = 3 if self.autoencoder is None else self.autoencoder.get("latent_channels")
        if unet.get("in_channels", seen) != seen:
            of = "RGB" if self.autoencoder is None else f"the {seen} channels of its autoencoder"
            raise UserError(f"{where} describes a network of {unet['in_channels']} input channels rather than {of}")
        betas = {"num_train_timesteps", "beta_schedule"}
        scheduler = self.scheduler
        if scheduler is not None and not scheduler.get("trained_betas") and not betas <= scheduler.keys():
            raise UserError(
                f"backbone {self.where}: scheduler/scheduler_config.json defines no betas",
                remedy="put the scheduler that the network was trained with (such as DDPMScheduler) there",
            )

    def check_condition(self, condition: Condition) -> None:
        """Check that the U-Net knows a class, or takes a prompt.

        Raises:
            UserError: it does not.
        """
        what = f"backbone {self.where}: condition {condition!r}"
        if isinstance(condition, str) and not self.is_prompted:
            raise UserError(f"{what}: no prompt conditions this network", remedy="leave `condition` out")
        if isinstance(condition, int):
            if self.classes is None:
                raise UserError(f"{what}: this network knows no classes", remedy="leave `condition` out")
            if not 0 <= condition < self.classes:
                raise UserError(f"{what}: there is no such class", remedy=f"choose from 0 to {self.classes - 1}")

    def describe(self) -> Description:
        """Return what the U-Net takes and gives.

        Decoder blocks count from 0 over all levels of the decoder, the coarsest first: each residual block, with the
        attention behind it, is one block; the up-sampler of a level belongs to the level's last block. Images, or their
        latents, are halved from level to level.
        """
        widths, layers = self.unet["block_out_channels"], self.unet["layers_per_block"]
        depth, found = len(widths), []
        each = [layers] * depth if isinstance(layers, int) else list(layers)
        for level in reversed(range(depth)):
            for layer in range(each[level] + 1):
                # the last block of a level ends in its up-sampler
                stride = 2 ** max(level - (layer == each[level]), 0)
                found.append(Level(widths[level], stride * self.shrinks))
        noise = (3 if self.autoencoder is None else self.autoencoder["latent_channels"], self.shrinks)
        length = None if self.scheduler is None else schedule_length(self.scheduler)
        return Description(self.where, dict(enumerate(found)), 2 ** (depth - 1) * self.shrinks, length, noise)


def _check_keys(config: Mapping[str, Any], needed: Sequence[str], where: str) -> None:
    missing = [key for key in needed if key not in config]
    if missing:
        raise UserError(f"{where} lacks {', '.join(missing)}", remedy="save the network with save_pretrained")


def _needed(read: Read, part: str, name: str, where: Path | str) -> dict[str, Any]:
    found = read(part, name)
    if found is None:
        raise UserError(f"backbone {where} has no {part}/{name}", remedy="save the model with save_pretrained")
    return found


def schedule_length(scheduler: Mapping[str, Any]) -> int:
    """Return the number of timesteps of a noise schedule."""
    return len(scheduler["trained_betas"]) if scheduler.get("trained_betas") else scheduler["num_train_timesteps"]


def check_parts(parts: Mapping[str, str], where: Path | str) -> None:
    """Refuse models that are something else than a U-Net with a schedule, an autoencoder and a text encoder at most.

    Args:
        parts: the class of each part.
        where: names the model in the message.

    Raises:
        UserError: a part is missing, or another one is there.
    """
    kind, autoencoders = parts.get("unet"), {name for name in AUTOENCODERS if name in parts}
    known = {"unet", "scheduler", *autoencoders, *BESIDE}
    known |= {TEXT_ENCODER, TOKENIZER} if kind == CONDITIONAL else set()
    text = kind == UNCONDITIONAL or (parts.get(TEXT_ENCODER) in ("", TEXT_MODEL) and TOKENIZER in parts)
    fits = (
        kind in (UNCONDITIONAL, CONDITIONAL)
        and parts.keys() <= known
        and len(autoencoders) <= 1
        and all(parts[name] in ("", *AUTOENCODERS.values()) for name in autoencoders)
        and text
    )
    if not fits:
        held = ", ".join(f"{name} {kind}".strip() for name, kind in parts.items()) or "nothing of it"
        raise UserError(
            f"backbone {where} has {held}",
            remedy=f"pixelherd knows {UNCONDITIONAL} and a scheduler, with {' or '.join(AUTOENCODERS.values())} for "
            f"latents, and {CONDITIONAL} with {TEXT_MODEL} and a tokenizer besides",
        )


def indexed_parts(index: Mapping[str, Any]) -> dict[str, str]:
    """Return the class of each part that a ``model_index.json`` names."""
    lists = {name: value for name, value in index.items() if isinstance(value, list) and len(value) == 2}
    return {name: str(kind) for name, (library, kind) in lists.items() if library is not None}


def parts_of(folder: Path) -> dict[str, str]:
    """Return the class of each part of a folder, as its index says and as its subfolders say themselves."""
    index = folder / "model_index.json"
    indexed = indexed_parts(read_configuration(index)) if index.is_file() else {}
    parts = {"unet": UNCONDITIONAL, "scheduler": "", **indexed}
    for name in (TEXT_ENCODER, TOKENIZER):
        if (folder / name).is_dir():
            parts.setdefault(name, "")
    for file in sorted(folder.glob("*/config.json")):
        kind, part = read_configuration(file).get("_class_name"), file.parent.name
        if kind and (part == "unet" or kind != UNCONDITIONAL):  # others are further weights of the same network
            parts[part] = str(kind)
    return parts


def read_folder(path: Path | str) -> Pipeline:
    """Read the configurations of a diffusers folder.

    Raises:
        UserError: there is no such folder, or as :meth:`Pipeline.read`.
    """
    folder = located(path)
    if not folder.is_dir():
        raise UserError(
            f"there is no backbone folder {path}",
            remedy=(
                "give a diffusers folder with unet/ and scheduler/, or a mapping with "
                "`checkpoint` and `architecture` for a file of guided-diffusion, or with `diffusers` for a model of "
                "the hub"
            ),
        )

    def read(part: str, name: str) -> dict[str, Any] | None:
        file = folder / part / name
        return read_configuration(file) if file.is_file() else None

    return Pipeline.read(path, parts_of(folder), read)
