"""Class masks of new images, by a run's head: the last stage for those who came for masks.

Three lines do it in Python::

    from pixelherd.results.prediction import Predictor

    predictor = Predictor.load("results/runs/mine/photo/edald/budget-30/seed-0")
    mask = predictor("photo.jpg")  # [H, W] uint8, positions in predictor.classes
"""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pixelherd.compute.devices import resolve
from pixelherd.datasets.classes import ClassInfo
from pixelherd.datasets.readers.own.listing import listing
from pixelherd.datasets.samples import IMAGE_SUFFIXES, read_image
from pixelherd.datasets.settings import DatasetSettings, read_dataset
from pixelherd.errors import UserError
from pixelherd.features.backbones import manifest
from pixelherd.features.backbones.sources.kinds import kind_of, read_source
from pixelherd.features.maps import compute_joined
from pixelherd.features.settings import MapSettings
from pixelherd.heads import dense
from pixelherd.heads.network import Head
from pixelherd.heads.network import load as load_head
from pixelherd.storage.files import digest_of, digest_of_text, write_bytes, write_csv, write_json
from pixelherd.study.paths import HEAD, read_seal

if TYPE_CHECKING:
    from pixelherd.features.backbones.backbone import Backbone
    from pixelherd.features.backbones.sources.source import Stored

STAMP = "pixelherd"
"""Key of the text in a mask's PNG that says what it was made of."""

OPACITY = 0.5
"""Of the class colours over an image."""


@dataclass(frozen=True)
class Predictor:
    """A trained head on its features, for images of any size.

    Attributes:
        head: the head.
        backbones: the frozen network, or those that features join.
        settings: what the maps depend on, with the size that the network is given as ``image_size``.
        classes: in the order of their labels.
        digest: what identifies head, network and settings.
    """

    head: Head
    backbones: "Sequence[Backbone]"
    settings: MapSettings
    classes: Sequence[ClassInfo]
    digest: str

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

    def probabilities(self, image: "Path | str | Image.Image | np.ndarray") -> torch.Tensor:
        """Probability of each class at every pixel: ``[C, H, W]`` float32, at the image's own size.

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
        height, width = self.settings.image_size
        small = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        maps = compute_joined(self.backbones, small, self.settings)
        return torch.softmax(dense.predict(maps, [self.head], (image.height, image.width))[0], 0)

    def __call__(self, image: "Path | str | Image.Image | np.ndarray") -> np.ndarray:
        """Class of every pixel, ``[H, W]`` uint8, at the image's own size."""
        return self.probabilities(image).argmax(0).to(torch.uint8).cpu().numpy()


def predict_folder(
    predictor: Predictor,
    images: dict[str, Path],
    folder: Path | str,
    *,
    confidence: bool = False,
    progress: Callable[[], object] = lambda: None,
) -> int:
    """Write masks of many images; what is there already, made from the same image by the same head, is kept.

    ``masks/{name}.png`` holds the class of every pixel, with the class colours as its palette; ``overlays/{name}.jpg``
    the image under these colours; ``confidence/{name}.png`` the probability of the predicted class, 255 for 1;
    ``classes.csv`` what the numbers mean.

    Args:
        predictor: head and features.
        images: files by name.
        folder: where to write.
        confidence: whether to write confidence maps.
        progress: called after each image.

    Returns:
        how many images were predicted, not kept.

    Raises:
        UserError: images are unreadable; all others are done.
    """
    folder, made, unreadable = Path(folder), 0, []
    rows = [(label, each.name, *each.colour) for label, each in enumerate(predictor.classes)]
    write_csv(folder / "classes.csv", ("label", "name", "red", "green", "blue"), rows)
    for name, path in images.items():
        stamp = digest_of_text(json.dumps([predictor.digest, digest_of(path)]))
        files = [folder / "masks" / f"{name}.png", folder / "overlays" / f"{name}.jpg"]
        files += [folder / "confidence" / f"{name}.png"] if confidence else []
        # an overlay is never written without its mask, a confidence map may be left of another head
        if not all(file.is_file() for file in files) or any(stamp_of(file) != stamp for file in files[::2]):
            try:
                image = read_image(path)
            except UserError as error:
                unreadable.append(str(error))
            else:
                _write(predictor, image, stamp, files)
                made += 1
        progress()
    if unreadable:
        raise UserError(f"{len(unreadable)} of {len(images)} images have no mask: {'; '.join(unreadable)}")
    return made


