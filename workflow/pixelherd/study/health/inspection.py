"""Rows of the doctor's table, and those about data: files found, and what a sample of them tells.

Of the images of each split :data:`SAMPLED` are read, spread evenly over it; `prepare` reads and checks all of them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pixelherd.datasets.classes import IGNORED
from pixelherd.datasets.originals import remembered
from pixelherd.datasets.prepare import classes_of, published_counts, samples_of
from pixelherd.datasets.settings import DatasetSettings, FolderSettings
from pixelherd.errors import UserError
from pixelherd.study import plan
from pixelherd.study.study import Study

if TYPE_CHECKING:
    from pixelherd.datasets.samples import Sample

SAMPLED = 12

Status = Literal["ok", "note", "wrong"]


@dataclass(frozen=True)
class Check:
    """A row of the table.

    Attributes:
        subject: what was examined, such as ``datasets.camvid``.
        aspect: what about it.
        status: ``ok``; ``note``, worth knowing; or ``wrong``, which stops the study.
        detail: what was found.
        mend: what to do about it.
    """

    subject: str
    aspect: str
    status: Status
    detail: str
    mend: str = ""


def mistake(subject: str, aspect: str, error: UserError, status: Status = "wrong") -> Check:
    """Make a mistake a row: what it is, and how to mend it, which an older message tells behind its last semicolon."""
    if error.remedy is not None:
        return Check(subject, aspect, status, error.problem, error.remedy)
    detail, _, mend = str(error).rpartition("; ")
    return Check(subject, aspect, status, *((detail, mend) if detail else (mend, "")))


def _is_prepared(study: Study, dataset: str) -> bool:
    """Whether the cache has all that is made of raw files."""
    needed = [study.paths.dataset] + [study.paths.original_labels] * study.evaluates_originals(dataset)
    return all(plan.stored(pattern, dataset=dataset) for pattern in needed)


def check_dataset(study: Study, name: str) -> list[Check]:
    """Files found and counted; sizes and labels of a sample of them."""
    settings, record = study.datasets[name], Path(study.paths.originals.format(dataset=name))
    subject, root = f"datasets.{name}", getattr(settings, "root", None)
    checks: list[Check] = []
    try:
        if root and not Path(root).expanduser().exists() and remembered(settings, record) and _is_prepared(study, name):
            return [Check(subject, "files", "note", f"prepared already; the raw folder {root} is gone")]
        found = samples_of(settings)
        plan.images_of(study, [name])
        checks.append(_counted(subject, settings, {split: len(each) for split, each in found.items()}))
        checks += _left_out(subject, settings)
        if settings.kind != "demo":
            read = {split: Sampled.read(samples) for split, samples in found.items()}
            checks += [_sizes(subject, settings, read), *_labels(subject, settings, read)]
    except UserError as error:
        checks.append(mistake(subject, "images" if checks else "files", error))
    return checks


@dataclass
class Sampled:
    """What reading some images of a split found.

    Attributes:
        samples: those that were read.
        whole: whether they are all of the split.
        sizes: (width, height) of each image.
        pixels: of its masks by label; empty where there are no masks.
    """

    samples: "Sequence[Sample]"
    whole: bool
    sizes: list[tuple[int, int]] = field(default_factory=list)
    pixels: Counter[int] = field(default_factory=Counter)

    @classmethod
    def read(cls, split: "Sequence[Sample]") -> "Sampled":
        """Read :data:`SAMPLED` images of a split, one after the other, since they may be large.

        Raises:
            UserError: an image or its mask is unreadable, or they do not fit together.
        """
        from pixelherd.datasets.samples import counted

        count = min(SAMPLED, len(split))
        found = cls([split[number * len(split) // count] for number in range(count)], count == len(split))
        for sample in found.samples:
            image, labels = sample.load()
            found.sizes.append(image.size)
            if labels is not None:
                found.pixels.update(counted(labels, colours=False))
        return found


def _counted(subject: str, settings: DatasetSettings, images: dict[str, int]) -> Check:
    told = "{train:,} training, {test:,} test images"
    known = published_counts(settings)
    if known and known != images:
        detail = f"{told.format(**images)}; {told.format(**known)} expected"
        return Check(subject, "files", "note", detail, "look whether files are missing")
    return Check(subject, "files", "ok", told.format(**images))


def _left_out(subject: str, settings: DatasetSettings) -> list[Check]:
    if not isinstance(settings, FolderSettings):
        return []
    from pixelherd.datasets.readers.own import doubts

    return [Check(subject, each.aspect, "note", each.detail, each.mend) for each in doubts.left_out(settings)]


def _sizes(subject: str, settings: DatasetSettings, read: Mapping[str, Sampled]) -> Check:
    found = [size for each in read.values() for size in each.sizes]
    sizes = sorted(set(found))
    told = f"{sizes[0][0]}x{sizes[0][1]}"
    if len(sizes) > 1:
        told = f"{len(sizes)} sizes from {told} to {sizes[-1][0]}x{sizes[-1][1]}"
    height, width = settings.size
    return Check(subject, "images", "ok", f"{told} in a sample of {len(found)}, prepared at {width}x{height}")


def _labels(subject: str, settings: DatasetSettings, read: Mapping[str, Sampled]) -> list[Check]:
    pixels = sum((each.pixels for each in read.values()), Counter[int]())
    if not pixels:
        return [Check(subject, "labels", "note", "there are no masks: a person labels, and nothing is evaluated")]
    if not pixels.keys() - {IGNORED}:
        detail = f"no labelled pixel in a sample of {sum(len(each.samples) for each in read.values())}"
        return [Check(subject, "labels", "wrong", detail, "look whether these are the right masks")]
    doubtful = _doubtful(subject, settings, read)
    if any(each.aspect == "labels" for each in doubtful):
        return doubtful
    absent = ", ".join(each.name for label, each in enumerate(classes_of(settings)) if label not in pixels)
    detail = (
        f"in range; {len(pixels.keys() - {IGNORED})} classes in the sample{f' (not {absent})' if absent else ''}, "
        f"{pixels[IGNORED] / pixels.total():.1%} of its pixels ignored{_ignored(settings, read)}"
    )
    return [Check(subject, "labels", "ok", detail), *doubtful]


def _ignored(settings: DatasetSettings, read: Mapping[str, Sampled]) -> str:
    """Which values of a user's own masks are ignored: some may have been meant for a class."""
    if not isinstance(settings, FolderSettings):
        return ""
    from pixelherd.datasets.readers.own.census import Census

    masks = [sample.mask for each in read.values() for sample in each.samples if sample.mask]
    return Census.of(settings, masks).ignored_told()


def _doubtful(subject: str, settings: DatasetSettings, read: Mapping[str, Sampled]) -> list[Check]:
    """What makes one doubt masks that can be read; a sample may lack a class that other images have."""
    if not isinstance(settings, FolderSettings):
        return []
    from pixelherd.datasets.readers.own import doubts

    train, samples = read["train"], [sample for each in read.values() for sample in each.samples]
    found = doubts.turned(samples)
    try:
        doubts.check_palettes(settings, samples)
    except UserError as error:
        return [mistake(subject, "labels", error)]
    try:
        unused = doubts.unused(settings, train.samples, train.pixels) if train.pixels else []
        found += unused if train.whole else []
    except UserError as error:
        return [mistake(subject, "labels", error, "wrong" if train.whole else "note")]
    return [Check(subject, each.aspect, "note", each.detail, each.mend) for each in found]
