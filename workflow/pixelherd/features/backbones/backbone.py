"""The protocol of backbones: images and a perturbation in, maps by block out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch.nn import functional as F

from pixelherd.errors import UserError
from pixelherd.features.backbones.description import Description, Size
from pixelherd.features.perturbations import Perturbation
from pixelherd.features.windows import Windows, WindowSettings, blended


class Backbone(ABC):
    """A frozen network whose activations are features; made by :func:`.manifest.load`.

    Args:
        description: what it takes and gives.
        path: where its weights lie, for messages.
        device: a torch device.

    Attributes:
        forwards: network evaluations so far; one image, or window of it, at one timestep with one draw counts as one.
    """

    def __init__(self, description: Description, path: Path | str, device: torch.device | str):
        self.description, self.path, self.device, self.forwards = description, Path(path), torch.device(device), 0

    @property
    def blocks(self) -> int:
        """Return the number of blocks."""
        return len(self.description.levels)

    def maps(
        self,
        images: torch.Tensor,
        perturbation: "torch.Tensor | Perturbation | None",
        *,
        timesteps: Sequence[int] = (),
        blocks: Sequence[int],
        window: WindowSettings | None = None,
    ) -> dict[int, torch.Tensor]:
        """Return activations of ``blocks``.

        On the CPU the maps of an image do not depend on the images that share the call, bit by bit.

        Args:
            images: ``[b, 3, H, W]`` in [-1, 1].
            perturbation: the noise of a schedule, :meth:`.Description.noise_shape` for all images or one for each; what
                else happens to images where there is no schedule, or None.
            timesteps: T steps of the schedule, at least one; none where there is no schedule, and T is 1.
            blocks: their numbers; nothing behind the last of them is computed.
            window: large images are seen by windows of this size.

        Returns:
            For each block ``[b, T, C, h, w]``, float32, on the backbone's device, as far as interpolation over the
            images reads it (:meth:`.Description.shapes`).

        Raises:
            UserError: timesteps, blocks or windows that the network does not have, or maps that are not finite.
            ValueError: the perturbation is of another kind or shape.
        """
        size = images.shape[-2], images.shape[-1]
        shapes = self.description.shapes(size, blocks)
        self.description.check_timesteps(timesteps)
        height, width = self.description.padded(size)
        images = images.to(self.device, torch.float32)
        if (height, width) != size:
            images = F.pad(images, (0, width - size[1], 0, height - size[0]), mode="replicate")
        windows = self.description.windows(size, window)
        found = self.padded_maps(images, perturbation, timesteps, blocks, windows)
        maps = {block: found[block][..., : shape[1], : shape[2]] for block, shape in shapes.items()}
        for block, values in maps.items():
            self._check_finite(values, block, timesteps)
        return maps

    @abstractmethod
    def padded_maps(
        self,
        images: torch.Tensor,
        perturbation: "torch.Tensor | Perturbation | None",
        timesteps: Sequence[int],
        blocks: Sequence[int],
        windows: Windows,
    ) -> dict[int, torch.Tensor]:
        """Return :meth:`maps` of images whose size suits the network, on its device; all of each map."""

    def blended(
        self,
        windows: Windows,
        size: Size,
        blocks: Sequence[int],
        compute: Callable[[slice, slice], dict[int, torch.Tensor]],
    ) -> dict[int, torch.Tensor]:
        """Return maps of blocks of images of a size (H, W) from those of their windows."""
        return blended(windows, size, {block: self.description.levels[block] for block in blocks}, compute)

    def _check_finite(self, values: torch.Tensor, block: int, timesteps: Sequence[int]) -> None:
        finite = values.isfinite().flatten(2).all(dim=2).all(dim=0)
        if not finite.all():
            step = f" at timestep {timesteps[int((~finite).nonzero()[0])]}" if timesteps else ""
            raise UserError(
                f"backbone {self.path} gives values that are not finite in block {block}{step}", remedy=self.mend
            )

    @property
    def mend(self) -> str:
        """Return what to do against values that are not finite."""
        return "check weights and images"


class Encoder(Backbone):
    """A backbone without a noise schedule: the image itself is perturbed, except in the base draw.

    A kind defines :meth:`levels`.
    """

    @abstractmethod
    def levels(self, images: torch.Tensor, blocks: Sequence[int]) -> dict[int, torch.Tensor]:
        """Return the maps ``[b, C, h, w]`` of ``blocks``, of images in [-1, 1] whose size suits the network."""

    @torch.inference_mode()
    def padded_maps(
        self,
        images: torch.Tensor,
        perturbation: "torch.Tensor | Perturbation | None",
        timesteps: Sequence[int],
        blocks: Sequence[int],
        windows: Windows,
    ) -> dict[int, torch.Tensor]:
        """Return maps of perturbed images, moved back to where they are in the image."""
        if isinstance(perturbation, torch.Tensor):
            raise ValueError(f"backbone {self.path} has no noise schedule: give a Perturbation instead of a tensor")
        self.forwards += len(images) * len(windows)
        seen = images if perturbation is None else perturbation.images(images)
        # an image's last bits depend on its batch: on the CPU, where that is cheap, no batch spans images
        together = 1 if self.device.type == "cpu" else 16

        def compute(rows: slice, columns: slice) -> dict[int, torch.Tensor]:
            parts = [self.levels(batch, blocks) for batch in seen[..., rows, columns].split(together)]
            return {block: torch.cat([part[block] for part in parts]).float() for block in blocks}

        found = self.blended(windows, (images.shape[-2], images.shape[-1]), blocks, compute)
        if perturbation is not None:
            strides = {block: self.description.levels[block].stride for block in blocks}
            found = {block: perturbation.back(values, strides[block]) for block, values in found.items()}
        return {block: values[:, None] for block, values in found.items()}
