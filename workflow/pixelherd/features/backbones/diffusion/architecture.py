"""guided-diffusion's U-Net (ADM; Dhariwal & Nichol, NeurIPS 2021) as its own options describe it.

The layers follow from the options alone, so planning and checks need no torch: :meth:`Architecture.layers` lists every
layer with its name in guided-diffusion's state dicts, its name in diffusers, and its shape.
"""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from pixelherd.errors import UserError, nearest
from pixelherd.settings import Count, Settings, Side, explain

GROUPS = 32  # of every group normalisation

CLASSES = 1000
"""Of class-conditional networks, which learnt from ImageNet."""

CHANNEL_MULT = {
    512: (0.5, 1, 1, 2, 2, 4, 4),
    256: (1, 1, 2, 2, 4, 4),
    128: (1, 1, 2, 3, 4),
    64: (1, 2, 3, 4),
}


class Layer(NamedTuple):
    """A layer with weight and bias.

    Attributes:
        source: its name in guided-diffusion's state dict.
        targets: its name in diffusers' `UNet2DModel`; three names where queries, keys and values come in one.
        shape: of the weight in guided-diffusion; the bias is ``[shape[0]]``.
        parts: its tensors.
    """

    source: str
    targets: tuple[str, ...]
    shape: tuple[int, ...]
    parts: tuple[str, ...] = ("weight", "bias")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of its tensors."""
        return {part: self.shape if part == "weight" else self.shape[:1] for part in self.parts}


def _listed(value: Any) -> Any:
    """Lists as guided-diffusion's command line has them, such as ``32,16,8``."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Architecture(Settings):
    """Options of guided-diffusion's networks, by its own names; those that are not given have its defaults."""

    image_size: Side = Field(default=64, description="Side of the images that the network was trained on.")
    num_channels: PositiveInt = Field(default=128, le=65_536, description="Channels that `channel_mult` multiplies.")
    num_res_blocks: PositiveInt = Field(
        default=2, le=100, description="Residual blocks of each level of the encoder; the decoder has one more."
    )
    channel_mult: Annotated[tuple[Annotated[float, Field(gt=0, le=1000)], ...], BeforeValidator(_listed)] = Field(
        default=(),
        max_length=12,
        description="Multiplier of each level's channels, the finest first; by default that of the image size.",
    )
    attention_resolutions: Annotated[tuple[Count, ...], BeforeValidator(_listed)] = Field(
        default=(16, 8),
        description="Sides of the maps that have self-attention; the middle of the network always has it.",
    )
    num_heads: Count = Field(default=4, description="Attention heads, where `num_head_channels` is -1.")
    num_head_channels: Count | Literal[-1] = Field(default=-1, description="Channels of an attention head.")
    use_new_attention_order: bool = Field(
        default=False, description="Queries, keys and values one after the other, rather than head by head."
    )
    use_scale_shift_norm: bool = Field(
        default=True, description="The timestep scales and shifts normalised activations."
    )
    resblock_updown: bool = Field(
        default=False, description="Residual blocks, rather than convolutions, change resolution."
    )
    learn_sigma: bool = Field(
        default=False, description="The network predicts variances too: 6 output channels, not 3."
    )
    out_channels: Count | None = Field(default=None, description="Output channels; follow from `learn_sigma`.")
    class_cond: bool = Field(default=False, description="A class conditions the network, one of ImageNet's 1,000.")
    diffusion_steps: Count = Field(default=1000, description="Length of the noise schedule.")
    noise_schedule: Literal["linear", "cosine"] = Field(default="linear", description="The noise schedule.")
    dropout: NonNegativeFloat = Field(default=0.0, description="Of the training; features are computed without.")
    use_fp16: bool = Field(default=False, description="Of the training; changes nothing here.")

    @classmethod
    def read(cls, options: "Architecture | Mapping[str, Any] | str") -> "Architecture":
        """The architecture of a preset's name or a mapping of guided-diffusion's options.

        Raises:
            UserError: one line for all mistakes, with the nearest known name for an unknown one.
        """
        if isinstance(options, cls):
            return options
        if isinstance(options, str):
            if options not in PRESETS:
                raise UserError(f"architecture: unknown preset {options!r}{nearest(options, PRESETS)}")
            return PRESETS[options].architecture
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            schema = cls.model_json_schema()
            raise UserError(explain(error.errors(), options, schema, "architecture")) from None

    @model_validator(mode="before")
    @classmethod
    def _default_multipliers(cls, options: Any) -> Any:
        if isinstance(options, Mapping) and not options.get("channel_mult"):
            size = options.get("image_size", 64)
            if size not in CHANNEL_MULT:
                raise ValueError(f"channel_mult: guided-diffusion has no default for image_size {size}; give it")
            options = {**options, "channel_mult": CHANNEL_MULT[size]}
        return options

    @model_validator(mode="after")
    def _can_be_converted(self) -> Self:
        uneven = [width for width in self.channels if width % GROUPS]
        if uneven:
            raise ValueError(
                f"num_channels {self.num_channels}, channel_mult {list(self.channel_mult)}: a level has {uneven[0]} "
                f"channels, which the {GROUPS} groups of the normalisation do not divide"
            )
        if self.channels[0] < self.num_channels:
            raise ValueError(
                f"channel_mult {list(self.channel_mult)}: diffusers has no network whose timestep embedding is wider "
                "than its first level; the first multiplier must be at least 1"
            )
        divisor = self.num_heads if self.num_head_channels == -1 else self.num_head_channels
        if any(width % divisor for width in self._attended_channels()):
            raise ValueError(
                f"num_heads {self.num_heads}, num_head_channels {self.num_head_channels}: the "
                f"{sorted(self._attended_channels())} channels of attention do not divide evenly"
            )
        if self.num_head_channels == -1 and self.num_heads > 1 and len(self._attended_channels()) > 1:
            raise ValueError(
                f"num_heads {self.num_heads}: attention on {sorted(self._attended_channels())} channels has heads of "
                "several sizes, which diffusers' UNet2DModel does not have; the network cannot be converted"
            )
        if self.out_channels not in (None, self._outputs()):
            raise ValueError(
                f"out_channels {self.out_channels}: with learn_sigma {self.learn_sigma} they are {self._outputs()}"
            )
        return self

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each level, the finest first."""
        return tuple(int(multiplier * self.num_channels) for multiplier in self.channel_mult)

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(prod(shape) for layer in self.layers() for shape in layer.shapes.values())

    def has_attention(self, level: int) -> bool:
        """Whether a level, 0 being the finest, has self-attention behind its residual blocks."""
        return 2**level in {self.image_size // resolution for resolution in self.attention_resolutions}

    def _attended_channels(self) -> set[int]:
        levels = filter(self.has_attention, range(len(self.channels)))
        return {self.channels[-1], *(self.channels[level] for level in levels)}

    def _outputs(self) -> int:
        return 6 if self.learn_sigma else 3

    def head_channels(self) -> int | None:
        """Channels of an attention head; None where the one head of a level has all of them."""
        if self.num_head_channels != -1:
            return self.num_head_channels
        widths = self._attended_channels()
        return None if len(widths) > 1 else widths.pop() // self.num_heads

    def unet_config(self) -> dict[str, Any]:
        """The configuration of the same network as diffusers' `UNet2DModel`."""
        plain = "Resnet{}sampleBlock2D" if self.resblock_updown else "{}Block2D"
        kinds = ["Attn{}Block2D" if self.has_attention(level) else plain for level in range(len(self.channels))]
        resampling = "resnet" if self.resblock_updown else "conv"
        return {
            "sample_size": self.image_size,
            "in_channels": 3,
            "out_channels": self._outputs(),
            "block_out_channels": list(self.channels),
            "layers_per_block": self.num_res_blocks,
            "down_block_types": [kind.format("Down") for kind in kinds],
            "up_block_types": [kind.format("Up") for kind in reversed(kinds)],
            "downsample_type": resampling,
            "upsample_type": resampling,
            "resnet_time_scale_shift": "scale_shift" if self.use_scale_shift_norm else "default",
            "attention_head_dim": self.head_channels(),
            "norm_num_groups": GROUPS,
            "attn_norm_num_groups": GROUPS,
            "norm_eps": 1e-5,
            "time_embedding_dim": 4 * self.num_channels,
            # diffusers has a frequency for each two channels of the first level. If those are more than num_channels,
            # the shift keeps the frequencies of guided-diffusion, and the others get weights of 0.
            "freq_shift": self.channels[0] // 2 - self.num_channels // 2,
            "flip_sin_to_cos": True,
        } | ({"num_class_embeds": CLASSES} if self.class_cond else {})

    def layers(self) -> Iterator[Layer]:
        """Every layer of the network."""
        channels, time = self.channels, 4 * self.num_channels
        yield Layer("time_embed.0", ("time_embedding.linear_1",), (time, self.num_channels))
        yield Layer("time_embed.2", ("time_embedding.linear_2",), (time, time))
        if self.class_cond:
            yield Layer("label_emb", ("class_embedding",), (CLASSES, time), ("weight",))
        yield Layer("input_blocks.0.0", ("conv_in",), (channels[0], 3, 3, 3))
        width, skips = channels[0], [channels[0]]
        for level, into in enumerate(channels):
            target = f"down_blocks.{level}"
            for layer in range(self.num_res_blocks):
                yield from self._block(f"input_blocks.{len(skips)}", target, layer, level, width)
                width = into
                skips.append(width)
            if level < len(channels) - 1:
                yield from self._resampler(f"input_blocks.{len(skips)}.0", f"{target}.downsamplers.0", width, "op")
                skips.append(width)
        yield from self._resnet("middle_block.0", "mid_block.resnets.0", width, width)
        yield from _attention("middle_block.1", "mid_block.attentions.0", width)
        yield from self._resnet("middle_block.2", "mid_block.resnets.1", width, width)
        blocks = len(skips)
        for level in reversed(range(len(channels))):
            target = f"up_blocks.{len(channels) - 1 - level}"
            for layer in range(self.num_res_blocks + 1):
                source = f"output_blocks.{blocks - len(skips)}"
                yield from self._block(source, target, layer, level, width + skips.pop())
                width = channels[level]
                if level > 0 and layer == self.num_res_blocks:
                    last = f"{source}.{1 + self.has_attention(level)}"
                    yield from self._resampler(last, f"{target}.upsamplers.0", width, "conv")
        yield Layer("out.0", ("conv_norm_out",), (width,))
        yield Layer("out.2", ("conv_out",), (self._outputs(), width, 3, 3))

    def _block(self, source: str, target: str, layer: int, level: int, width: int) -> Iterator[Layer]:
        yield from self._resnet(f"{source}.0", f"{target}.resnets.{layer}", width, self.channels[level])
        if self.has_attention(level):
            yield from _attention(f"{source}.1", f"{target}.attentions.{layer}", self.channels[level])

    def _resampler(self, source: str, target: str, width: int, name: str) -> Iterator[Layer]:
        if self.resblock_updown:
            yield from self._resnet(source, target, width, width)
        else:
            yield Layer(f"{source}.{name}", (f"{target}.conv",), (width, width, 3, 3))

    def _resnet(self, source: str, target: str, width: int, into: int) -> Iterator[Layer]:
        shifts = 2 * into if self.use_scale_shift_norm else into
        yield Layer(f"{source}.in_layers.0", (f"{target}.norm1",), (width,))
        yield Layer(f"{source}.in_layers.2", (f"{target}.conv1",), (into, width, 3, 3))
        yield Layer(f"{source}.emb_layers.1", (f"{target}.time_emb_proj",), (shifts, 4 * self.num_channels))
        yield Layer(f"{source}.out_layers.0", (f"{target}.norm2",), (into,))
        yield Layer(f"{source}.out_layers.3", (f"{target}.conv2",), (into, into, 3, 3))
        if width != into:
            yield Layer(f"{source}.skip_connection", (f"{target}.conv_shortcut",), (into, width, 1, 1))


