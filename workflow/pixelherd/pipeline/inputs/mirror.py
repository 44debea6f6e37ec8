"""What a session goes by where results and cache lie in a storage, and not on this file system.

Seals and marks are looked up as files; so a session has a folder in which there is a file for each that the storage
holds of the runs: seals, notes and marks whole, all others empty, since of them the names alone are asked. What the
session changes there goes back to the storage.
"""

import shutil
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pixelherd.errors import UserError
from pixelherd.pipeline import marks
from pixelherd.pipeline.seals import made_of, note_made_of
from pixelherd.storage.records import found_in
from pixelherd.storage.stores import DATA, MANIFEST
from pixelherd.study.paths import BEGUN, SEAL
from pixelherd.study.run import Run
from pixelherd.study.study import Study


class Storage(Protocol):
    """Where files of a study lie that are not on this file system, by the paths that the study has for them."""

    def below(self, folder: str) -> set[str]:
        """Return the files below a folder."""

    def fetch(self, path: str, to: Path) -> None:
        """Copy a file of the storage to this machine."""

    def put(self, file: Path, path: str) -> None:
        """Copy a file of this machine to the storage."""

    def remove(self, path: str) -> None:
        """Remove a file of the storage."""

    def path_of(self, file: Any) -> str:
        """Return what the study calls a file of a job of Snakemake's."""


class Mirror:
    """The runs of a study as a storage holds them.

    Attributes:
        study: the study, but for its results, which are those of the mirror.
        marks: folder of the marks of its runs.

    Args:
        storage: where results and cache lie.
        study: the study.
        folder: of the mirror; what it held is replaced.

    Raises:
        UserError: the study has paths that no storage takes, or asks a person.
    """

    def __init__(self, storage: Storage, study: Study, folder: Path) -> None:
        for name in ("results", "cache"):
            if Path(path := getattr(study, name)).is_absolute() or ".." in Path(path).parts:
                raise UserError(f"{name}: {path} lies in no storage", remedy="name a folder below the prefix")
        if study.oracle != "masks":
            problem = "oracle: a person's pages and answers lie on this file system, not in a storage"
            raise UserError(problem, remedy="leave out --default-storage-provider")
        self._storage, self._study, self._folder = storage, study, folder
        self.study = study.model_copy(update={"results": str(folder / study.results)})
        self.marks = folder / "outdated"
        self._held: dict[Path, bytes | None] = {}

    @cached_property
    def files(self) -> set[str]:
        """What the storage held of the study when it was asked first, without what this session removed."""
        return self._storage.below(self._study.cache) | self._storage.below(self._study.results)

    def holds(self, path: str) -> bool:
        """Return whether the storage held a file when it was asked first, and this session did not remove it."""
        return path in self.files

    def _remove(self, path: str) -> None:
        self._storage.remove(path)
        self.files.discard(path)

    def look(self) -> None:
        """Have the mirror show what the storage holds."""
        shutil.rmtree(self._folder, ignore_errors=True)
        for path in filter(self.holds, self._of_runs()):
            self._storage.fetch(path, self._folder / path)
        self._note_sealed()
        for path in self.files:
            if path.startswith(f"{self._study.results}/runs/") and not (self._folder / path).exists():
                (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
                (self._folder / path).touch()
        marked = self._storage.below(str(marks.MARKS))
        for file, path in self._changing().items():
            if path in marked:
                self._storage.fetch(path, file)
        self._held = self._content()

    def _of_runs(self) -> Iterable[str]:
        """The seals of runs, and of those without one the notes of what they were begun with."""
        for run in self._study.runs():
            seal, begun = (str(self._study.paths.run_folder(run) / name) for name in (SEAL, BEGUN))
            yield seal if self.holds(seal) else begun

    def _note_sealed(self) -> None:
        """Note here what sealed runs are made of: a job that seals one elsewhere notes it where nobody looks."""
        for run in self._study.runs():
            folder = self.study.paths.run_folder(run)
            if address := made_of(folder):
                note_made_of(folder, run, address)

    def _changing(self) -> dict[Path, str]:
        """Files of the mirror that a session changes, and their places in the storage."""
        found = {}
        for run in self._study.runs():
            found[marks.mark_of(self.study, run, self.marks)] = str(marks.mark_of(self._study, run))
            found[self.study.paths.run_folder(run) / BEGUN] = str(self._study.paths.run_folder(run) / BEGUN)
        return found

    def _content(self) -> dict[Path, bytes | None]:
        return {file: file.read_bytes() if file.is_file() else None for file in self._changing()}

    def send(self) -> None:
        """Change in the storage what a session changed in the mirror; what it left has the time that it had."""
        content = self._content()
        for file, path in self._changing().items():
            if content[file] == self._held.get(file):
                continue
            if content[file] is None:
                self._storage.remove(path)
            else:
                self._storage.put(file, path)
        self._held = content

    def drop_incomplete(self, indices: Mapping[str, Iterable[str]]) -> None:
        """Delete indices of shards that are gone, as :func:`pixelherd.pipeline.upkeep.drop_incomplete` does here."""
        for index, shards in indices.items():
            if self.holds(index) and not all(map(self.holds, shards)):
                self._remove(index)

    def drop_halves(self, backbones: Iterable[str]) -> None:
        """Delete manifests of backbones of whose folder the storage has a part: a killed job leaves such.

        Of all other stores the manifest goes into the storage last. Jobs of backbones have theirs first.

        Args:
            backbones: their manifests.
        """
        for manifest in filter(self.holds, dict.fromkeys(backbones)):
            self._storage.fetch(manifest, copy := self._folder / manifest)
            content, path = found_in(copy), Path(manifest)
            folder = path.with_name(DATA) if path.name == MANIFEST else path.with_suffix("")
            is_inside = Path(content.get("path", "")).name == folder.name  # or it lies where all machines have it
            names = [*content.get("kept", ()), *(content.get("files", ()) if is_inside else ())]
            is_whole = all(self.holds(f"{folder}/{name}") for name in names)
            if not (is_whole and any(file.startswith(f"{folder}/") for file in self.files)):
                self._remove(manifest)

    def break_seals(self, runs: Iterable[Run], files: Iterable[Path]) -> None:
        """Remove the seals of runs of which files are about to be made, which jobs elsewhere cannot.

        What these runs are made of, which a seal says, the notes say from now on.
        """
        made = {parent for file in files for parent in file.parents}
        for run in runs:
            folder = self._study.paths.run_folder(run)
            if folder in made and self.holds(seal := str(folder / SEAL)):
                if (note := self.study.paths.run_folder(run) / BEGUN).is_file():
                    self._storage.put(note, str(folder / BEGUN))
                self._remove(seal)
