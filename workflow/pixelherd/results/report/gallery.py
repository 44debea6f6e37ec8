"""Pictures of a run as layers that lie over each other in the page: image, mask, truth, uncertainty."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pixelherd.datasets.classes import IGNORED
from pixelherd.results.figures.overlays import GROUPS, UNSURE, Pictured, paint, read_thumbnails
from pixelherd.results.pages.format import literal
from pixelherd.results.tables.runs import CANNOT_TELL, FinishedRun, read_labels

if TYPE_CHECKING:
    import pandas as pd

QUALITY = 85
"""Of JPEG pictures: photographs, and maps of uncertainty."""

SPREAD = {"train": "training image", "queried": "most asked training image", "test": "test image"}
"""What captions call the groups of pictured images."""


@dataclass(frozen=True)
class Mark:
    """A labelled pixel: its place, its colour (none where it could not be told), and what it is."""

    x: float
    y: float
    colour: str
    title: str


@dataclass(frozen=True)
class Card:
    """An image with its layers from bottom to top, by name as data URIs, and its labelled pixels."""

    name: str
    note: str
    layers: dict[str, str]
    marks: list[Mark]


@dataclass(frozen=True)
class Gallery:
    """The pictures of a run.

    Attributes:
        method: the run's method.
        cards: the pictures.
        size: (height, width) of an image.
        layers: names of all layers, in the order of the slider.
        legend: names and colours of the classes in them.
        unsure: what uncertainty is here, if there is a map of it.
    """

    method: str
    cards: list[Card]
    size: tuple[int, int]
    layers: list[str]
    legend: list[tuple[str, str]]
    unsure: str = ""


def read_pictured(finished: FinishedRun, rounds: int) -> Pictured:
    """Read what there is to show of a run.

    Raises:
        UserError: a file of the run is missing or malformed.
    """
    labels = None if finished.is_reference else read_labels(finished.folder, rounds, len(finished.classes))
    return Pictured(finished, read_thumbnails(finished.folder), labels)


def gallery_of(shown: Pictured) -> Gallery:
    """Gather the pictures of a run: of images spread over both splits, and of those that most pixels were asked of."""
    cards = [_card(shown, group, number) for group in GROUPS for number in range(len(shown.ids(group)))]
    layers = ["image", "mask", "truth", "uncertainty"]
    present = [name for name in layers if any(name in card.layers for card in cards)]
    values = np.unique(np.concatenate([shown.arrays[f"{group}_prediction"].ravel() for group in GROUPS]))
    legend = [(each.name, _hex(each.colour)) for value, each in enumerate(shown.run.classes) if value in values]
    height, width = shown.arrays["train_images"].shape[1:3]
    return Gallery(
        shown.run.run.method, cards, (height, width), present, legend, UNSURE[shown.unsure] if shown.unsure else ""
    )


def _card(shown: Pictured, group: str, number: int) -> Card:
    arrays, name = shown.arrays, shown.ids(group)[number]
    layers = {
        "image": _jpeg(arrays[f"{group}_images"][number]),
        "mask": _png(paint(arrays[f"{group}_prediction"][number], shown.colours)),
    }
    if shown.has_truth(group):
        layers["truth"] = _png(paint(arrays[f"{group}_truth"][number], shown.colours))
    if group == "train" and shown.unsure:
        layers["uncertainty"] = _jpeg(_heat(arrays[shown.unsure], number))
    marks = []
    if group != "test" and shown.labels is not None:
        marks = [_mark(shown.run, *row) for row in _answers_in(shown.labels, name)]
    return Card(name, SPREAD[group], layers, marks)


def _answers_in(labels: "pd.DataFrame", image: str) -> list[tuple[int, int, int, int]]:
    rows = labels.loc[labels["image"] == image, ["row", "column", "label", "round"]]
    return [tuple(row) for row in rows.to_numpy().tolist()]


def _mark(run: FinishedRun, row: int, column: int, label: int, number: int | None = None) -> Mark:
    when = "" if number is None else f", round {number}"
    if label == IGNORED:
        return Mark(column + 0.5, row + 0.5, "", f"{CANNOT_TELL}{when}")
    each = run.classes[label]
    return Mark(column + 0.5, row + 0.5, _hex(each.colour), f"{each.name}{when}")


def contradicted(shown: Pictured) -> tuple[Gallery | None, int, int]:
    """Gather the answers that contradict the model: the surest pictured, how many there are, and of how many.

    Runs whose labels no person gave, and older ones, have none.
    """
    arrays, run = shown.arrays, shown.run
    if "contradicted_pixels" not in arrays or not int(arrays["contradicted_told"]):
        return None, 0, 0
    cards: list[Card] = []
    rows = zip(arrays["contradicted_pixels"].tolist(), arrays["contradicted_confidence"], strict=True)
    for image, (pixel, confidence) in zip(arrays["contradicted_images"], rows, strict=False):
        row, column, label, predicted = pixel
        note = (
            f"answered {run.classes[label].name}; without this image the model says {run.classes[predicted].name} "
            f"({100 * float(confidence):.0f} %)"
        )
        name = str(arrays["contradicted_ids"][len(cards)])
        cards.append(Card(name, note, {"image": _jpeg(image)}, [_mark(run, row, column, label)]))
    size = arrays["contradicted_images"].shape[1:3]
    gallery = Gallery(run.run.method, cards, size, ["image"], [])
    return gallery, len(arrays["contradicted_ids"]), int(arrays["contradicted_told"])


def doubtful(shown: Pictured) -> "tuple[pd.DataFrame, str]":
    """Rank the classes of a run's pictured masks by how unsure the head is of them, and name images and classes.

    Returns:
        Columns: class, share of the pixels (%), uncertainty (times the mean of all pixels); and a sentence. Empty
        where there is no map of uncertainty.
    """
    import pandas as pd

    if not shown.unsure or not len(shown.arrays[shown.unsure]):
        return pd.DataFrame(), ""
    maps, classes = shown.arrays[shown.unsure].astype(np.float64), shown.arrays["train_prediction"]
    overall = maps.mean() or 1.0
    rows = []
    for value, each in enumerate(shown.run.classes):
        inside = classes == value
        if inside.any():
            rows.append((literal(each.name), inside.mean(), maps[inside].mean() / overall))
    rows.sort(key=lambda row: -row[2])
    table = pd.DataFrame(
        [(name, f"{100 * share:.1f}", f"{times:.2f}") for name, share, times in rows],
        columns=["predicted class", "share of pixels (%)", "uncertainty (1 is the mean)"],
    )
    image = shown.ids("train")[int(maps.mean(axis=(1, 2)).argmax())]
    names = ", ".join([name for name, _, times in rows if times > 1][:3] or [rows[0][0]])
    text = f"Of the pictured images the model is least sure of {literal(image)}; of the classes, of {names}."
    return table, text


def bars(run: FinishedRun, labels: "pd.DataFrame") -> list[tuple[str, str, int, float]]:
    """Count the labelled pixels of each class: name, colour, pixels, and length in percent of the longest."""
    counts = [int((labels["label"] == value).sum()) for value in range(len(run.classes))]
    longest = max([*counts, 1])
    return [
        (each.name, _hex(each.colour), count, round(100 * count / longest, 1))
        for each, count in zip(run.classes, counts, strict=True)
    ]


def _hex(colour: Sequence[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _heat(maps: np.ndarray, number: int) -> np.ndarray:
    from matplotlib import colormaps

    low, high = float(maps.min()), float(maps.max())
    scaled = (maps[number].astype(np.float32) - low) / ((high - low) or 1.0)
    return (255 * colormaps["viridis"](scaled)[..., :3]).astype(np.uint8)


def _jpeg(picture: np.ndarray) -> str:
    return _uri(picture, "jpeg", quality=QUALITY)


def _png(picture: np.ndarray) -> str:
    return _uri(picture, "png", optimize=True)


def _uri(picture: np.ndarray, kind: str, **options: int | bool) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def data_uri(path: Path) -> str:
    """Return a figure as a data URI.

    Raises:
        OSError: it cannot be read.
    """
    media = {".svg": "image/svg+xml", ".png": "image/png"}[path.suffix]
    return f"data:{media};base64,{base64.b64encode(path.read_bytes()).decode()}"
