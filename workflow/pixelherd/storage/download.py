"""Downloads of large files that go on where they broke off, and believe no server more than they must."""

import fcntl
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from pixelherd.errors import UserError, mention
from pixelherd.storage.files import write_json

CHUNK = 1 << 20

TIMEOUT = 60  # seconds without a byte

TOLD_EVERY = 60  # seconds between two lines of progress where there is no terminal


class _Broken(Exception):
    """The server, or the way to it, fails, as opposed to the disk; what has arrived may be gone on with."""


@dataclass(frozen=True)
class _Origin:
    """What a part was received from, kept beside it.

    Attributes:
        url: where it was asked for.
        version: the server's strong ETag or else its date of the file, by which a changed file is known.
        bytes: length of the whole file.
    """

    url: str
    version: str | None
    bytes: int

    @classmethod
    def read(cls, path: Path) -> "_Origin | None":
        """Read what lies beside a part; None if nothing usable does."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None


def download(url: str, path: Path | str, *, size: int | None = None) -> None:
    """Download ``url`` to ``path``, which is complete or absent, and show progress and the time that is left.

    What has arrived is kept in ``{path}.part``, from where the next call goes on if the server knows ranges and still
    has the same file; else it begins again. Of several processes that want the same file, one downloads it and the
    others wait.

    Args:
        url: of http or https.
        path: the file; nothing is done if it is there.
        size: bytes that the file must have; needed where the server does not tell.

    Raises:
        UserError: the server cannot be reached, refuses or sends something else than the file, the download breaks off,
            or the size is another one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part, beside = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")
    with _locked(part) as file:
        try:
            if not path.is_file():  # else another process was faster
                _complete(url, path, file, beside, size)
                os.replace(part, path)
        finally:
            if path.is_file() or not file.seek(0, os.SEEK_END):  # nothing to go on with
                part.unlink(missing_ok=True)
                beside.unlink(missing_ok=True)


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """Open a file to append to, when no other process has it."""
    while True:
        with open(part, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(part, file):
                yield file
                return
        # whoever had it removed or renamed it


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Whether a path leads to an open file, and not to another or to none by now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _complete(url: str, path: Path, file: BinaryIO, beside: Path, size: int | None) -> None:
    """Bring the part to its whole length."""
    origin = _Origin.read(beside)
    start = file.seek(0, os.SEEK_END)
    if origin is None or origin.url != url or origin.bytes != (size or origin.bytes) or start > origin.bytes:
        start = 0  # it is of another file, or nobody knows of which
    elif start == origin.bytes:
        return
    try:
        response, start = _opened(url, start, origin)
        with response:
            found = origin if origin and start else _described(response, url, size)
            file.truncate(start)
            write_json(beside, asdict(found))
            _receive(response, file, path.name, start, found.bytes)
    except _Broken as error:
        remedy = f"run the same command again to go on, or put the file at {path}"
        raise UserError(f"cannot download {url} ({error})", remedy=remedy) from None


def _opened(url: str, start: int, origin: _Origin | None) -> tuple[HTTPResponse, int]:
    """The server's answer, and where it begins: at ``start``, or at 0 where the server has another file by now."""
    if start and origin:
        headers = {"Range": f"bytes={start}-"} | ({"If-Range": origin.version} if origin.version else {})
        response = _asked(url, headers)
        if response is not None and response.status == 206 and _goes_on(response, start, origin):
            return response, start
        if response is not None and response.status == 200:
            return response, 0
        if response is not None:
            response.close()
    response = _asked(url, {})
    if response is None or response.status != 200:
        raise _Broken(f"it answers with status {response.status if response else 416} rather than with the file")
    return response, 0


def _asked(url: str, headers: dict[str, str]) -> HTTPResponse | None:
    """The server's answer; None where it has no such range."""
    with _network():
        try:
            return urlopen(Request(url, headers=headers), timeout=TIMEOUT)
        except HTTPError as error:
            error.close()
            if error.code == 416:  # the server's file ends before what we have
                return None
            raise


@contextmanager
def _network() -> Iterator[None]:
    """Make one kind of all that may go wrong on the way to a server and back."""
    try:
        yield
    except (OSError, HTTPException, ValueError) as error:  # a ValueError is of an address or a header
        told = error if isinstance(error, HTTPError) else getattr(error, "reason", None) or error
        raise _Broken(" ".join(str(told).split())[:200] or type(error).__name__) from None


def _goes_on(response: HTTPResponse, start: int, origin: _Origin) -> bool:
    """Whether a body begins where the part ends, and is of the same file: not every server heeds ``If-Range``."""
    first, total = _range(response)
    return first == start and total == origin.bytes and _version(response) in (None, origin.version)


def _range(response: HTTPResponse) -> tuple[int | None, int | None]:
    """First byte and length of the whole file as ``Content-Range`` has them; None for what it does not tell."""
    told = re.fullmatch(r"\s*bytes\s+(\d{1,18})-\d{1,18}/(\d{1,18})\s*", response.headers.get("Content-Range", ""))
    return (int(told[1]), int(told[2])) if told else (None, None)


def _described(response: HTTPResponse, url: str, size: int | None) -> _Origin:
    """What a whole file is, as the server and the study tell.

    Raises:
        UserError: it is another file than the one that was meant, or nobody tells its length.
        _Broken: the answer makes no sense, or holds no file.
    """
    encoding, kind = response.headers.get("Content-Encoding", "identity"), response.headers.get("Content-Type", "")
    if encoding.strip().lower() not in ("", "identity"):
        raise _Broken(f"it sends the file in the encoding {encoding!r:.40}, which was not asked for")
    if kind.strip().lower().startswith("text/html"):
        raise _Broken("it sends a web page rather than a file; perhaps somebody has to log in or to agree there")
    total = _length(response)
    if size is not None and total not in (None, size):
        raise UserError(f"{url} has {total} bytes rather than {size}", remedy="correct `url` or `bytes`")
    total = total or size
    if total is None:  # nobody could tell a whole file from one that broke off, or when to stop
        raise UserError(f"{url} does not tell how long the file is", remedy="give its `bytes`")
    return _Origin(url, _version(response), total)


def _length(response: HTTPResponse) -> int | None:
    """The length of the body; None where the server does not tell it."""
    told = response.headers.get("Content-Length")
    if told is None or response.chunked:
        return None
    if not re.fullmatch(r"\s*\d{1,18}\s*", told) or int(told) == 0:
        raise _Broken(f"it sends a file of {told!r:.40} bytes")
    return int(told)


def _version(response: HTTPResponse) -> str | None:
    """What names this version of the file, as ``If-Range`` takes it: no weak ETags."""
    tag = response.headers.get("ETag", "").strip()
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _receive(response: HTTPResponse, file: BinaryIO, name: str, start: int, total: int) -> None:
    """Append the body to the part, which has ``total`` bytes in the end, no more and no less."""
    from tqdm import tqdm

    received, began = start, time.monotonic()
    told = began
    is_silent = not sys.stderr.isatty()
    bar = {"total": total, "initial": start, "unit": "B", "unit_scale": True, "desc": name, "disable": is_silent}
    with tqdm(**bar) as progress:
        for chunk in _chunks(response):
            if received + len(chunk) > total:
                file.truncate(0)
                raise _Broken(f"it sends more than the {total} bytes that the file has; correct `url` or `bytes`")
            received += file.write(chunk)
            progress.update(len(chunk))
            if is_silent and (now := time.monotonic()) - told >= TOLD_EVERY:
                told = now
                mention(progress_line(name, received, total, (received - start) / (now - began)))
    if received != total:
        raise _Broken(f"it broke off after {received} of {total} bytes")


def progress_line(name: str, received: int, total: int, speed: float) -> str:
    """Say how far a download is, and how long it will still take.

    Args:
        name: of the file.
        received: bytes that are there.
        total: bytes of the file.
        speed: bytes a second.
    """
    left = (total - received) / max(speed, 1)
    time_left = f"{left / 60:.0f} minutes" if left >= 120 else f"{left:.0f} seconds"
    mb = 1e6
    return f"{name}: {received / mb:,.0f} of {total / mb:,.0f} MB, {speed / mb:.1f} MB/s, about {time_left} left"


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    while True:
        with _network():
            chunk = response.read(CHUNK)
        if not chunk:
            return
        yield chunk
