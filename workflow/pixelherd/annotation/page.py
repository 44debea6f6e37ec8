"""The page on which a person labels a round's pixels: one HTML file that works from disk and fetches nothing.

It shows the images as detailed as their files are (up to :data:`LONGEST`), marks what a prepared pixel covers of them,
keeps answers in the browser, and gives them as ``labels.csv``. What users chose (names of files and classes) reaches
the page as escaped JSON and is put in as text, never as markup.
"""

import base64
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pixelherd.annotation.oracle import Pixel
from pixelherd.datasets.classes import ClassInfo
from pixelherd.storage.files import digest_of_text

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST = 1024
"""Longest side in pixels of the images in a page."""

QUALITY = 85
"""JPEG quality of the images in a page."""

KEYS = "123456789abcdefghijklmnopqrstuvwxyz"
"""Keys of the first classes; ``0`` is "cannot tell". Further classes are found by their names."""


@dataclass(frozen=True)
class Shown:
    """An image of a page: as a person sees it, and as the head of the round before does ([H, W] labels, or None)."""

    id: str
    image: "Image"
    prediction: np.ndarray | None


@dataclass(frozen=True)
class Questions:
    """What a page asks.

    Attributes:
        run: the run's path, for the heading.
        round_number: the round.
        asked: its pixels.
        size: (H, W) of prepared images.
        classes: in label order.
        answers: where the person should put ``labels.csv``.
        calibrated: whether the last head's confidence is; None in the first round.
    """

    run: str
    round_number: int
    asked: Sequence[Pixel]
    size: tuple[int, int]
    classes: Sequence[ClassInfo]
    answers: str
    calibrated: bool | None = None


def page(
    template: str,
    questions: Questions,
    images: Iterable[Shown],
    *,
    progress: Sequence[dict[str, float]] = (),
    counts: Sequence[int] = (),
) -> str:
    """The page's HTML; the same bytes for the same round.

    Args:
        template: Jinja2 source of the page.
        questions: what is asked.
        images: every image that is asked about.
        progress: rows of :mod:`pixelherd.annotation.stopping`, a round each.
        counts: labelled pixels of each class so far.
    """
    import jinja2

    run, round_number, classes = questions.run, questions.round_number, questions.classes
    place: dict[str, int] = {}
    shown: list[dict[str, Any]] = []
    pictures: list[tuple[str, str]] = []
    for each in images:
        place[each.id] = len(shown)
        shown.append({"id": each.id, "width": each.image.width, "height": each.image.height})
        pictures.append((encoded_image(each.image), encoded_labels(each.prediction, classes)))
    content = {
        "run": run,
        "round": round_number,
        "answers": questions.answers,
        # the same images and questions keep their answers, whatever the head predicts by now
        "key": digest_of_text(json.dumps([run, round_number, questions.asked, [image for image, _ in pictures]])),
        "size": list(questions.size),
        "classes": [
            {"name": each.name, "colour": list(each.colour), "key": key.strip(), "answer": answer}
            for each, key, answer in zip(classes, KEYS.ljust(len(classes)), written(classes), strict=False)
        ],
        "images": shown,
        "asked": [[place[image], row, column] for image, row, column in questions.asked],
    }
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(template).render(
        title=f"Label round {round_number} of {run}",
        content=json_in_html(content),
        pictures=pictures,
        progress=[{name: numbered(name, value) for name, value in row.items()} for row in progress],
        calibrated=questions.calibrated,
        curves=curves(progress),
        counts=[(each.name, count) for each, count in zip(classes, counts, strict=bool(counts))],
    )


def written(classes: Sequence[ClassInfo]) -> list[str | int]:
    """What ``labels.csv`` calls the classes: their names, which stay right when the study's classes are put in another
    order, or the numbers of those whose names would not be read back."""
    folded = [each.name.strip().casefold() for each in classes]
    return [
        each.name if each.name.isprintable() and not name.isdecimal() and folded.count(name) == 1 else label
        for label, (each, name) in enumerate(zip(classes, folded, strict=True))
    ]


def json_in_html(content: Any) -> Any:
    """JSON that may stand in a script element whatever its strings hold."""
    from markupsafe import Markup

    text = json.dumps(content, separators=(",", ":"))  # ASCII only, so that line separators are escaped too
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def encoded_image(image: "Image") -> str:
    """A JPEG as Base64."""
    return _encoded(lambda file: image.save(file, "JPEG", quality=QUALITY, optimize=True))


def encoded_labels(labels: np.ndarray | None, classes: Sequence[ClassInfo]) -> str:
    """Labels [H, W] in their colours, as a PNG in Base64; nothing for None."""
    from PIL import Image

    if labels is None:
        return ""
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette([value for each in classes for value in each.colour])
    return _encoded(lambda file: image.save(file, "PNG", optimize=True))


def _encoded(save: Callable[[io.BytesIO], object]) -> str:
    file = io.BytesIO()
    save(file)
    return base64.b64encode(file.getvalue()).decode()


def numbered(name: str, value: float) -> str:
    """A value of ``stopping.csv`` for a reader; – for what is empty."""
    if np.isnan(value):
        return "–"
    return f"{value:,.0f}" if name in ("round", "labelled_pixels", "cannot_tell") else f"{value:.3f}"


def curves(progress: Sequence[dict[str, float]], width: int = 320, height: int = 120) -> list[dict[str, str]]:
    """Agreement and entropy over the rounds as SVG polylines, a chart each; none before there are two values."""
    found = []
    for name in ("agreement", "entropy"):
        points = [(row["round"], row[name]) for row in progress if not np.isnan(row[name])]
        if len(points) < 2:
            continue
        first, last = points[0][0], points[-1][0]
        top = 1.0 if name == "agreement" else 1.1 * max(value for _, value in points) or 1.0
        placed = [
            f"{8 + (width - 16) * (number - first) / (last - first):.1f},{height - 8 - (height - 16) * value / top:.1f}"
            for number, value in points
        ]
        described = ", ".join(f"round {number:.0f} {value:.3f}" for number, value in points)
        found.append({"name": name, "points": " ".join(placed), "top": f"{top:.2f}", "described": described})
    return found
