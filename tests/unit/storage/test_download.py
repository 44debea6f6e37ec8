"""Downloads from a real server on this machine, which misbehaves in every way that servers do."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import pytest

from pixelherd.errors import UserError
from pixelherd.storage import download as downloads
from pixelherd.storage.download import download, progress_line
from unit.storage.serving import Server, serving

CONTENT = bytes(range(256)) * 20_000  # 5 MB: several chunks
OTHER = CONTENT[::-1]


@pytest.fixture
def server():
    with serving(CONTENT) as server:
        yield server


def broken_off(server: Server, path: Path, **keywords) -> None:
    """Leave a part of 3 MB."""
    server.breaks_after = 3_000_000
    with pytest.raises(UserError, match=rf"it broke off after 3000000 of {len(server.content)} bytes"):
        download(server.url, path, **keywords)
    server.breaks_after = None
    server.asked.clear()


def refusal(server: Server, path: Path, **keywords) -> str:
    """The one line in which a download ends."""
    with pytest.raises(UserError) as error:
        download(server.url, path, **keywords)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    assert not path.exists()
    return str(error.value)


def test_a_download(server, tmp_path, capfd):
    path = tmp_path / "new folder" / "file.pt"
    download(server.url, path, size=len(CONTENT))
    assert path.read_bytes() == CONTENT and os.listdir(path.parent) == ["file.pt"]
    assert capfd.readouterr() == ("", ""), "there is no terminal to show progress on"
    download(server.url, path)
    assert server.asked == [None], "what is there is not fetched again"


# Going on

VERSIONS = [
    {},
    {"ETag": '"a"'},
    {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"},
    {"ETag": 'W/"a"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"},
]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("headers", VERSIONS)
@pytest.mark.hostile("downloads")
def test_a_download_that_broke_off_goes_on(server, tmp_path, headers, ranges):
    path = tmp_path / "file.pt"
    server.headers, server.ranges = headers, ranges
    broken_off(server, path)
    assert sorted(os.listdir(tmp_path)) == ["file.pt.part", "file.pt.part.json"]
    download(server.url, path)
    assert server.asked == ["bytes=3000000-"]
    assert path.read_bytes() == CONTENT and os.listdir(tmp_path) == ["file.pt"]


def test_a_part_that_is_whole_is_taken(server, tmp_path):
    broken_off(server, tmp_path / "file.pt")
    with open(tmp_path / "file.pt.part", "ab") as part:
        part.write(CONTENT[3_000_000:])
    download(server.url, tmp_path / "file.pt", size=len(CONTENT))
    assert server.asked == [] and (tmp_path / "file.pt").read_bytes() == CONTENT


@pytest.mark.parametrize("heeds", [True, False], ids=["heeds If-Range", "ignores it"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"ETag": '"a"'}, {"ETag": '"b"'}),
        ({"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, {"Last-Modified": "Thu, 22 Oct 2015 07:28:00 GMT"}),
        ({"ETag": '"a"'}, {"Last-Modified": "Thu, 22 Oct 2015 07:28:00 GMT"}),
    ],
)
@pytest.mark.hostile("downloads")
def test_a_file_that_changed_is_received_from_its_beginning(server, tmp_path, before, after, heeds):
    server.headers, server.heeds = before, heeds
    broken_off(server, tmp_path / "file.pt")
    server.content, server.headers = OTHER, after
    download(server.url, tmp_path / "file.pt")
    assert (tmp_path / "file.pt").read_bytes() == OTHER


@pytest.mark.parametrize(
    "content", [OTHER[:-1], OTHER + b"more", OTHER[:1_000]], ids=["shorter", "longer", "ends before"]
)
@pytest.mark.hostile("downloads")
def test_a_file_of_another_length_is_received_from_its_beginning(server, tmp_path, content):
    broken_off(server, tmp_path / "file.pt")
    server.content = content
    download(server.url, tmp_path / "file.pt")
    assert server.asked == ["bytes=3000000-", None] and (tmp_path / "file.pt").read_bytes() == content


@pytest.mark.parametrize("left", ["no record", "damaged", "of another address", "too long"])
@pytest.mark.hostile("downloads")
def test_parts_of_nobody_knows_what_are_thrown_away(server, tmp_path, left):
    path, beside = tmp_path / "file.pt", tmp_path / "file.pt.part.json"
    broken_off(server, path)
    if left == "no record":
        beside.unlink()
    elif left == "damaged":
        beside.write_text("{")
    elif left == "of another address":
        beside.write_text(beside.read_text().replace("/file", "/other"))
    else:
        Path(f"{path}.part").write_bytes(CONTENT + b"more")
    download(server.url, path)
    assert server.asked == [None] and path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "told",
    ["bytes 0-5119999/5120000", "bytes 2999999-5119999/5120000", "bytes 3000000-5119999/*", "bytes */5120000", "", "x"],
)
@pytest.mark.hostile("downloads")
def test_a_range_that_was_not_asked_for_is_not_believed(server, tmp_path, told):
    broken_off(server, tmp_path / "file.pt")
    server.headers = {"Content-Range": told}
    download(server.url, tmp_path / "file.pt")
    assert server.asked == ["bytes=3000000-", None] and (tmp_path / "file.pt").read_bytes() == CONTENT


# Servers that do not give the file


def raw(answer: bytes, *more: bytes):
    """A server that writes these bytes, whatever it was asked; ``more`` again and again."""

    def answers(handler, _):
        handler.close_connection = True
        handler.wfile.write(answer)
        for each in repeat(b"".join(more)) if more else ():
            handler.wfile.write(each)

    return answers


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "Remote end closed connection"),
        (b"nonsense\r\n\r\n", "nonsense"),
        (b"\x00\xff\n" * 3, "\\x00"),
        (b"HTTP/1.1 banana OK\r\n\r\n", "banana"),
        (OK + b"X: y\r\n" * 200, "more than 100 headers"),
        (OK + b"X: " + b"y" * 70_000, "more than 65536 bytes"),
        (OK + b"Content-Length: banana\r\n\r\nx", "a file of 'banana' bytes"),
        (OK + b"Content-Length: -5\r\n\r\nx", "a file of '-5' bytes"),
        (OK + b"Content-Length: 1" + b"0" * 5000 + b"\r\n\r\nx", "a file of '1000"),
        (OK + b"Content-Length: 0\r\n\r\n", "a file of '0' bytes"),
        (OK + b"Content-Length: 10\r\n\r\nx", "it broke off after 1 of 10 bytes"),
        (OK + b"Content-Length: 10\r\nContent-Encoding: gzip\r\n\r\n", "in the encoding 'gzip'"),
        (OK + b"Content-Type: text/html; charset=utf-8\r\nContent-Length: 4\r\n\r\nhtml", "a web page"),
        (OK + b"\r\nthe file, or a part of it", "does not tell how long the file is; give its `bytes`"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "does not tell how long"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "status 204"),
        (b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\nabcde", "status 206"),
        (b"HTTP/1.1 416 No such range\r\n\r\n", "416"),
        (b"HTTP/1.1 500 Line\r\n\r\n", "HTTP Error 500: Line"),
        (b"HTTP/1.1 302 Found\r\nLocation: /file\r\n\r\n", "infinite loop"),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "not allowed"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[::1/\r\n\r\n", "IPv6"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://x:banana/\r\n\r\n", "banana"),
        (b"HTTP/1.1 302 Found\r\n\r\n", "302"),
    ],
)
@pytest.mark.hostile("downloads")
def test_an_answer_that_is_no_file_is_one_line(server, tmp_path, answer, problem):
    server.answers = raw(answer)
    assert problem in refusal(server, tmp_path / "file.pt")


@pytest.mark.parametrize("head", [OK + b"\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"], ids=["plain", "chunked"])
@pytest.mark.hostile("downloads")
def test_a_stream_without_end_stops_at_the_size(server, tmp_path, head):
    block = b"x" * 65536
    server.answers = raw(head, b"10000\r\n" + block + b"\r\n" if b"chunked" in head else block)
    line = refusal(server, tmp_path / "file.pt", size=3_000_000)
    assert "it sends more than the 3000000 bytes" in line and os.listdir(tmp_path) == []


@pytest.mark.parametrize("body", [b"5\r\nab", b"banana\r\nab", b"2\r\nab\r\n0\r\n\r\n"])
@pytest.mark.hostile("downloads")
def test_chunks_that_break_off_or_are_none(server, tmp_path, body):
    server.answers = raw(OK + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert "run the same command again to go on" in refusal(server, tmp_path / "file.pt", size=10)


@pytest.mark.hostile("downloads")
def test_sizes_are_checked(server, tmp_path):
    path = tmp_path / "file.pt"
    assert f"{server.url} has {len(CONTENT)} bytes rather than 7; correct `url`" in refusal(server, path, size=7)
    server.length, server.breaks_after = False, 1000
    assert f"it broke off after 1000 of {len(CONTENT)} bytes" in refusal(server, path, size=len(CONTENT))


def test_a_file_whose_length_the_study_alone_tells(server, tmp_path):
    server.length = False
    download(server.url, tmp_path / "file.pt", size=len(CONTENT))
    assert (tmp_path / "file.pt").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("{}/absent", r"HTTP Error 404: Not Found"),
        ("http://127.0.0.1:9/file", "refused"),
        ("http://127.0.0.1:banana/file", "banana"),
        ("http://127.0.0.1:9/a b", "control characters"),
        ("http://127.0.0.1:9/ä", "ascii|ordinal"),
        ("http://[::1/", "IPv6"),
    ],
)
@pytest.mark.hostile("downloads")
def test_addresses_that_do_not_lead_to_the_file(server, tmp_path, url, problem):
    with pytest.raises(UserError, match=rf"cannot download .*({problem}).* put the file at"):
        download(url.format(server.url), tmp_path / "file.pt")
    assert os.listdir(tmp_path) == []


# Others, and progress


def test_jobs_that_want_the_same_file_download_it_once(server, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: download(server.url, tmp_path / "file.pt"), range(4)))
    assert server.asked == [None]
    assert (tmp_path / "file.pt").read_bytes() == CONTENT and os.listdir(tmp_path) == ["file.pt"]


def test_jobs_that_find_the_file_there_do_not_stumble_over_each_others_parts(server, tmp_path):
    (tmp_path / "file.pt").write_bytes(CONTENT)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: download(server.url, tmp_path / "file.pt"), range(4000)))
    assert server.asked == [] and os.listdir(tmp_path) == ["file.pt"]


def test_a_job_that_waited_for_one_that_failed_has_a_part_of_its_own(server, tmp_path):
    server.answers = lambda handler, _: handler.send_error(404 if len(server.asked) == 1 else 500)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: refusal(server, tmp_path / "file.pt"), range(4)))
    assert [sum(f"Error {code}:" in each for each in found) for code in (404, 500)] == [1, 3]  # ports have digits too


def test_progress_is_told_where_there_is_no_terminal(server, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(downloads, "TOLD_EVERY", 0)
    download(server.url, tmp_path / "file.pt")
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) > 3 and re.fullmatch(
        r"pixelherd: file\.pt: 1 of 5 MB, [\d.]+ MB/s, about 0 seconds left \.\.\.", lines[0]
    )


@pytest.mark.parametrize(("speed", "left"), [(20e6, "90 seconds"), (1e6, "30 minutes"), (0, "30000000 minutes")])
def test_a_line_of_progress(speed, left):
    line = progress_line("a.pt", 200_000_000, 2_000_000_000, speed)
    assert line == f"a.pt: 200 of 2,000 MB, {speed / 1e6:.1f} MB/s, about {left} left"
