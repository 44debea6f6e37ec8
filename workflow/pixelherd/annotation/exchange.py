"""A round's queries for other labelling tools, and their answers back: Label Studio keypoints and COCO keypoints.

Beside a round's page lie ``coco.json``, ``label_studio.json`` (tasks) and ``label_studio.xml`` (its labelling
interface): a keypoint for every queried pixel, in the coordinates of the image files, of the class "unanswered". Give
each keypoint its class, or "unknown", where it stands; then

    python -m pixelherd.annotation.exchange EXPORT results/annotation/…/round-0

writes the round's ``labels.csv`` from what the tool exports.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pixelherd.annotation.oracle import UNKNOWN, Pixel
from pixelherd.datasets.classes import ClassInfo
from pixelherd.datasets.pixels import CANNOT_TELL, LABEL_COLUMNS
from pixelherd.errors import UserError
from pixelherd.storage.files import write_csv
from pixelherd.study.paths import COCO, LABELS

UNANSWERED = "unanswered"


@dataclass(frozen=True)
class ImageFile:
    """An image that is asked about.

    Attributes:
        id: its name in the dataset.
        file: its file, as other tools shall find it.
        width, height: of the file, in pixels.
        corner: x and y in the file of the upper left corner of what was prepared.
        pixel: width and height in the file of a prepared pixel.
    """

    id: str
    file: str
    width: int
    height: int
    corner: tuple[float, float]
    pixel: tuple[float, float]

    def at(self, row: int, column: int) -> tuple[float, float]:
        """x and y of the centre of a prepared pixel."""
        (left, top), (across, down) = self.corner, self.pixel
        return left + (column + 0.5) * across, top + (row + 0.5) * down


def coco_keypoints(
    round_number: int, asked: Sequence[Pixel], images: Sequence[ImageFile], classes: Sequence[ClassInfo]
) -> dict[str, Any]:
    """A round's queries as COCO keypoints; each annotation's ``attributes`` name the pixel of the dataset."""
    place = {image.id: number for number, image in enumerate(images)}
    annotations = []
    for number, (name, row, column) in enumerate(asked):
        image = images[place[name]]
        (x, y), (width, height) = image.at(row, column), image.pixel
        annotations.append(
            {
                "id": number + 1,
                "image_id": place[name] + 1,
                "category_id": len(classes) + 2,
                "keypoints": [round(x, 3), round(y, 3), 2],
                "num_keypoints": 1,
                "bbox": [round(x - width / 2, 3), round(y - height / 2, 3), round(width, 3), round(height, 3)],
                "area": round(width * height, 3),
                "iscrowd": 0,
                "attributes": {"round": round_number, "image": name, "row": row, "column": column},
            }
        )
    return {
        "info": {"description": f"pixelherd, queries of round {round_number}"},
        "images": [
            {"id": number + 1, "file_name": each.file, "width": each.width, "height": each.height}
            for number, each in enumerate(images)
        ],
        "annotations": annotations,
        "categories": [
            {"id": number + 1, "name": name, "supercategory": "", "keypoints": ["pixel"], "skeleton": []}
            for number, name in enumerate(label_names(classes))
        ],
    }


def label_names(classes: Sequence[ClassInfo]) -> list[str]:
    """The classes' names, then those for "cannot tell" and for what has no answer yet; no two are the same."""
    names = [each.name for each in classes]
    for name in (UNKNOWN, UNANSWERED):
        while name in names:
            name += "?"
        names.append(name)
    return names


def label_studio_tasks(coco: dict[str, Any], prefix: str = "/data/local-files/?d=") -> list[dict[str, Any]]:
    """The same queries as tasks of Label Studio, a task for every image, its keypoints as a prediction to correct.

    Args:
        coco: from :func:`coco_keypoints`.
        prefix: what makes a URL of a file's name; by default that of Label Studio's local files.
    """
    names = {each["id"]: each["name"] for each in coco["categories"]}
    tasks = []
    for image in coco["images"]:
        size = {"original_width": image["width"], "original_height": image["height"]}
        regions = []
        for each in coco["annotations"]:
            if each["image_id"] == image["id"]:
                x, y, _ = each["keypoints"]
                value = {"x": 100 * x / image["width"], "y": 100 * y / image["height"], "width": 1}
                value["keypointlabels"] = [names[each["category_id"]]]
                kind = {"type": "keypointlabels", "from_name": "label", "to_name": "image"}
                regions.append({"id": f"pixel-{each['id']}", **kind, **size, "value": value})
        data = {"image": prefix + image["file_name"], "file_name": image["file_name"]}
        tasks.append({"data": data, "predictions": [{"model_version": "pixelherd", "result": regions}]})
    return tasks


