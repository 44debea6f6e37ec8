"""What the masks of a user's own images hold, counted, against what the settings say that they hold."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pixelherd.datasets.classes import IGNORED, Colour
from pixelherd.datasets.samples import counted, read_values, value_name
from pixelherd.datasets.settings import FolderSettings
from pixelherd.errors import UserError


@dataclass(frozen=True)
class Census:
    """Pixels of masks by what they hold.

    Attributes:
        settings: the dataset's settings.
        masks: how many masks were read.
        values: pixels of each value, or of each colour by its single number.
    """

    settings: FolderSettings
    masks: int
    values: Mapping[int, int]

    @classmethod
    def of(cls, settings: FolderSettings, masks: Sequence[Path]) -> "Census":
        """Count the pixels of masks.

        Raises:
            UserError: as :func:`pixelherd.datasets.samples.read_values`.
        """
        colours, values = settings.masks == "colours", Counter[int]()
        for path in masks:
            values.update(counted(read_values(path, colours), colours))
        return cls(settings, len(masks), values)

    @cached_property
    def labels(self) -> Counter[int]:
        """Pixels of each label."""
        table = {code_of(key): label for key, label in self.settings.label_table().items()}
        found: Counter[int] = Counter()
        for value, pixels in self.values.items():
            found[table.get(value, IGNORED)] += pixels
        return found

    @cached_property
    def ignored(self) -> Counter[int]:
        """Pixels of each value that no class has."""
        of_classes = {code_of(key) for key, label in self.settings.label_table().items() if label != IGNORED}
        return Counter({value: pixels for value, pixels in self.values.items() if value not in of_classes})

    @cached_property
    def strangers(self) -> Counter[int]:
        """Pixels of each value that neither a class nor `ignore` names."""
        named = {code_of(key) for key in self.settings.ignore}
        return Counter({value: pixels for value, pixels in self.ignored.items() if value not in named})

    def none_of(self, labels: Sequence[int]) -> str:
        """Say that classes have no pixel."""
        names = few([repr(self.settings.classes[label].name) for label in labels])
        return f"no pixel in {self.masks:,} training mask{'s' * (self.masks != 1)} is of class {names}"

    def share(self, value: int) -> str:
        """Say which share of the pixels has a value."""
        share = _percent(self.values[value], sum(self.values.values()))
        return f"{value_name(value, self.settings.masks == 'colours')} has {share}"

    def strangers_told(self) -> str:
        """Say which value that nobody names has most pixels, to end with."""
        return "".join(f", while {self.share(value)} and is of no class" for value, _ in self.strangers.most_common(1))

    def ignored_told(self) -> str:
        """Say which values are of no class, in brackets to end with; nothing where all pixels have one."""
        colours, total = self.settings.masks == "colours", sum(self.values.values())
        shares = [f"{value_name(value, colours)}: {pixels / total:.1%}" for value, pixels in self.ignored.most_common()]
        return f" ({few(shares)})" if shares else ""

    def check_counted_from_one(self) -> None:
        """Check that masks do not count the classes from 1 while the settings count them from 0.

        Raises:
            UserError: values lie between 1 and the number of classes, which no class has, and none is 0.
        """
        classes = self.settings.classes
        if self.settings.masks == "colours" or any(entry.values for entry in classes):
            return
        last = max(set(self.values) - {IGNORED}, default=0)
        if last != len(classes) or last not in self.strangers or 0 in self.values:
            return
        raise UserError(
            f"dataset {self.settings.root}: {self.none_of([0])} (value 0), but {self.share(last)} and is of no class: "
            "the masks seem to count from 1",
            remedy=f"write `values: 1` for {classes[0].name!r} and so on up to `values: {last}` for "
            f"{classes[-1].name!r}, or `ignore: [{last}]`",
        )

    def check_one_class(self) -> None:
        """Check that no value takes the place of the other classes' where a single class has pixels.

        Raises:
            UserError: a value that nobody names has some, and a class without any has no `values`.
        """
        classes = self.settings.classes
        missing = [label for label, entry in enumerate(classes) if not self.labels[label] and entry.values is None]
        if self.settings.masks == "colours" or not missing or not self.strangers:
            return
        if sum(self.labels[label] > 0 for label in range(len(classes))) != 1:
            return
        value = self.strangers.most_common(1)[0][0]
        raise UserError(
            f"dataset {self.settings.root}: {self.none_of(missing)}, but {self.share(value)} and is of no class",
            remedy=f"write `values: {value}` for {classes[missing[0]].name!r}, or `ignore: [{value}]`",
        )


def code_of(key: int | Colour) -> int:
    """Return a colour as a single number, and a value as it is."""
    return key if isinstance(key, int) else key[0] << 16 | key[1] << 8 | key[2]


def _percent(part: int, whole: int) -> str:
    share = part / whole
    return f"{share:.1%} of the pixels" if share >= 0.001 else f"{part:,} pixel{'s' * (part != 1)}"


def few(names: Iterable[object]) -> str:
    """Return the first of some names, and how many more there are."""
    first = list(map(str, names))
    return ", ".join(first[:4]) + (f" and {len(first) - 4} more" if len(first) > 4 else "")
