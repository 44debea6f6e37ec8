"""A small ADM network in plain torch, written from the paper's description (Dhariwal & Nichol, NeurIPS 2021, section 3
and appendix A) with the module names of published checkpoints: what conversions are compared with.
"""

from math import log

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

from pixelherd.features.backbones.diffusion.architecture import Architecture


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels)


class ResBlock(nn.Module):
    """Two convolutions that the timestep modulates; halves or doubles the resolution before the first one."""

    def __init__(self, channels: int, into: int, time: int, scale_shift: bool, resample=None):
        super().__init__()
        self.scale_shift, self.resample = scale_shift, resample or nn.Identity()
        self.in_layers = nn.Sequential(norm(channels), nn.SiLU(), nn.Conv2d(channels, into, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time, 2 * into if scale_shift else into))
        self.out_layers = nn.Sequential(norm(into), nn.SiLU(), nn.Dropout(0.0), nn.Conv2d(into, into, 3, padding=1))
        self.skip_connection = nn.Conv2d(channels, into, 1) if channels != into else nn.Identity()

    def forward(self, x, time):
        normalise, activate, convolve = self.in_layers
        hidden = convolve(self.resample(activate(normalise(x))))
        shifts = self.emb_layers(time)[..., None, None]
        if self.scale_shift:
            scale, shift = shifts.chunk(2, dim=1)
            hidden = self.out_layers[0](hidden) * (1 + scale) + shift
            hidden = self.out_layers[1:](hidden)
        else:
            hidden = self.out_layers(hidden + shifts)
        return self.skip_connection(self.resample(x)) + hidden


class AttentionBlock(nn.Module):
    """Self-attention; head by head (legacy) or with queries, keys and values one after the other."""

    def __init__(self, channels: int, heads: int, new_order: bool):
        super().__init__()
        self.heads, self.new_order = heads, new_order
        self.norm = norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x, time):
        batch, channels, *size = x.shape
        flat = x.reshape(batch, channels, -1)
        qkv = self.qkv(self.norm(flat))
        each = channels // self.heads
        outputs = []
        for head in range(self.heads):
            if self.new_order:
                starts = [part * channels + head * each for part in range(3)]
            else:
                starts = [(3 * head + part) * each for part in range(3)]
            query, key, value = (qkv[:, start : start + each] for start in starts)
            weights = torch.einsum("bct,bcs->bts", query, key).div(each**0.5).softmax(dim=-1)
            outputs.append(torch.einsum("bts,bcs->bct", weights, value))
        return x + self.proj_out(torch.cat(outputs, dim=1)).reshape(batch, channels, *size)


class Downsample(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x, time):
        return self.op(x)


class Upsample(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x, time):
        return self.conv(interpolate(x, scale_factor=2, mode="nearest"))


class Halve(nn.Module):
    def forward(self, x):
        return avg_pool2d(x, 2)


class Double(nn.Module):
    def forward(self, x):
        return interpolate(x, scale_factor=2, mode="nearest")


class ReferenceADM(nn.Module):
    """The U-Net of an architecture, with random weights; a class may condition it."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        a, time = architecture, 4 * architecture.num_channels
        self.num_channels = a.num_channels
        widths = [int(multiplier * a.num_channels) for multiplier in a.channel_mult]
        attended = [
            any(a.image_size // side == 2**level for side in a.attention_resolutions) for level in range(len(widths))
        ]

        def resnet(channels, into, resample=None):
            return ResBlock(channels, into, time, a.use_scale_shift_norm, resample)

        def attention(channels):
            heads = a.num_heads if a.num_head_channels == -1 else channels // a.num_head_channels
            return AttentionBlock(channels, heads, a.use_new_attention_order)

        def block(channels, level):
            extra = [attention(widths[level])] if attended[level] else []
            return nn.ModuleList([resnet(channels, widths[level]), *extra])

        self.time_embed = nn.Sequential(nn.Linear(a.num_channels, time), nn.SiLU(), nn.Linear(time, time))
        if a.class_cond:
            self.label_emb = nn.Embedding(1000, time)
        width = widths[0]
        self.input_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(3, width, 3, padding=1)])])
        skips = [width]
        for level in range(len(widths)):
            for _ in range(a.num_res_blocks):
                self.input_blocks.append(block(width, level))
                width = widths[level]
                skips.append(width)
            if level < len(widths) - 1:
                down = resnet(width, width, Halve()) if a.resblock_updown else Downsample(width)
                self.input_blocks.append(nn.ModuleList([down]))
                skips.append(width)
        self.middle_block = nn.ModuleList([resnet(width, width), attention(width), resnet(width, width)])
        self.output_blocks = nn.ModuleList()
        for level in reversed(range(len(widths))):
            for number in range(a.num_res_blocks + 1):
                decoder = block(width + skips.pop(), level)
                width = widths[level]
                if level and number == a.num_res_blocks:
                    decoder.append(resnet(width, width, Double()) if a.resblock_updown else Upsample(width))
                self.output_blocks.append(decoder)
        outputs = 6 if a.learn_sigma else 3
        self.out = nn.Sequential(norm(width), nn.SiLU(), nn.Conv2d(width, outputs, 3, padding=1))

    def forward(self, x, timesteps, label: int | None = None) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The prediction, and the output of every decoder block; without a label, no class takes part."""
        half = self.num_channels // 2
        frequencies = torch.exp(-log(10_000) * torch.arange(half) / half)
        angles = timesteps[:, None].float() * frequencies
        time = self.time_embed(torch.cat([angles.cos(), angles.sin()], dim=1))
        if label is not None:
            time = time + self.label_emb(torch.tensor([label]))
        skips = []
        for first, *others in self.input_blocks:
            x = first(x) if isinstance(first, nn.Conv2d) else first(x, time)
            for layer in others:
                x = layer(x, time)
            skips.append(x)
        for layer in self.middle_block:
            x = layer(x, time)
        blocks = []
        for layers in self.output_blocks:
            x = torch.cat([x, skips.pop()], dim=1)
            for layer in layers:
                x = layer(x, time)
            blocks.append(x)
        return self.out(x), blocks


def reference(architecture: Architecture, seed: int = 0) -> ReferenceADM:
    """A reference network whose weights, biases and normalisations are all random."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ReferenceADM(architecture)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.ndim == 1:
                    parameter.add_(0.2 * torch.randn(parameter.shape))
    return network.eval()
