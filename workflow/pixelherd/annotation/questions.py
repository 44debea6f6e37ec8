"""What a round asks a person: the page, and the same questions for other labelling tools."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pixelherd.annotation import page, tasks
from pixelherd.datasets.pixels import CANNOT_TELL
from pixelherd.datasets.prepare import extent, samples_of, shown
from pixelherd.datasets.settings import DatasetSettings
from pixelherd.errors import UserError
from pixelherd.storage.files import write_json, write_text
from pixelherd.study.paths import COCO, INTERFACE, PAGE, TASKS


def write_questions(
    folder: Path,
    questions: page.Questions,
    settings: DatasetSettings,
    template: str,
    *,
    predict: Callable[[str], np.ndarray] | None = None,
    progress: Sequence[dict[str, float]] = (),
    labels: np.ndarray | None = None,
) -> None:
    """Write a round's page, its queries as COCO keypoints, and as Label Studio tasks with their interface.

    Args:
        folder: where they are written.
        questions: what is asked.
        settings: of the dataset, whose raw images are shown.
        template: Jinja2 source of the page.
        predict: gives the classes ``[H, W]`` that the last head sees in the image of an id; None in the first round.
        progress: rows of :mod:`pixelherd.annotation.stopping`, a round each.
        labels: ``[L]`` answers so far, 255 = cannot tell.
    """
    samples = {sample.id: sample for sample in samples_of(settings)["train"]}
    described: list[tasks.ImageFile] = []

    def images() -> Iterator[page.Shown]:
        names = list(dict.fromkeys(image for image, _, _ in questions.asked))
        for name in tqdm(names, desc="annotate", unit="image", disable=None):
            if name not in samples:
                raise UserError(f"image {name!r}, which this round asks about, is gone", remedy="put it back")
            image, _ = samples[name].load()
            file = str(samples[name].path or name)
            described.append(tasks.ImageFile(name, file, *image.size, *extent(settings, image.size)))
            yield page.Shown(name, shown(settings, image, page.LONGEST), predict(name) if predict else None)

    counts: Sequence[int] = ()
    if labels is not None and len(labels):
        known = labels[labels != CANNOT_TELL].astype(int)
        counts = np.bincount(known, minlength=len(questions.classes)).tolist()
    text = page.page(template, questions, images(), progress=progress, counts=counts)
    write_text(folder / PAGE, text)
    coco = tasks.coco_keypoints(questions.round_number, questions.asked, described, questions.classes)
    write_json(folder / COCO, coco)
    write_json(folder / TASKS, tasks.label_studio_tasks(coco))
    write_text(folder / INTERFACE, tasks.label_studio_interface(questions.classes))