def _attention(source: str, target: str, width: int) -> Iterator[Layer]:
    yield Layer(f"{source}.norm", (f"{target}.group_norm",), (width,))
    yield Layer(f"{source}.qkv", tuple(f"{target}.to_{name}" for name in "qkv"), (3 * width, width, 1))
    yield Layer(f"{source}.proj_out", (f"{target}.to_out.0",), (width, width, 1))


def recognised(shapes: Mapping[str, tuple[int, ...]], image_size: int) -> dict[str, Any] | None:
    """The options that a guided-diffusion state dict of these shapes seems to come from; None if it seems none.

    Image size and heads leave no trace in the shapes: resolutions are told for ``image_size``.
    """
    blocks = {key.split(".")[1] for key in shapes if key.startswith("output_blocks.")}
    needed = ["time_embed.0.weight", "out.2.weight", "middle_block.0.emb_layers.1.weight"]
    needed += [f"output_blocks.{number}.0.out_layers.0.weight" for number in range(len(blocks))]
    if not blocks or not all(key in shapes and shapes[key] for key in needed) or len(shapes[needed[0]]) != 2:
        return None
    levels: list[int] = []  # channels of each level, the coarsest first
    attention: list[bool] = []
    resnets = False
    ended = True
    for number in range(len(blocks)):
        if ended:
            levels.append(shapes[f"output_blocks.{number}.0.out_layers.0.weight"][0])
            attention.append(f"output_blocks.{number}.1.qkv.weight" in shapes)
        by_resnet = any(f"output_blocks.{number}.{layer}.in_layers.0.weight" in shapes for layer in (1, 2))
        resnets |= by_resnet
        ended = by_resnet or any(f"output_blocks.{number}.{layer}.conv.weight" in shapes for layer in (1, 2))
    width = shapes["time_embed.0.weight"][1]
    multipliers = [channels / width for channels in reversed(levels)]
    last = levels[0]
    found = {
        "num_channels": width,
        "channel_mult": [int(each) if each.is_integer() else each for each in multipliers],
        "num_res_blocks": len(blocks) // len(levels) - 1,
        "attention_resolutions": [image_size >> (len(levels) - 1 - n) for n, has in enumerate(attention) if has][::-1],
        "resblock_updown": resnets,
        "use_scale_shift_norm": shapes["middle_block.0.emb_layers.1.weight"][0] == 2 * last,
        "learn_sigma": shapes["out.2.weight"][0] == 6,
    }
    return found | ({"class_cond": True} if "label_emb.weight" in shapes else {})


class Preset(NamedTuple):
    """A published checkpoint: its network, and where its authors keep it."""

    architecture: Architecture
    url: str


_ADM_256: dict[str, Any] = {
    "image_size": 256,
    "num_channels": 256,
    "channel_mult": (1, 1, 2, 2, 4, 4),
    "num_res_blocks": 2,
    "attention_resolutions": (32, 16, 8),
    "num_head_channels": 64,
    "resblock_updown": True,
    "use_scale_shift_norm": True,
    "learn_sigma": True,
}

_PUBLISHED = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021"

#: Unconditional networks of 552,814,086 parameters; each file has 2.1 GiB.
PRESETS = {
    "imagenet_256": Preset(Architecture(**_ADM_256), f"{_PUBLISHED}/256x256_diffusion_uncond.pt"),
    "lsun_bedroom": Preset(Architecture(**_ADM_256, dropout=0.1), f"{_PUBLISHED}/lsun_bedroom.pt"),
}
