"""Small random U-Nets of every kind that pixelherd reads."""

from pathlib import Path

import torch
from diffusers import DDPMScheduler, UNet2DModel

NETWORKS = {
    "plain": dict(up=["UpBlock2D", "UpBlock2D"], down=["DownBlock2D", "DownBlock2D"], layers_per_block=1),
    "attention": dict(
        up=["AttnUpBlock2D", "UpBlock2D", "AttnUpBlock2D"],
        down=["AttnDownBlock2D", "DownBlock2D", "AttnDownBlock2D"],
        layers_per_block=2,
        downsample_type="resnet",
        upsample_type="resnet",
        resnet_time_scale_shift="scale_shift",
        center_input_sample=True,
    ),
    "resnet up-samplers": dict(
        up=["ResnetUpsampleBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D", "ResnetUpsampleBlock2D"],
        down=["ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"],
        layers_per_block=1,
        upsample_type="resnet",
        out_channels=6,
    ),
    "no middle": dict(up=["UpBlock2D"], down=["AttnDownBlock2D"], layers_per_block=2, mid_block_type=None),
}


def build(up, down, **options) -> UNet2DModel:
    channels = [8 * (level + 1) for level in range(len(up))]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return UNet2DModel(
            up_block_types=up,
            down_block_types=down,
            block_out_channels=channels,
            norm_num_groups=4,
            attention_head_dim=8,
            **options,
        )


def save(folder: Path, network: UNet2DModel, scheduler=None) -> Path:
    network.save_pretrained(folder / "unet")
    (scheduler or DDPMScheduler()).save_pretrained(folder / "scheduler")
    return folder
