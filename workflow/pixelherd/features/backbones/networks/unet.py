"""Feature maps of a frozen diffusion model (Baranchuk et al., "Label-efficient semantic segmentation with diffusion
models", ICLR 2022): activations of its U-Net's decoder, by a forward pass that stops behind the last one needed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.vq_model import VQModel
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor, nn

from pixelherd.compute.memory import return_freed_memory
from pixelherd.errors import UserError
from pixelherd.features.backbones.backbone import Backbone
from pixelherd.features.backbones.diffusion.pipeline import AUTOENCODERS, Pipeline
from pixelherd.features.backbones.networks.library import reason_of
from pixelherd.features.perturbations import Perturbation
from pixelherd.features.windows import Windows

WEIGHTS = re.compile(r"diffusion_pytorch_model(\.(?P<variant>\w+))?(-\d+-of-\d+)?\.(safetensors|bin)")
"""Names of files of weights in a diffusers folder."""


class _Done(Exception):
    """The last activation that is needed is there."""


class UNet(Backbone):
    """A frozen diffusion model: its U-Net, its noise schedule, and what stands between images and the U-Net.

    Args:
        path: a diffusers folder.
        pipeline: its configurations.
        condition: the embedding ``[1, n, D]`` of a prompt, where the U-Net takes one; the number of a class, or None to
            leave classes out, where it knows classes.
        device: a torch device.
        batch: most network samples in one forward call; None for what suits the device.
        autocast: reduced precision on CUDA, the name of a torch type.

    Attributes:
        network: the U-Net.
        alphas_cumprod: the schedule's cumulative products of 1 - beta, one for each timestep, float32.
    """

    def __init__(
        self,
        path: Path,
        pipeline: Pipeline,
        condition: Tensor | int | None = None,
        *,
        device: torch.device | str,
        batch: int | None,
        autocast: str | None,
    ):
        super().__init__(pipeline.describe(), path, device)
        self.batch = batch or (4 if self.device.type == "cpu" else 16)
        self.autocast = getattr(torch, autocast) if autocast and self.device.type == "cuda" else None
        self.alphas_cumprod = _alphas_cumprod(dict(pipeline.scheduler or {}), path).to(self.device)
        # channels last is a tenth faster on CPUs, and what tensor cores want
        kind = UNet2DConditionModel if pipeline.is_prompted else UNet2DModel
        network: Any = _load(kind, path / "unet")
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self._condition = condition.to(self.device) if isinstance(condition, Tensor) else condition
        if not pipeline.is_prompted and condition is None:
            network.class_embedding = None
        self._autoencoder = None
        for part, kind in zip(AUTOENCODERS, (AutoencoderKL, VQModel), strict=True):
            if part in pipeline.parts:
                self._autoencoder = Autoencoder(_load(kind, path / part), self.device)
        self._read = _decoder_blocks(self.network)
        return_freed_memory()  # a large network leaves twice its size

    def padded_maps(
        self,
        images: Tensor,
        perturbation: Tensor | Perturbation | None,
        timesteps: Sequence[int],
        blocks: Sequence[int],
        windows: Windows,
    ) -> dict[int, Tensor]:
        """Return activations of blocks for ``sqrt(abar_t) x + sqrt(1 - abar_t) eps`` (Ho et al. 2020, eq. 4)."""
        if not isinstance(perturbation, Tensor) or self.description.noise is None:
            raise ValueError(f"backbone {self.path} has a noise schedule: give noise, a tensor")
        noise, stride = perturbation, self.description.noise[1]
        if noise.shape[-3:] != (expected := self.description.noise_shape((images.shape[-2], images.shape[-1]))):
            raise ValueError(f"noise of shape {list(noise.shape)}, where the images need {list(expected)}")

        def compute(rows: slice, columns: slice) -> dict[int, Tensor]:
            part = [slice(each.start // stride, each.stop // stride) for each in (rows, columns)]
            return self._maps(images[..., rows, columns], noise[..., part[0], part[1]], timesteps, blocks)

        return self.blended(windows, (images.shape[-2], images.shape[-1]), blocks, compute)

    def _maps(
        self, images: Tensor, noise: Tensor, timesteps: Sequence[int], blocks: Sequence[int]
    ) -> dict[int, Tensor]:
        steps = torch.tensor(timesteps, device=self.device)
        # allocated outside of inference mode, so that the maps may take part in training
        shapes = self.description.shapes((images.shape[-2], images.shape[-1]), blocks)
        maps = {
            block: torch.empty(len(images), len(steps), *shape, device=self.device) for block, shape in shapes.items()
        }
        seen = images if self._autoencoder is None else self._autoencoder.latents(images, self.autocast)
        noise = noise.to(self.device, torch.float32).expand_as(seen)
        for image, step in self._batches(len(images), len(steps)):
            abar = self.alphas_cumprod[steps[step], None, None, None]
            diffused = abar.sqrt() * seen[image] + (1 - abar).sqrt() * noise[image]
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
    def _decode(self, samples: Tensor, timesteps: Tensor, blocks: set[int]) -> dict[int, Tensor]:
        """Activations of blocks in a forward pass that ends behind the last of them."""
        self.forwards += len(samples)
        maps: dict[int, Tensor] = {}
        last = max(blocks)

        def keep(block: int, output: Any) -> None:
            maps[block] = output[0] if isinstance(output, tuple) else output
            if block == last:
                raise _Done

        hooks = [
            self._read[block].register_forward_hook(lambda _, __, output, block=block: keep(block, output))
            for block in blocks
        ]
        try:
            with torch.autocast("cuda", dtype=self.autocast, enabled=self.autocast is not None):
                samples = samples.contiguous(memory_format=torch.channels_last)
                self.network(samples, timesteps, **self._conditions(len(samples)), return_dict=False)
        except _Done:
            return maps
        finally:
            for hook in hooks:
                hook.remove()
        raise AssertionError("blocks were checked against the configuration")

    def _conditions(self, samples: int) -> dict[str, Tensor]:
        """What conditions so many samples, as the U-Net takes it."""
        if isinstance(self._condition, Tensor):
            return {"encoder_hidden_states": self._condition.expand(samples, -1, -1)}
        if self._condition is not None:
            return {"class_labels": torch.full((samples,), self._condition, device=self.device)}
        return {}

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


def _load(kind: Any, folder: Path) -> Any:
    """A part of a model with its weights.

    Raises:
        UserError: they are missing, damaged or of another architecture.
    """
    variant = _variant(folder)
    try:
        network, report = kind.from_pretrained(
            folder,
            torch_dtype=torch.float32,
            variant=variant,
            local_files_only=True,
            low_cpu_mem_usage=False,  # true would ask for accelerate
            output_loading_info=True,
        )
    except Exception as error:  # diffusers, safetensors and torch each raise their own kinds
        raise UserError(
            f"cannot load the weights in {folder}: {reason_of(error)}",
            remedy=("they are damaged or of another architecture than config.json, fetch or convert them again"),
        ) from None
    wrong = [key for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in report[kind]]
    if wrong:  # diffusers only warns, and leaves random weights
        raise UserError(
            f"the weights in {folder} are of another architecture than its config.json: {len(wrong)} tensors "
            f"do not match, such as {wrong[0]}",
            remedy="fetch or convert them again",
        )
    return network.eval().requires_grad_(False)


def _decoder_blocks(network: Any) -> list[nn.Module]:
    """The modules whose outputs are the decoder blocks: a residual block, the attention or up-sampler behind it."""
    found: list[nn.Module] = []
    for level in network.up_blocks:
        attentions = getattr(level, "attentions", None)
        found += list(attentions if attentions is not None else level.resnets)
        if level.upsamplers:
            found[-1] = level.upsamplers[-1]
    return found


class Autoencoder:
    """The part of a latent diffusion model that makes latents of images.

    Args:
        network: its autoencoder.
        device: a torch device.
    """

    def __init__(self, network: Any, device: torch.device):
        del network.decoder  # nobody asks for pictures
        self.network = network.to(device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def latents(self, images: Tensor, autocast: torch.dtype | None) -> Tensor:
        """Return the latents that the U-Net was trained on: their means, scaled to a variance of about 1.

        Args:
            images: ``[b, 3, H, W]`` in [-1, 1], on the autoencoder's device.
            autocast: reduced precision on CUDA.
        """
        config: Mapping[str, Any] = self.network.config
        if config.get("force_upcast"):  # float16 overflows in some
            autocast = None
        with torch.autocast("cuda", dtype=autocast, enabled=autocast is not None):
            # an image's last bits depend on its batch: on the CPU, where that is cheap, no batch spans images
            parts = images.split(1 if images.device.type == "cpu" else 4)
            found = [self.network.encode(part.contiguous(memory_format=torch.channels_last)) for part in parts]
        means = [each.latents if hasattr(each, "latents") else each.latent_dist.mode() for each in found]
        return torch.cat(means).float() * config["scaling_factor"]
