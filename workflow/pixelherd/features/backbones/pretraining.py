"""Pretraining of a small unconditional DDPM (Ho et al., NeurIPS 2020) on the unlabelled training images."""

import math
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from diffusers import __version__ as diffusers_version
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.training_utils import EMAModel
from torch.nn.functional import interpolate, mse_loss

from pixelherd.compute.randomness import seed_of, torch_generator
from pixelherd.errors import UserError
from pixelherd.features.backbones.settings import TRAINING_TIMESTEPS, PretrainingSettings
from pixelherd.storage.files import write_csv, write_json

LOG_EVERY = 100


def pretrain(
    images: np.ndarray,
    settings: PretrainingSettings,
    folder: Path | str,
    *,
    device: str = "cpu",
    checkpoint: Path | str | None = None,
    progress: bool = True,
) -> None:
    """Train a U-Net to predict the noise in ``images`` and write it as a diffusers folder.

    AdamW with warm-up and a cosine schedule, mean squared error of the predicted noise, linear betas; the moving
    average of the weights is saved. An interrupted training goes on from its checkpoint and ends in the same weights.

    Args:
        images: [N, H, W, 3] uint8, RGB; resized (bilinear, antialiased) where a stage has another size. An array that
            reads one image at a time, such as Zarr's, serves as well.
        settings: see :class:`PretrainingSettings`; ``settings.dataset`` is only recorded.
        folder: receives ``unet/`` (float16), ``scheduler/``, ``loss.csv``, ``loss.png`` and, last, ``recipe.json``.
        device: a torch device.
        checkpoint: file for the state of the training, by default in ``folder``; removed at the end.
        progress: show a progress bar where stderr is a terminal.

    Raises:
        UserError: there are no images, the checkpoint is of another training or damaged, or the loss is not finite.
    """
    from tqdm import tqdm

    if len(images) == 0:
        raise UserError(f"dataset {settings.dataset} has no training images", remedy="pretraining needs at least one")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").unlink(missing_ok=True)
    training = _Training(images, settings, device, Path(checkpoint or folder / "checkpoint.pt"))
    steps = range(len(training.losses), settings.steps)
    for step in tqdm(
        steps, "pretrain", initial=steps.start, total=settings.steps, unit="step", disable=None if progress else True
    ):
        training.step()
        if (step + 1) % settings.checkpoint_every == 0:
            training.save()
            _write_log(training.losses, settings, folder)
    _write_log(training.losses, settings, folder)
    _draw_log(training.losses, settings, folder / "loss.png")
    model = training.averaged()
    model.save_pretrained(folder / "unet")
    training.schedule.save_pretrained(folder / "scheduler")
    recipe = {
        "settings": settings.model_dump(mode="json"),
        "images": len(images),
        "images_sha256": training.images_digest,
        "parameters": model.num_parameters(),
        "final_loss": float(f"{np.mean(training.losses[-max(1, settings.steps // 10) :]):.4g}"),
        "torch": torch.__version__,
        "diffusers": diffusers_version,
    }
    write_json(folder / "recipe.json", recipe)
    training.checkpoint.unlink(missing_ok=True)


def size_at(settings: PretrainingSettings, step: int) -> tuple[int, int]:
    """(height, width) of the images at ``step``, which counts from 0."""
    for stage in settings.stages:
        if step < stage.steps:
            return stage.size
        step -= stage.steps
    return settings.size


