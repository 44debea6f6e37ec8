"""The photographs of a folder while somebody labels: which are there, which are still to be read, which cannot be."""

import os
import time
from collections import deque
from contextlib import suppress
from random import Random
from threading import Lock
from typing import TYPE_CHECKING

from pixelherd.errors import UserError
from pixelherd.labelling.project import Project

if TYPE_CHECKING:
    from pixelherd.datasets.samples import Sample
    from pixelherd.labelling.learning.reading import Known, Reader

LOOK_SECONDS = 3.0
"""How often the folder is searched for new photographs, at least."""

REST_SECONDS = 0.1
"""How long the thread that reads rests where there is nothing to read."""

State = tuple[int, int]
"""Size of a file in bytes, and its time in nanoseconds."""


class Photographs:
    """The photographs of a project. One thread reads them, another asks.

    Args:
        project: of the folder.

    Attributes:
        there: those that are in the folder, by name.
        unreadable: why some cannot be read, by name; each is read again when its file has changed.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self.there: dict[str, Sample] = {}
        self.unreadable: dict[str, str] = {}
        self._states, self._again = dict[str, State](), set[str]()
        self._to_read: deque[Sample] = deque()
        self._arrived: deque[Known | tuple[str, str]] = deque()
        self._ordering = Lock()
        self._looked, self._cost = float("-inf"), 0.0

    # The folder.

    def are_due(self) -> bool:
        """Return whether the folder is to be searched again; a large one is searched less often."""
        return time.monotonic() - self._looked > max(LOOK_SECONDS, 30 * self._cost)

    def look(self) -> list[str]:
        """Search the folder; photographs that are new, or others than they were, are read. Returns those that are gone.

        Raises:
            UserError: there are none, or two have the same name.
        """
        began = self._looked = time.monotonic()
        found = self._project.samples()
        states = {name: state for name, each in found.items() if (state := state_of(each)) is not None}
        found = {name: found[name] for name in states}
        again, self._again = self._again, set()
        new = [name for name, state in states.items() if self._states.get(name) != state or name in again]
        gone = [name for name in self.there if name not in found]
        self.there, self._states = found, states
        for name in gone:
            self.unreadable.pop(name, None)
        if new:
            self._project.store.add_images(sorted(new))
            first = {answer.image for answer in self._project.store.answers()}
            Random(f"reading {len(found)}").shuffle(new)
            new.sort(key=lambda name: name not in first)
            self._to_read.extend(found[name] for name in new)
        self._cost = time.monotonic() - began
        return gone

    def order(self) -> list[str]:
        """Return the photographs in the order that the study has them in.

        Raises:
            UserError: as :meth:`look`.
        """
        with self._ordering:
            return self._project.order()

    # What is read.

    def read(self, reader: "Reader") -> None:
        """Read photographs for good, in a thread; one that cannot be read stops no other."""
        idle = False
        while True:
            if self._to_read:
                idle = False
                self.read_one(reader)
                continue
            if not idle:
                with suppress(UserError, OSError):
                    self.order()  # digests of the files, which a checkpoint asks for
            idle = True
            time.sleep(REST_SECONDS)

    def read_one(self, reader: "Reader") -> None:
        """Read the next photograph."""
        sample = self._to_read.popleft()
        if sample.id not in self.there:
            return
        try:
            self._arrived.append(reader.read(sample, len(self.there)))
        except UserError as error:
            self._arrived.append((sample.id, str(error)))
        except Exception as error:  # whatever it is, such as a full disk: the thread has others to read
            self._arrived.append((sample.id, f"{sample.id} could not be read ({error})"))
            self._again.add(sample.id)  # it may be no fault of the file's

    def is_reading(self) -> bool:
        """Return whether photographs are still to be read."""
        return bool(self._to_read)

    def have_arrived(self) -> bool:
        """Return whether photographs were read, or could not be, that nobody has asked for yet."""
        return bool(self._arrived)

    def arrivals(self) -> "tuple[list[Known], list[str]]":
        """Return photographs that were read since the last time, and names of those that could not be."""
        read: list[Known] = []
        failed: list[str] = []
        while self._arrived:
            found = self._arrived.popleft()
            if isinstance(found, tuple):
                name, self.unreadable[found[0]] = found
                failed.append(name)
            else:
                self.unreadable.pop(found.name, None)
                read.append(found)
        return read, failed


def state_of(sample: "Sample") -> State | None:
    """Return the state of a photograph's file; None where it is gone."""
    if sample.path is None:
        return 0, 0
    try:
        found = os.stat(sample.path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
