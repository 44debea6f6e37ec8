"""What labelling tools make of a round's queries."""

import copy
import json
import random

from pixelherd.annotation import tasks
from pixelherd.datasets.classes import ClassInfo

CLASSES = [ClassInfo("road", (1, 2, 3)), ClassInfo('<a> & "b"', (4, 5, 6)), ClassInfo("unknown", (7, 8, 255))]
SPELT = ["road", '<a> & "b"', "unknown"]
IMAGES = [
    tasks.ImageFile("x", "data/x.jpg", 480, 360, (0, 0), (480 / 128, 360 / 128)),
    tasks.ImageFile("sub/y, z", "data/sub/y, z.png", 33, 21, (4.5, 0), (24 / 128, 21 / 128)),
]
ASKED = [("x", 0, 0), ("sub/y, z", 127, 5), ("x", 64, 100)]


def coco(asked=ASKED, images=IMAGES):
    """A round's ``coco.json``."""
    return json.loads(json.dumps(tasks.coco_keypoints(3, asked, images, CLASSES)))


def labelled(content, labels):
    """The round with classes given."""
    names, content = tasks.label_names(CLASSES), copy.deepcopy(content)
    ids = {each["name"]: each["id"] for each in content["categories"]}
    for each, label in zip(content["annotations"], labels, strict=True):
        each["category_id"] = ids[names[-1] if label is None else names[-2] if label == 255 else names[label]]
        del each["attributes"]
    return content


def by_coco(content, labels):
    """Classes given, annotations in another order with other ids, attributes lost."""
    content = labelled(content, labels)
    random.Random(0).shuffle(content["annotations"])
    return content | {"annotations": [{**each, "id": 90 + n} for n, each in enumerate(content["annotations"])]}


def by_label_studio(content, *people, starred=None):
    """Tasks of Label Studio with an annotation by each of ``people``, who give labels; one may be the ground truth."""
    export = []
    for number, task in enumerate(tasks.label_studio_tasks(content)):
        done = [tasks.label_studio_tasks(labelled(content, labels))[number]["predictions"][0] for labels in people]
        annotations = [
            {"id": 10 * number + who, "completed_by": who, "result": each["result"], "was_cancelled": False}
            | {"ground_truth": who == starred}
            for who, each in enumerate(done)
        ]
        export.append({"id": number + 1, "annotations": annotations, "drafts": [], "cancelled_annotations": 0, **task})
    return json.loads(json.dumps(export))


def by_json_min(content, *people):
    """Label Studio's JSON-MIN: an object for each annotation, with its data and the values of its regions."""
    return [
        {"id": task["id"], **task["data"], "annotator": each["completed_by"], "annotation_id": each["id"]}
        | {"label": [{"original_width": 1, **region["value"]} for region in each["result"]]}
        for task in by_label_studio(content, *people)
        for each in task["annotations"]
    ]


def rows(asked, labels):
    """The rows of an answer file that say the same."""
    return [
        (3, *pixel, "255" if label == 255 else SPELT[label])  # a class is called "unknown", so the number says it
        for pixel, label in zip(asked, labels, strict=True)
        if label is not None
    ]
