"""Frozen encoders of the transformers library, such as DINOv2 and ConvNeXt, by its classes for backbones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixelherd.compute.memory import return_freed_memory
from pixelherd.errors import UserError
from pixelherd.features.backbones.backbone import Encoder
from pixelherd.features.backbones.geometry import read_configuration
from pixelherd.features.backbones.sources.encoders import CONFIG, PREPROCESSOR, describe, files_of

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's channels in [0, 1]: what encoders are trained with unless they say so."""


NORMS = "hidden_states_norms."


class Pretrained(Encoder):
    """Stages of an encoder as maps: what its tokens are beside those of patches is left out.

    Args:
        path: a folder that ``save_pretrained`` wrote.
        device: a torch device.

    Raises:
        UserError: the folder, or the library, is missing or damaged.
    """

    def __init__(self, path: Path, *, device: torch.device | str):
        files_of(path)
        super().__init__(describe(read_configuration(path / CONFIG), path), path, device)
        self.network = _load(path, list(self.description.levels)).to(self.device)
        self._stages = list(self.description.levels)
        preprocessor = read_configuration(path / PREPROCESSOR) if (path / PREPROCESSOR).is_file() else {}
        mean, spread = (
            torch.tensor(preprocessor.get(key, usual), device=self.device)[:, None, None]
            for key, usual in (("image_mean", MEAN), ("image_std", SPREAD))
        )
        self._mean, self._spread = mean, spread
        return_freed_memory()

    def levels(self, images: Tensor, blocks: Sequence[int]) -> dict[int, Tensor]:
        """Return the maps ``[b, C, h, w]`` of stages, of images in [-1, 1]."""
        maps = self.network(((images + 1) / 2 - self._mean) / self._spread).feature_maps
        found = dict(zip(self._stages, maps, strict=True))
        return {block: found[block] for block in blocks}


def _load(path: Path, stages: Sequence[int]) -> torch.nn.Module:
    try:
        from transformers import AutoConfig
        from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING
        from transformers.utils import logging
    except ImportError:
        raise UserError("encoders need the transformers library", remedy="pip install 'pixelherd[encoders]'") from None
    told = logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # else it prints what checkpoints of whole models have besides
    try:
        config = AutoConfig.from_pretrained(str(path), local_files_only=True)
        config.out_features = [f"stage{stage}" for stage in stages]
        options = {"config": config, "dtype": torch.float32, "local_files_only": True, "output_loading_info": True}
        kind: Any = MODEL_FOR_BACKBONE_MAPPING[type(config)]
        network, report = kind.from_pretrained(str(path), **options)
    except Exception as error:  # transformers, safetensors and torch each raise their own kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"cannot load the encoder in {path}: {reason}", remedy="fetch it again") from None
    finally:
        logging.set_verbosity(told)
    # checkpoints of whole models lack the norms that backbones have behind stages, which begin without weights of their
    # own; whatever else is missing would be random
    if missing := sorted(key for key in report["missing_keys"] if not key.startswith(NORMS)):
        raise UserError(
            f"the weights in {path} are of another network than its {CONFIG}: {len(missing)} tensors are missing, "
            f"such as {missing[0]}",
            remedy="fetch it again",
        )
    return network.eval().requires_grad_(False)
