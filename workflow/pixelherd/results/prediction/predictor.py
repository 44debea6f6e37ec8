"""A run's head on its features, for images of any size.

Three lines make a mask in Python::

    from pixelherd import Predictor

    predictor = Predictor.load("results/runs/mine/photo/edald/budget-30/seed-0")
    mask = predictor("photo.jpg")  # [H, W] uint8, positions in predictor.classes
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from pixelherd.compute.devices import resolve
from pixelherd.datasets.classes import ClassInfo
from pixelherd.datasets.samples import read_image
from pixelherd.datasets.settings import DatasetSettings, read_dataset
from pixelherd.errors import UserError
from pixelherd.features.backbones import manifest
from pixelherd.features.backbones.sources.kinds import kind_of, read_source
from pixelherd.features.maps import compute_joined
from pixelherd.features.settings import MapSettings
from pixelherd.heads import dense
from pixelherd.heads.network import Head
from pixelherd.heads.network import load as load_head
from pixelherd.results.prediction.edges import EPSILON, RADIUS, keep_to_edges
from pixelherd.storage.files import digest_of, digest_of_text
from pixelherd.study.paths import HEAD, read_seal

if TYPE_CHECKING:
    from pixelherd.features.backbones.backbone import Backbone
    from pixelherd.features.backbones.sources.source import Stored


@dataclass(frozen=True)
class Predictor:
    """A trained head on its features, for images of any size.

    Attributes:
        head: the head.
        backbones: the frozen network, or those that features join.
        settings: what the maps depend on, with the size that the network is given as ``image_size``.
        classes: in the order of their labels.
        trained: what identifies head, network and settings.
        edges: whether :func:`~pixelherd.results.prediction.edges.keep_to_edges` moves masks to the edges of the image,
            as the network sees it.
        mirror: whether probabilities are means with those of the mirror image, for which the network runs again.
    """

    head: Head
    backbones: "Sequence[Backbone]"
    settings: MapSettings
    classes: Sequence[ClassInfo]
    trained: str
    edges: bool = False
    mirror: bool = False

    @property
    def digest(self) -> str:
        """What identifies all that masks depend on, besides the image."""
        if not (self.edges or self.mirror):
            return self.trained
        return digest_of_text(json.dumps([self.trained, [RADIUS, EPSILON] if self.edges else None, self.mirror]))

    @classmethod
    def load(
        cls,
        run: Path | str,
        *,
        round_number: int | None = None,
        backbone: Path | str | None = None,
        device: str = "auto",
    ) -> "Predictor":
        """The predictor of a finished run.

        Args:
            run: its folder, which holds ``run.json``.
            round_number: whose head; the last one by default.
            backbone: diffusers folder of the network; needed where the study converted, fetched or trained it, which
                then lies in its cache. By default the folder that the study named.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

        Raises:
            UserError: the run is not finished, has no such round, or its backbone is not there.
        """
        run, seal = Path(run), read_seal(Path(run))
        if seal is None:
            raise UserError(
                f"{run / 'run.json'} is missing, so the run is not finished", remedy="name the folder of a sealed run"
            )
        last = seal["rounds"] - 1
        if round_number is not None and not 0 <= round_number <= last:
            raise UserError(f"{run} has no round {round_number}", remedy=f"choose from 0 to {last}")
        settings, source = seal["settings"], seal["settings"]["backbone"]
        parts = source.get(manifest.PARTS, [source])
        if backbone and len(parts) == 1:
            networks = [manifest.stored_at(source, backbone)]
        else:
            found = [read_source(part).stored() if kind_of(part) else None for part in parts]
            networks = [each for each in found if each]
        if len(networks) < len(parts):
            raise UserError(
                f"{run} used a backbone that its study made",
                remedy="predict by the study" if len(parts) > 1 else "give its folder in the cache as `backbone`",
            )
        return cls.of(
            run / f"round-{last if round_number is None else round_number}" / HEAD,
            networks,
            MapSettings(**{**settings["features"], "maps": "recompute"}),  # a seal does not tell whether maps were kept
            [ClassInfo(each["name"], tuple(each["colour"])) for each in seal["classes"]],
            read_dataset(settings["dataset"]),
            device=device,
            network=seal.get("backbone_sha256"),
        )

    @classmethod
    def of(
        cls,
        head: Path | str,
        backbones: "Sequence[Stored]",
        settings: MapSettings,
        classes: Sequence[ClassInfo],
        dataset: DatasetSettings,
        *,
        device: str = "auto",
        network: str | None = None,
    ) -> "Predictor":
        """A predictor from its parts.

        Args:
            head: file of the head.
            backbones: that of the features, or those that they join.
            settings: what the maps that the head was trained on depend on.
            classes: in the order of their labels.
            dataset: that the head was trained on. Where it crops images, new ones are not cropped, but resized as
                before the crop.
            device: the study's device.
            network: SHA-256 of the network that the head was trained on, if it is known.

        Raises:
            UserError: the backbone is another network.
        """
        where = resolve(device)
        full = getattr(dataset, "resize", None) or dataset.size
        settings = settings.resized(full, dataset.size)
        what = {"image_size", "noise_seed", "timesteps", "blocks", "window", "parts"}
        used = settings.model_dump(mode="json", include=what, exclude_none=True)
        found = {"files": manifest.files_of(map(manifest.manifest, backbones))}
        if network not in (None, manifest.identity(found)):
            places = ", ".join(str(each.place) for each in backbones)
            raise UserError(
                f"backbone {places} is another network than the one that the run was made with",
                remedy="put back the files of then, or delete the run's run.json and run the study again",
            )
        digest = digest_of_text(json.dumps([digest_of(Path(head)), found["files"], used], sort_keys=True))
        loaded = [manifest.load(each, device=where) for each in backbones]
        return cls(load_head(head).to(where), loaded, settings, classes, digest)

    def improved(self, *, edges: bool = False, mirror: bool = False) -> "Predictor":
        """Return a predictor by the same head that does this to probabilities, and nothing else."""
        return replace(self, edges=edges, mirror=mirror)

    def probabilities(self, image: "Path | str | Image.Image | np.ndarray") -> torch.Tensor:
        """Return the probability of each class at every pixel: ``[C, H, W]`` float32, at the image's own size.

        Args:
            image: a file, a PIL image, or ``[H, W, 3]`` uint8.

        Raises:
            UserError: the file is unreadable.
        """
        if isinstance(image, Path | str):
            image = read_image(Path(image))
        elif isinstance(image, np.ndarray):
            image = Image.fromarray(image)
        image = image.convert("RGB")
        whole, (height, width) = (image.height, image.width), self.settings.image_size
        small = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        size = (height, width) if self.edges else whole
        found = self._seen(small, size)
        if self.mirror:
            found = (found + self._seen(np.ascontiguousarray(small[:, ::-1]), size).flip(2)) / 2
        if self.edges:
            found = keep_to_edges(found, small)
        return found if size == whole else interpolate(found[None], whole, mode="bilinear")[0]

    def _seen(self, image: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
        """Probabilities ``[C, H, W]`` of an image of the network's size."""
        maps = compute_joined(self.backbones, image, self.settings)
        return torch.softmax(dense.predict(maps, [self.head], size)[0], 0)

    def __call__(self, image: "Path | str | Image.Image | np.ndarray") -> np.ndarray:
        """Return the class of every pixel, ``[H, W]`` uint8, at the image's own size."""
        # as in dense.classes: argmax takes five times as long
        return self.probabilities(image).max(0).indices.to(torch.uint8).cpu().numpy()
