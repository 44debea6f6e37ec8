"""Frozen encoders of the transformers library: what their configurations say, and where they come from.

Imports transformers for models of the hub alone; planning reads folders without it.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pixelherd.errors import UserError
from pixelherd.features.backbones.description import Description, Level
from pixelherd.features.backbones.sources.source import HUB_ID, Autocast, Source, Stored, located, read_configuration
from pixelherd.settings import PathText
from pixelherd.storage.files import digest_of

if TYPE_CHECKING:
    import torch

    from pixelherd.features.backbones.backbone import Backbone

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"

FILES = CONFIG, PREPROCESSOR, "model.safetensors", "model.safetensors.index.json", "model-*.safetensors"
"""What is taken of a model; older ones have their weights as pickles, which are not."""

OF_TOKENS = "beit", "dinov2", "dinov2_with_registers", "dinov3_vit"
"""Families whose layers all give maps of one size, a position for each patch."""

PYRAMIDS = "convnext", "convnextv2", "dinov3_convnext", "hiera", "pvt_v2", "resnet", "swin"
"""Families whose stages halve the image, from a quarter of it on."""

DOUBLING = "hiera", "swin"
"""Pyramids that say how many channels the first stage has; each stage has twice as many as the one before."""

FIRST_STRIDE = 4


class PretrainedEncoder(Source):
    """An encoder of the transformers library."""

    encoder: PathText = Field(
        description="Folder that `save_pretrained` wrote, or id of a model of the Hugging Face hub, such as "
        "`facebook/dinov2-small`."
    )
    revision: str | None = Field(
        default=None, min_length=1, description="Branch, tag or commit of the hub; by default the main branch."
    )

    def stored(self) -> "EncoderFolder | None":
        """Return the encoder in the folder that is named; None where there is none, and an id of the hub is meant."""
        folder = located(self.encoder)
        return EncoderFolder(folder) if folder.is_dir() else None

    def watched(self) -> list[Path]:
        """Return the folder."""
        return [found.path] if (found := self.stored()) else []

    def made(self, path: Path) -> "EncoderFolder":
        """Return the encoder in a folder."""
        return EncoderFolder(path)

    def describe(self, where: str) -> Description:
        """Return :func:`describe` of an encoder of the hub, of which the configuration alone is read.

        Raises:
            UserError: there is no such encoder, or as :func:`describe`.
        """
        if not HUB_ID.fullmatch(self.encoder):
            what = f"there is no encoder {self.encoder}"
            raise UserError(what, remedy=f"give a folder that holds {CONFIG}, or an id of the hub")
        from transformers import PretrainedConfig

        from pixelherd.features.backbones.sources import hub

        config, _ = hub.asked(
            self.encoder, lambda: PretrainedConfig.get_config_dict(self.encoder, revision=self.revision)
        )
        return describe(config, self.encoder)

    def offer(self) -> list[str]:
        """Say what the hub says of the encoder."""
        from pixelherd.features.backbones.sources import hub

        return hub.offer(self.encoder, self.revision, FILES)

    def make(self, folder: Path) -> dict[str, Any]:
        """Copy an encoder of the hub into a folder; downloads what is not cached.

        Returns:
            Its id and commit.

        Raises:
            UserError: it is neither on the hub nor in the local cache.
        """
        from huggingface_hub import snapshot_download

        from pixelherd.features.backbones.sources import hub

        options: dict[str, Any] = {"revision": self.revision, "allow_patterns": list(FILES)}
        found = hub.asked(self.encoder, lambda: snapshot_download(self.encoder, **options))
        folder.mkdir(parents=True)
        for path in EncoderFolder(Path(found)).files():
            shutil.copyfile(path, folder / path.name)
        return {"encoder": self.encoder, "commit": Path(found).name}


@dataclass(frozen=True)
class EncoderFolder(Stored):
    """An encoder in a folder that ``save_pretrained`` wrote."""

    path: Path

    @property
    def place(self) -> Path:
        """Return the folder."""
        return self.path

    def describe(self) -> Description:
        """Return :func:`describe` of its configuration.

        Raises:
            UserError: there is no configuration, or as :func:`describe`.
        """
        self.files()
        return describe(read_configuration(self.path / CONFIG), self.path)

    def files(self) -> list[Path]:
        """Return the files that count, sorted.

        Raises:
            UserError: configuration or weights are missing.
        """
        found = sorted({path for pattern in FILES for path in self.path.glob(pattern)})
        if not (self.path / CONFIG).is_file() or not any(path.suffix == ".safetensors" for path in found):
            raise UserError(
                f"encoder {self.path} lacks {CONFIG} or safetensors", remedy="save the model there with save_pretrained"
            )
        return found

    def digests(self) -> dict[str, str]:
        """Return the digests of :meth:`files`."""
        return {path.name: digest_of(path) for path in self.files()}

    def load(self, device: "torch.device | str", batch: int | None, autocast: Autocast) -> "Backbone":
        """Return the network.

        Raises:
            UserError: weights or library are missing, or the weights are of another network.
        """
        from pixelherd.features.backbones.networks.pretrained import Pretrained

        preprocessor = self.path / PREPROCESSOR
        normalisation = read_configuration(preprocessor) if preprocessor.is_file() else {}
        return Pretrained(self.path, self.describe(), normalisation, device=device)


def describe(config: Mapping[str, Any], where: str | Path) -> Description:
    """Return what an encoder takes and gives, by its ``config.json``; block n is stage n of the library.

    Raises:
        UserError: nobody knows the shapes of its maps.
    """
    family = config.get("model_type")
    if family not in (*OF_TOKENS, *PYRAMIDS):
        known = ", ".join(sorted((*OF_TOKENS, *PYRAMIDS)))
        raise UserError(f"{where} is an encoder of the family {family}", remedy=f"pixelherd knows {known}")
    try:
        return _described(config, family, where)
    except (KeyError, TypeError, ValueError) as error:
        what = f"the configuration of {where} lacks what tells its maps, or has it wrong ({error})"
        raise UserError(what, remedy="fetch it again") from None


def _described(config: Mapping[str, Any], family: str, where: str | Path) -> Description:
    if family in OF_TOKENS:
        layers = range(1, config["num_hidden_layers"] + 1)
        stride = config["patch_size"]
        return Description(where, {n: Level(config["hidden_size"], stride) for n in layers}, stride)
    if family in DOUBLING:
        channels = [config["embed_dim"] * 2**stage for stage in range(len(config["depths"]))]
    else:
        channels = config["hidden_sizes"]
    levels = {n + 1: Level(each, FIRST_STRIDE * 2**n) for n, each in enumerate(channels)}
    multiple, fixed = levels[len(levels)].stride, None
    if family == "hiera":  # has positions for images of one size alone
        height, width = config["image_size"]
        fixed = height, width
    return Description(where, levels, multiple, fixed=fixed)
