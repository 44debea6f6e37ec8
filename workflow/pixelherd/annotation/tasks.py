"""A round's queries for other labelling tools: Label Studio keypoints and COCO keypoints.

Beside a round's page lie ``coco.json``, ``label_studio.json`` (tasks) and ``label_studio.xml`` (its labelling
interface): a keypoint for every queried pixel, in the coordinates of the image files, of the class "unanswered".
:mod:`pixelherd.annotation.exchange` takes the answers back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from pixelherd.annotation.oracle import UNKNOWN, Pixel
from pixelherd.datasets.classes import ClassInfo

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
        url = prefix + quote(
            image["file_name"], errors="surrogateescape"
        )  # names in no encoding, as the file system has
        data = {"image": url, "file_name": image["file_name"]}
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