def learning_rate_at(settings: PretrainingSettings, step: int) -> float:
    """Linear warm-up, then half a cosine down to 0 at the end; ``step`` counts from 0."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


class _Training:
    """Everything that a step changes, and the file that it can be taken up from."""

    def __init__(self, images: np.ndarray, settings: PretrainingSettings, device: str, checkpoint: Path):
        self.images = images
        self.settings = settings
        self.device = torch.device(device)
        self.checkpoint = checkpoint
        self.images_digest = _digest(images)
        self.schedule = DDPMScheduler(num_train_timesteps=TRAINING_TIMESTEPS, beta_schedule="linear")
        self.generator = torch_generator("pretraining", settings.seed)
        model = _network(settings)
        self.model = model.to(self.device, memory_format=torch.channels_last).train()  # type: ignore[arg-type]
        self.average = EMAModel(self.model.parameters(), decay=settings.ema_decay, foreach=True)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=settings.learning_rate)
        self.losses: list[float] = []
        if checkpoint.is_file():
            self._resume()

    def step(self) -> None:
        """One optimisation step: mean squared error of the noise at uniformly random timesteps (eq. 14)."""
        number = len(self.losses)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.settings, number)
        clean = _batch(self.images, self.settings, size_at(self.settings, number), self.generator)
        noise = torch.randn(clean.shape, generator=self.generator)
        timesteps = torch.randint(TRAINING_TIMESTEPS, (len(clean),), generator=self.generator)
        clean, noise, timesteps = (part.to(self.device) for part in (clean, noise, timesteps))
        diffused = self.schedule.add_noise(clean, noise, timesteps).contiguous(memory_format=torch.channels_last)
        loss = mse_loss(self.model(diffused, timesteps).sample, noise)
        self.losses.append(loss.item())
        if not math.isfinite(self.losses[-1]):
            raise UserError(
                f"pretraining on {self.settings.dataset}: the loss at step {number} is {self.losses[-1]}",
                remedy=("lower learning_rate or lengthen warmup_steps"),
            )
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average.step(self.model.parameters())

    def averaged(self) -> UNet2DModel:
        """The network with averaged weights in float16, on the CPU; ends the training."""
        self.average.copy_to(self.model.parameters())
        return self.model.to("cpu", memory_format=torch.contiguous_format).half().eval()

    def save(self) -> None:
        """Write the state in one file, so that a killed job leaves the old state or the new one, never a mixture."""
        state = {
            "settings": self.settings.model_dump_json(),
            "images": self.images_digest,
            "losses": self.losses,
            "generator": self.generator.get_state(),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.checkpoint.with_name(f".{self.checkpoint.name}.{os.getpid()}")
        torch.save(state, temporary)
        os.replace(temporary, self.checkpoint)

    def _resume(self) -> None:
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            same = (state["settings"], state["images"]) == (self.settings.model_dump_json(), self.images_digest)
        except Exception as error:  # torch raises many kinds for a damaged or foreign file
            raise UserError(
                f"cannot read checkpoint {self.checkpoint} ({error})", remedy="delete it to start anew"
            ) from None
        if not same:
            raise UserError(
                f"checkpoint {self.checkpoint} is of other settings or images", remedy="delete it to start anew"
            )
        self.losses = state["losses"]
        self.generator.set_state(state["generator"])
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.average.to(self.device)
        self.optimizer.load_state_dict(state["optimizer"])


def _network(settings: PretrainingSettings) -> UNet2DModel:
    attends = [level in settings.attention for level in range(len(settings.channels))]
    with torch.random.fork_rng():  # layers draw their initial weights from torch's global generator
        torch.manual_seed(seed_of("pretraining", settings.seed, "weights"))
        return UNet2DModel(
            sample_size=settings.size,
            block_out_channels=settings.channels,
            layers_per_block=settings.layers_per_block,
            down_block_types=["AttnDownBlock2D" if attention else "DownBlock2D" for attention in attends],
            up_block_types=["AttnUpBlock2D" if attention else "UpBlock2D" for attention in reversed(attends)],
            downsample_type="resnet",
            upsample_type="resnet",
            resnet_time_scale_shift="scale_shift",
            attention_head_dim=settings.head_dim,
            norm_num_groups=settings.groups,
        )


def _batch(
    images: np.ndarray, settings: PretrainingSettings, size: tuple[int, int], generator: torch.Generator
) -> torch.Tensor:
    """Random images, cropped and mirrored as the settings say: [batch, 3, *size] float32 in [-1, 1]."""
    views = []
    for number in torch.randint(len(images), (settings.batch,), generator=generator).tolist():
        view = torch.tensor(images[number]).permute(2, 0, 1)
        if settings.crop < 1:
            view = _crop(view, settings.crop, generator)
        if settings.flip and torch.rand((), generator=generator) < 0.5:
            view = view.flip(2)
        view = view[None].float()
        if view.shape[2:] != size:
            view = interpolate(view, size, mode="bilinear", antialias=True)
        views.append(view)
    return torch.cat(views) / 127.5 - 1


def _crop(image: torch.Tensor, smallest: float, generator: torch.Generator) -> torch.Tensor:
    """A random window of ``image`` [3, H, W] that keeps its aspect ratio."""
    scale = smallest + (1 - smallest) * torch.rand((), generator=generator).item()
    window = [max(1, round(length * scale)) for length in image.shape[1:]]
    top, left = (
        torch.randint(length - part + 1, (), generator=generator).item()
        for length, part in zip(image.shape[1:], window, strict=True)
    )
    return image[:, top : top + window[0], left : left + window[1]]


def _digest(images: np.ndarray) -> str:
    digest = sha256(repr(images.shape).encode())
    for number in range(len(images)):
        digest.update(np.ascontiguousarray(images[number]).data)
    return digest.hexdigest()


def _means(losses: Sequence[float]) -> list[tuple[int, float]]:
    """Pairs of steps done and mean loss since the pair before; single losses vary too much to be read."""
    ends = [*range(LOG_EVERY, len(losses), LOG_EVERY), len(losses)]
    return [(end, float(np.mean(losses[(end - 1) // LOG_EVERY * LOG_EVERY : end]))) for end in ends]


def _write_log(losses: Sequence[float], settings: PretrainingSettings, folder: Path) -> None:
    rows = []
    for end, loss in _means(losses):
        rate = learning_rate_at(settings, end - 1)
        rows.append([end, *size_at(settings, end - 1), f"{rate:.4g}", f"{loss:.5g}"])
    write_csv(folder / "loss.csv", ("step", "height", "width", "learning_rate", "loss"), rows)


def _draw_log(losses: Sequence[float], settings: PretrainingSettings, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*_means(losses), strict=True), linewidth=1.2)
    done = 0
    for stage in settings.stages:
        done += stage.steps
        axes.axvline(done, color="grey", linestyle=":", linewidth=1)
    axes.set(xlabel="step", ylabel=f"loss (mean of {LOG_EVERY} steps)", yscale="log")
    axes.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=120)
