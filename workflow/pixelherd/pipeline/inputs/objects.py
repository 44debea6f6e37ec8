"""Files in a storage of Snakemake's, by the paths that a study has for them: what plugins can do, and how they fail.

A plugin is known here by what it offers alone. One that cannot reach its storage may say that nothing is there; a
session that believed it would make a finished study again.
"""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pixelherd.errors import UserError, say

OPTION = "--default-storage-prefix"
NOT_THERE = ("404", "NoSuchBucket")
"""What object stores call a bucket that is not there; others are not to be seen, which is no answer."""


class Objects:
    """Files in the default storage that Snakemake was given.

    Args:
        provider: Snakemake's.
        prefix: what Snakemake puts before paths.

    Raises:
        UserError: there is no prefix.
    """

    def __init__(self, provider: Any, prefix: str | None) -> None:
        if not prefix:
            raise UserError(f"{OPTION} is missing", remedy="name where results and cache shall lie, s3://BUCKET/STUDY")
        self._provider, self._prefix = provider, prefix if prefix.endswith("/") else f"{prefix}/"
        self._buckets: dict[str, bool] = {}

    def _object(self, path: str) -> Any:
        return self._provider.object(f"{self._prefix}{os.path.normpath(path)}")

    def below(self, folder: str) -> set[str]:
        """Return the files below a folder.

        Raises:
            UserError: nobody can tell, or the plugin cannot.
        """
        there = self._object(folder)
        with self._tried("look at", folder):
            if hasattr(there, "get_subkeys"):  # of the plugin s3
                found = _keys(there) if self._has_bucket(there) else ()
                root = there.key
            elif hasattr(there, "query_path"):  # of the plugin fs
                found, root = _files(self._folder() / os.path.normpath(folder)), there.query
            else:
                raise UserError(
                    "--default-storage-provider: pixelherd must list files", remedy="take the plugin s3 or fs"
                )
            return {f"{folder}/{key.removeprefix(f'{root}/')}" for key in found}

    def _folder(self) -> Path:
        """The folder that the prefix names.

        Raises:
            UserError: it is not there, perhaps since nobody mounted it.
        """
        if not (folder := Path(self._prefix)).is_absolute():
            raise UserError(f"{OPTION}: {self._prefix} is not a whole path", remedy="begin it with /")
        if not folder.is_dir():
            raise UserError(f"{OPTION}: {folder} is not there", remedy="mount it, or make it")
        return folder

    def _has_bucket(self, there: Any) -> bool:
        """Whether there is a bucket, as it was when it was asked first; the plugin takes one out of reach for none."""
        if there.bucket not in self._buckets:
            try:
                there.provider.s3c.meta.client.head_bucket(Bucket=there.bucket)
            except Exception as error:
                if getattr(error, "response", {}).get("Error", {}).get("Code") not in NOT_THERE:
                    raise
                say(f"there is no bucket {there.bucket} yet; it is made with the first file")
                self._buckets[there.bucket] = False
        return self._buckets.setdefault(there.bucket, True)

    def fetch(self, path: str, to: Path) -> None:
        """Copy a file of the storage to this machine.

        Raises:
            UserError: it cannot be read.
        """
        there = self._object(path)
        there.set_local_path(to)
        to.parent.mkdir(parents=True, exist_ok=True)
        with self._tried("read", path):
            there.retrieve_object()

    def put(self, file: Path, path: str) -> None:
        """Copy a file of this machine to the storage.

        Raises:
            UserError: it cannot be written.
        """
        there = self._object(path)
        there.set_local_path(file)
        with self._tried("write", path):
            there.store_object()

    def remove(self, path: str) -> None:
        """Remove a file of the storage.

        Raises:
            UserError: it cannot be removed.
        """
        with self._tried("remove", path):
            self._object(path).remove()

    @contextmanager
    def _tried(self, what: str, path: str) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # each plugin has its own
            reason = " ".join(str(error).split()) or type(error).__name__
            remedy = "mend the prefix, the credentials, the rights or the connection, and give the same command again"
            raise UserError(f"cannot {what} {self._prefix}{path}: {reason}", remedy=remedy) from None

    def path_of(self, file: Any) -> str:
        """Return what the study calls a file of a job."""
        return file.storage_object.query.removeprefix(self._prefix) if file.is_storage else file

    def fetch_made(self, made: Collection[str], **files: Path) -> None:
        """Copy files, by the rules that make them, to this machine, for whoever looks."""
        for path in (path for name, path in files.items() if name in made):
            self.fetch(str(path), path)


def _keys(there: Any) -> Iterator[str]:
    return (each.key for each in there.get_subkeys())


def _files(root: Path) -> Iterator[str]:
    """The files below a folder; an empty folder, which a killed copy leaves, is none."""

    def refuse(error: OSError) -> None:
        if error.filename != str(root) or root.exists():  # or the whole folder is not there yet
            raise error

    walk: Callable[..., Iterator[tuple[str, list[str], list[str]]]] = os.walk
    for folder, _, names in walk(root, onerror=refuse):
        yield from (f"{folder}/{name}" for name in names)
