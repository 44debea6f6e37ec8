"""A server on this machine that gives one file, and misbehaves as it is told to."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Serves ``content`` under /file and keeps what it was asked.

    Attributes:
        ranges: whether it knows ranges.
        heeds: whether it heeds ``If-Range``.
        length: whether it tells the length of what it sends.
        headers: what it sends besides; a header that it sends anyway is replaced.
        breaks_after: bytes of the body that are sent at most.
        answers: instead of all this, writes an answer; is given the handler and the byte that was asked for.
    """

    def __init__(self, content: bytes):
        self.content = content
        self.ranges = self.heeds = self.length = True
        self.headers: dict[str, str] = {}
        self.breaks_after: int | None = None
        self.answers: Callable[[BaseHTTPRequestHandler, int], object] | None = None
        self.asked: list[str | None] = []
        self.url = ""


@contextmanager
def serving(content: bytes) -> Iterator[Server]:
    """Run a server in a thread."""
    state = Server(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/file":
                return self.send_error(404)
            asked = self.headers["Range"]
            state.asked.append(asked)
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            if state.answers:
                return state.answers(self, start)
            named = self.headers["If-Range"]
            if (named and state.heeds and named not in state.headers.values()) or not state.ranges:
                start = 0
            if start >= len(state.content):
                return self.send_error(416)
            body = state.content[start:]
            headers = {"Content-Length": str(len(body))} if state.length else {}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(state.content) - 1}/{len(state.content)}"
            self.send_response(206 if start else 200)
            for header in (headers | state.headers).items():
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(body[: state.breaks_after])

        def log_message(self, *_): ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.handle_error = lambda *_: None  # a client that hangs up is what some tests are about
    thread = threading.Thread(target=http.serve_forever, daemon=True, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_port}/file"
    yield state
    http.shutdown()
    http.server_close()
    thread.join()