def write_coco(folder: Path | str, names: Sequence[str], classes: Sequence[ClassInfo]) -> None:
    """Write ``coco.json`` beside masks: each class of each mask as a compressed run-length encoding of COCO's.

    Args:
        folder: what :func:`predict_folder` wrote.
        names: of the images; those without a mask are left out.
        classes: in the order of their labels.
    """
    folder = Path(folder)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for name in names:
        path = folder / "masks" / f"{name}.png"
        if not path.is_file():
            continue
        with Image.open(path) as image:
            mask = np.asarray(image)
        height, width = mask.shape
        images.append({"id": len(images) + 1, "file_name": f"{name}.png", "height": height, "width": width})
        for label in np.unique(mask).tolist():
            of_class = mask == label
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": label + 1,
                    "segmentation": {"size": [height, width], "counts": run_lengths(of_class)},
                    "area": int(of_class.sum()),
                    "bbox": _box(of_class),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": label + 1, "name": each.name} for label, each in enumerate(classes)]
    write_json(folder / "coco.json", {"images": images, "annotations": annotations, "categories": categories})


def run_lengths(mask: np.ndarray) -> str:
    """Compress a mask ``[H, W]`` bool as COCO's API does: runs down the columns, each as its difference to the last but
    one, in characters of five bits."""
    flat = np.concatenate([[False], mask.T.ravel(), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
    if runs[-1] == 0:
        runs.pop()
    characters = []
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        more = True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            characters.append(chr(48 + bits + 32 * more))
    return "".join(characters)


def _box(mask: np.ndarray) -> list[int]:
    """Left, top, width and height of what a mask covers."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]


def new_images(folder: Path | str, written: Path | str) -> dict[str, Path]:
    """The images of a folder and its subfolders, by their paths without suffix.

    Args:
        folder: the images.
        written: where masks shall be written.

    Raises:
        UserError: there is no such folder, no image in it, or what is written would count as new images.
    """
    folder, written = Path(folder), Path(written)
    if written.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"predict.folder: {written} is in the folder of images {folder}, so masks would be taken for images next "
            "time",
            remedy="name a folder outside",
        )
    found = listing(folder, IMAGE_SUFFIXES, "image")
    if not found.files:
        others = f" of a kind that is read, but {found.kinds()}" if found.other_kinds else ""
        raise UserError(f"predict.images: there are no images in {folder}{others}", remedy="name another folder")
    return found.files


def stamp_of(written: Path) -> str | None:
    """What a mask or confidence map says that it was made of; None for a file that is not ours, or is damaged."""
    try:
        with Image.open(written) as image:
            return image.info.get(STAMP)
    except (OSError, SyntaxError, ValueError):
        return None


def _write(predictor: Predictor, image: "Image.Image", stamp: str, files: Sequence[Path]) -> None:
    """The files of one image, the mask, which says that they are complete, last."""
    best, labels = (each.cpu().numpy() for each in predictor.probabilities(image).max(0))
    colours = np.array([each.colour for each in predictor.classes], np.uint8)
    text = PngInfo()
    text.add_text(STAMP, stamp)
    if len(files) > 2:
        _save(Image.fromarray(np.round(255 * best).astype(np.uint8)), files[2], "PNG", pnginfo=text)
    painted = OPACITY * colours[labels] + (1 - OPACITY) * np.asarray(image)
    _save(Image.fromarray(np.round(painted).astype(np.uint8)), files[1], "JPEG", quality=90)
    mask = Image.fromarray(labels.astype(np.uint8))
    mask.putpalette(colours.ravel().tolist())
    _save(mask, files[0], "PNG", pnginfo=text)


def _save(image: "Image.Image", path: Path, kind: str, **options: Any) -> None:
    content = io.BytesIO()
    image.save(content, kind, **options)
    write_bytes(path, content.getvalue())
