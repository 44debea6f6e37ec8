"""Frozen encoders of the transformers library, such as DINOv2 and ConvNeXt, by its classes for backbones."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from pixelherd.compute.memory import return_freed_memory
from pixelherd.errors import UserError
from pixelherd.features.backbones.backbone import Encoder
from pixelherd.features.backbones.description import Description
from pixelherd.features.backbones.networks import library

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's channels in [0, 1]: what encoders are trained with unless they say so."""


UNREAD = "hidden_states_norms.", "pooler."
"""Tensors that a checkpoint may lack: norms of the library's own, and what nothing here reads."""


class Pretrained(Encoder):
    """Stages of an encoder as maps: what its tokens are beside those of patches is left out.

    Args:
        path: a folder that ``save_pretrained`` wrote.
        description: what the encoder takes and gives.
        normalisation: ``image_mean`` and ``image_std`` of channels in [0, 1]; those of ImageNet by default.
        device: a torch device.

    Raises:
        UserError: the library is missing, or the weights are damaged or of another network.
    """

    def __init__(
        self,
        path: Path,
        description: Description,
        normalisation: Mapping[str, Sequence[float]],
        *,
        device: torch.device | str,
    ):
        super().__init__(description, path, device)
        # Hiera's class for backbones leaves tokens in the order of its attention: its whole model puts them in place
        self.network = _load(path, list(description.levels), whole=description.fixed is not None).to(self.device)
        self._stages = list(self.description.levels)
        mean, spread = (
            torch.tensor(normalisation.get(key, usual), device=self.device)[:, None, None]
            for key, usual in (("image_mean", MEAN), ("image_std", SPREAD))
        )
        self._mean, self._spread = mean, spread
        return_freed_memory()

    def levels(self, images: Tensor, blocks: Sequence[int]) -> dict[int, Tensor]:
        """Return the maps ``[b, C, h, w]`` of stages, of images in [-1, 1]."""
        seen = ((images + 1) / 2 - self._mean) / self._spread
        if self.description.fixed:
            _, *stages = self.network(seen, output_hidden_states=True).reshaped_hidden_states
            maps = [stage.movedim(-1, 1) for stage in stages]
        else:
            maps = self.network(seen).feature_maps
        found = dict(zip(self._stages, maps, strict=True))
        return {block: found[block] for block in blocks}


def _load(path: Path, stages: Sequence[int], whole: bool) -> torch.nn.Module:
    try:
        with library.transformers("encoders") as transformers:
            config = transformers.AutoConfig.from_pretrained(str(path), local_files_only=True)
            kinds = transformers.models.auto.modeling_auto
            kind = (kinds.MODEL_MAPPING if whole else kinds.MODEL_FOR_BACKBONE_MAPPING)[type(config)]
            if not whole:
                config.out_features = [f"stage{stage}" for stage in stages]
            options = {"config": config, "dtype": torch.float32, "local_files_only": True, "output_loading_info": True}
            network, report = kind.from_pretrained(str(path), **options)
    except UserError:
        raise
    except Exception as error:  # transformers, safetensors and torch each raise their own kinds
        what = f"cannot load the encoder in {path}: {library.reason_of(error)}"
        raise UserError(what, remedy="fetch it again") from None
    # norms that backbones have behind stages begin without weights of their own; whatever else is missing is random
    if missing := sorted(key for key in report["missing_keys"] if not key.startswith(UNREAD)):
        raise UserError(
            f"the weights in {path} are of another network than its config.json: {len(missing)} tensors are missing, "
            f"such as {missing[0]}",
            remedy="fetch it again",
        )
    return network.eval().requires_grad_(False)
