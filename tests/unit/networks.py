"""Small random diffusion models of every kind that pixelherd reads."""

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    LDMPipeline,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)

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


LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
VOCABULARY = [*LETTERS, *(f"{each}</w>" for each in LETTERS), "<|startoftext|>", "<|endoftext|>"]

SCALED = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
"""Stable Diffusion's noise schedule."""


def autoencoder(kind: type, latents: int = 4):
    """A small autoencoder, latents of which are half as high and wide as images."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return kind(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=latents,
            norm_num_groups=4,
            scaling_factor=0.5,
        ).eval()


def save_latent_model(folder: Path) -> LDMPipeline:
    """An unconditional latent model, as diffusers saves one."""
    network = build(**NETWORKS["plain"], in_channels=3, out_channels=3)
    parts = {"vqvae": autoencoder(VQModel, 3), "unet": network, "scheduler": DDIMScheduler(**SCALED)}
    pipeline = LDMPipeline(**parts)
    pipeline.save_pretrained(folder)
    return pipeline


def save_text_model(folder: Path, **options) -> StableDiffusionPipeline:
    """A small Stable Diffusion, in the layout in which its checkpoints are published."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    ids = {"bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53}
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        text = CLIPTextModel(
            CLIPTextConfig(**sizes, **ids, vocab_size=len(VOCABULARY), max_position_embeddings=16)
        ).eval()
        network = UNet2DConditionModel(
            **{
                "block_out_channels": (16, 32),
                "layers_per_block": 1,
                "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
                "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
                "cross_attention_dim": 16,
                "attention_head_dim": 4,
                "norm_num_groups": 8,
                **options,
            }
        ).eval()
    vocabulary = {token: number for number, token in enumerate(VOCABULARY)}
    pipeline = StableDiffusionPipeline(
        vae=autoencoder(AutoencoderKL),
        text_encoder=text,
        tokenizer=CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=16),
        unet=network,
        scheduler=PNDMScheduler(**SCALED, skip_prk_steps=True, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    (folder / "tokenizer" / "tokenizer.json").unlink()  # published ones have the files of the slow tokenizer
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    return pipeline