def label_studio_interface(classes: Sequence[ClassInfo]) -> str:
    """The labelling interface of these tasks, as Label Studio's XML."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value="$image", zoom="true")
    labels = ElementTree.SubElement(view, "KeyPointLabels", name="label", toName="image")
    colours = [*(each.colour for each in classes), (160, 160, 160), (255, 255, 255)]
    for name, colour in zip(label_names(classes), colours, strict=True):
        ElementTree.SubElement(labels, "Label", value=name, background="#{:02x}{:02x}{:02x}".format(*colour))
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def answers(export: Any, asked: dict[str, Any]) -> list[tuple[int, str, int, int, int]]:
    """Rows of an answer file from what a tool exported; what it left "unanswered" is left out.

    Args:
        export: COCO keypoints, or Label Studio's JSON; whatever ids the tool gave.
        asked: the round's ``coco.json``.

    Raises:
        UserError: the export is of neither kind, or a keypoint has an unknown image or class, stands on no queried
            pixel, or answers one that another keypoint answers.
    """
    names = [each["name"] for each in asked["categories"]]
    files = {each["id"]: each["file_name"] for each in asked["images"]}
    by_file: dict[str, list[dict[str, Any]]] = {name: [] for name in files.values()}
    for each in asked["annotations"]:
        by_file[files[each["image_id"]]].append(each)
    found: dict[int, int] = {}
    for file, x, y, name in _keypoints(export):
        if file not in by_file:
            raise UserError(
                f"export: image {file!r} was not asked about", remedy="is this the export of another round?"
            )
        if name not in names:
            raise UserError(f"export: {file}: unknown class {name!r}", remedy=f"known are {', '.join(names)}")
        hits = [each for each in by_file[file] if _covers(each["bbox"], x, y)]
        if not hits:
            raise UserError(
                f"export: {file}: the keypoint at {x:.1f}, {y:.1f} is on no queried pixel", remedy="do not move them"
            )
        nearest = min(hits, key=lambda each: abs(each["keypoints"][0] - x) + abs(each["keypoints"][1] - y))
        number, label = nearest["id"], names.index(name)
        if label == len(names) - 1:
            continue
        if number in found:
            raise UserError(
                f"export: {file}: two keypoints at {x:.1f}, {y:.1f} answer the same pixel", remedy="remove one"
            )
        found[number] = CANNOT_TELL if label == len(names) - 2 else label
    rows = []
    for each in asked["annotations"]:
        if each["id"] in found:
            at = each["attributes"]
            rows.append((at["round"], at["image"], at["row"], at["column"], found[each["id"]]))
    return rows


def _covers(box: Sequence[float], x: float, y: float) -> bool:
    # tools round coordinates, so half a pixel of the file is forgiven
    return all(low - 0.5 <= value < low + side + 0.5 for low, side, value in zip(box[:2], box[2:], (x, y), strict=True))


def _keypoints(export: Any) -> Iterable[tuple[str, float, float, str]]:
    """File, x, y and class of every keypoint of an export."""
    try:
        if isinstance(export, dict):
            files = {each["id"]: each["file_name"] for each in export["images"]}
            names = {each["id"]: each["name"] for each in export["categories"]}
            for each in export["annotations"]:
                yield files[each["image_id"]], *each["keypoints"][:2], names[each["category_id"]]
        else:
            for task in export:
                done = [each for each in task["annotations"] if not each.get("was_cancelled")]
                for region in done[-1]["result"] if done else ():
                    value, width, height = region["value"], region["original_width"], region["original_height"]
                    x, y = value["x"] * width / 100, value["y"] * height / 100
                    yield task["data"]["file_name"], x, y, value["keypointlabels"][0]
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(
            f"export: this is neither COCO keypoints nor Label Studio's JSON ({type(error).__name__}: {error})",
            remedy=("export one of them"),
        ) from None


def write_answers(export: Path | str, folder: Path | str) -> int:
    """Write a round's ``labels.csv`` from an export; returns how many pixels it answers.

    Args:
        export: the file that a tool exported.
        folder: of the round, with ``coco.json``.

    Raises:
        UserError: a file is missing or malformed, or there are answers already.
    """
    folder = Path(folder)
    read = []
    for path in (Path(export), folder / COCO):
        try:
            read.append(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UserError(
                f"{path} does not exist", remedy="name an export and a round's folder in results/annotation"
            ) from None
        except ValueError:
            raise UserError(f"{path} is no JSON", remedy="export the labels as JSON") from None
    if (folder / LABELS).exists():
        raise UserError(f"{folder / LABELS} is there already", remedy="move it away to write another")
    rows = answers(*read)
    write_csv(folder / LABELS, LABEL_COLUMNS, rows)
    return len(rows)


if __name__ == "__main__":
    try:
        if len(sys.argv) != 3:
            raise UserError("usage: python -m pixelherd.annotation.exchange EXPORT results/annotation/…/round-0")
        print(f"{write_answers(*sys.argv[1:])} answers written to {Path(sys.argv[2]) / LABELS}")
    except UserError as mistake:
        sys.exit(f"pixelherd: {mistake}")
