"""Feature maps of a frozen diffusion U-Net (Baranchuk et al., "Label-efficient semantic segmentation with diffusion
models", ICLR 2022), by a forward pass that stops behind the last decoder block that is needed.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from pixelherd.compute.memory import return_freed_memory
from pixelherd.errors import UserError
from pixelherd.features.backbones.backbone import Backbone
from pixelherd.features.backbones.geometry import describe_folder, read_scheduler
from pixelherd.features.perturbations import Perturbation

WEIGHTS = re.compile(r"diffusion_pytorch_model(\.(?P<variant>\w+))?(-\d+-of-\d+)?\.(safetensors|bin)")
"""Names of files of weights in a diffusers folder."""


class UNet(Backbone):
    """A frozen unconditional U-Net and its noise schedule.

    Args:
        path: a diffusers folder.
        device: a torch device.
        batch: most network samples in one forward call; None for what suits the device.
        autocast: reduced precision on CUDA, the name of a torch type.

    Attributes:
        network: the `UNet2DModel`.
        alphas_cumprod: the schedule's cumulative products of 1 - beta, one for each timestep, float32.
    """

    def __init__(self, path: Path | str, *, device: torch.device | str, batch: int | None, autocast: str | None):
        super().__init__(describe_folder(path), path, device)
        self.batch = batch or (4 if self.device.type == "cpu" else 16)
        self.autocast = getattr(torch, autocast) if autocast and self.device.type == "cuda" else None
        self.alphas_cumprod = _alphas_cumprod(read_scheduler(path), self.path).to(self.device)
        # channels last is a tenth faster on CPUs, and what tensor cores want
        network = _load_network(self.path)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[arg-type]
        return_freed_memory()  # a large network leaves twice its size

    def padded_maps(
        self,
        images: torch.Tensor,
        perturbation: torch.Tensor | Perturbation | None,
        timesteps: Sequence[int],
        blocks: Sequence[int],
    ) -> dict[int, torch.Tensor]:
        """Return activations of blocks for ``sqrt(abar_t) x + sqrt(1 - abar_t) eps`` (Ho et al. 2020, eq. 4)."""
        if not isinstance(perturbation, torch.Tensor):
            raise ValueError(f"backbone {self.path} has a noise schedule: give noise, a tensor")
        noise = perturbation.to(self.device, torch.float32).expand_as(images)
        steps = torch.tensor(timesteps, device=self.device)
        # allocated outside of inference mode, so that the maps may take part in training
        shapes = self.description.shapes((images.shape[-2], images.shape[-1]), blocks)
        maps = {
            block: torch.empty(len(images), len(steps), *shape, device=self.device) for block, shape in shapes.items()
        }
        for image, step in self._batches(len(images), len(steps)):
            abar = self.alphas_cumprod[steps[step], None, None, None]
            diffused = abar.sqrt() * images[image] + (1 - abar).sqrt() * noise[image]
            for block, activation in self._decode(diffused, steps[step], set(blocks)).items():
                maps[block][image, step] = activation.float()
        return maps

    def _batches(self, images: int, timesteps: int) -> Iterator[torch.Tensor]:
        """Indices (of image, of timestep), [2, n], of the samples of each forward call."""
        # a sample's last bits depend on its batch: on the CPU, where that is cheap, no batch spans images
        together = 1 if self.device.type == "cpu" else images
        for first in range(0, images, together):
            group = torch.arange(first, min(first + together, images), device=self.device)
            samples = torch.cartesian_prod(group, torch.arange(timesteps, device=self.device))
            for batch in samples.split(self.batch):
                yield batch.T

    @torch.inference_mode()
    def _decode(self, samples: torch.Tensor, timesteps: torch.Tensor, blocks: set[int]) -> dict[int, torch.Tensor]:
        """`UNet2DModel.forward`, taken apart to end behind the last of ``blocks``."""
        self.forwards += len(samples)
        with torch.autocast("cuda", dtype=self.autocast, enabled=self.autocast is not None):
            network = self.network
            hidden = 2 * samples - 1 if network.config.center_input_sample else samples
            hidden = network.conv_in(hidden.contiguous(memory_format=torch.channels_last))
            time = network.time_embedding(network.time_proj(timesteps).to(network.dtype))
            skips = [hidden]
            for level in network.down_blocks:
                hidden, outputs = level(hidden, time)
                skips.extend(outputs)
            if network.mid_block is not None:
                hidden = network.mid_block(hidden, time)
            maps = {}
            number = 0
            for level in network.up_blocks:
                attentions = getattr(level, "attentions", None)
                for layer, resnet in enumerate(level.resnets):
                    hidden = resnet(torch.cat([hidden, skips.pop()], dim=1), time)
                    if attentions is not None:
                        hidden = attentions[layer](hidden)
                    if layer == len(level.resnets) - 1:
                        for upsampler in level.upsamplers or ():
                            by_resnet = isinstance(upsampler, ResnetBlock2D)
                            hidden = upsampler(hidden, time) if by_resnet else upsampler(hidden)
                    if number in blocks:
                        maps[number] = hidden
                    if number == max(blocks):
                        return maps
                    number += 1
        raise AssertionError("blocks were checked against the configuration")

    @property
    def mend(self) -> str:
        """Return what to do against values that are not finite."""
        return "use autocast bfloat16 or none" if self.autocast is torch.float16 else super().mend


def _alphas_cumprod(config: dict, path: Path) -> torch.Tensor:
    # the forward process is the same whatever sampler the folder was saved with: only its betas count
    keys = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr")
    try:
        return DDPMScheduler(**{key: config[key] for key in keys if key in config}).alphas_cumprod
    except (NotImplementedError, TypeError, ValueError) as error:
        raise UserError(
            f"cannot use the betas of {path / 'scheduler'} ({error})", remedy="use a DDPM schedule"
        ) from None


def _variant(folder: Path) -> str | None:
    """The variant of the weights, such as fp16, where a folder has no others.

    Raises:
        UserError: the folder has several variants, none of which is plain.
    """
    matches = [WEIGHTS.fullmatch(path.name) for path in folder.glob("*")]
    variants = {match["variant"] for match in matches if match}
    if not variants or None in variants:
        return None
    if len(variants) > 1:
        raise UserError(
            f"{folder} has weights as {' and '.join(sorted(variants))}",
            remedy="leave one of them there, or name it diffusion_pytorch_model.safetensors",
        )
    return variants.pop()


def _load_network(path: Path) -> UNet2DModel:
    variant = _variant(path / "unet")
    try:
        network, report = UNet2DModel.from_pretrained(
            path / "unet",
            torch_dtype=torch.float32,
            variant=variant,
            local_files_only=True,
            low_cpu_mem_usage=False,  # true would ask for accelerate
            output_loading_info=True,
        )
    except Exception as error:  # diffusers, safetensors and torch each raise their own kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"cannot load the weights in {path / 'unet'}: {reason}",
            remedy=("they are damaged or of another architecture than config.json, fetch or convert them again"),
        ) from None
    wrong = [key for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in report[kind]]
    if wrong:  # diffusers only warns, and leaves random weights
        raise UserError(
            f"the weights in {path / 'unet'} are of another architecture than its config.json: {len(wrong)} tensors "
            f"do not match, such as {wrong[0]}",
            remedy="fetch or convert them again",
        )
    return network.eval().requires_grad_(False)
