"""Downloads of large files that go on where they broke off."""

import fcntl
import os
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from pixelherd.errors import UserError

CHUNK = 1 << 20

TIMEOUT = 60  # seconds without a byte


def download(url: str, path: Path | str, *, size: int | None = None) -> None:
    """Download ``url`` to ``path``, which is complete or absent; a progress bar is shown on a terminal.

    What has arrived is kept in ``{path}.part``, from where the next call goes on if the server knows ranges. Of several
    processes that want the same file, one downloads it and the others wait.

    Args:
        url: of http or https.
        path: the file; nothing is done if it is there.
        size: bytes that the file must have.

    Raises:
        UserError: the server cannot be reached or refuses, the download breaks off, or the size is another one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with open(part, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if path.is_file():  # another process was faster
            part.unlink(missing_ok=True)
            return
        start = file.seek(0, os.SEEK_END)
        if not start or start != size:
            try:
                _receive(url, path, file, start, size)
            except (HTTPException, TimeoutError, ConnectionError, HTTPError, _Unreachable) as error:
                if file.tell() == 0:
                    part.unlink()
                raise UserError(
                    f"cannot download {url} ({error})",
                    remedy=f"run the same command again to go on, or put the file at {path}",
                ) from None
        os.replace(part, path)


class _Unreachable(Exception):
    """A network error, as opposed to one of the disk."""


def _receive(url: str, path: Path, file: BinaryIO, start: int, size: int | None) -> None:
    from tqdm import tqdm

    with _opened(url, start) as response:
        if response.status == 206:
            told = response.headers["Content-Range"].rpartition("/")[2]
        else:  # the whole file from its beginning, asked for or not
            start = 0
            file.truncate(0)
            told = response.headers["Content-Length"]
        total = int(told) if told and told != "*" else None
        if size is not None and total not in (None, size):
            raise UserError(f"{url} has {total} bytes rather than {size}", remedy=f"correct `url` or `bytes` of {path}")
        bar = {"total": total, "initial": start, "unit": "B", "unit_scale": True, "desc": path.name, "disable": None}
        with tqdm(**bar) as progress:
            for chunk in _chunks(response):
                file.write(chunk)
                progress.update(len(chunk))
    received = file.tell()
    if received != (total or size or received):
        raise _Unreachable(f"it broke off after {received} of {total or size} bytes")


def _opened(url: str, start: int) -> HTTPResponse:
    try:
        return urlopen(Request(url, headers={"Range": f"bytes={start}-"} if start else {}), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and start:  # the server's file ends before what we have: it is another one
            return _opened(url, 0)
        raise
    except OSError as error:
        raise _Unreachable(getattr(error, "reason", error)) from None


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(CHUNK)
        except OSError as error:
            raise _Unreachable(error) from None
        if not chunk:
            return
        yield chunk
