"""The guard: what comes without the token, from other pages, by other names or too large is refused, all of it."""

import asyncio
import itertools

import pytest

from pixelherd.labelling.web.guard import LARGEST, Guard

TOKEN, HOST = "right-token", "127.0.0.1:8765"
JSON = (b"content-type", b"application/json")


class Inside:
    """An application that counts what reaches it."""

    def __init__(self):
        self.bodies = []

    async def __call__(self, scope, receive, send):
        self.bodies.append((await receive()).get("body"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"inside"})


def ask(guard, method="GET", path="/", query=f"token={TOKEN}", headers=(), body=(b"",)):
    """Send a request; returns its status and headers."""
    sent, parts = [], list(body)

    async def receive():
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    given = dict([(b"host", HOST.encode()), *headers])
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
    asyncio.run(guard({**scope, "headers": list(given.items())}, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.fixture
def guard():
    return Guard(Inside(), {HOST, "localhost:8765"}, TOKEN)


def test_the_page_itself_gets_in(guard):
    own = [(b"origin", f"http://{HOST}".encode()), (b"sec-fetch-site", b"same-origin")]
    token = (b"x-pixelherd-token", TOKEN.encode())
    status, headers = ask(guard)
    assert status == 200 and headers[b"x-frame-options"] == b"DENY" and headers[b"referrer-policy"] == b"no-referrer"
    assert ask(guard, "POST", "/do/next", "", [*own, token, JSON], [b"{}"])[0] == 200
    assert ask(guard, headers=[(b"host", b"LOCALHOST:8765")])[0] == 200
    assert guard.app.bodies == [b"", b"{}", b""] and guard.refused == {}


HOSTS = [b"evil.example", b"127.0.0.1", b"127.0.0.1:1", b"localhost.evil.example:8765", b"evil.example:8765", b""]
ORIGINS = [b"null", b"http://evil.example", b"https://127.0.0.1:8765", b"http://127.0.0.1:1", b"http://localhost", b""]
TOKENS = ["", "token=", "token=wrong", f"token={TOKEN}x", f"token={TOKEN}&token={TOKEN}", f"other={TOKEN}", "token=%ff"]
PATHS = ["/", "/state", "/events", "/do/answer", "/picture/0/large", "/paint/0", "/labels.csv", "/../../etc/passwd"]


def test_nothing_gets_in_that_should_not(guard):
    tried = 0
    for path, method in itertools.product(PATHS, ("GET", "POST")):
        token = [(b"x-pixelherd-token", TOKEN.encode()), JSON]
        for host in HOSTS:
            tried += ask(guard, method, path, headers=[*token, (b"host", host)])[0] == 421
        for origin in ORIGINS:
            tried += ask(guard, method, path, headers=[*token, (b"origin", origin)])[0] == 403
        for site in (b"cross-site", b"same-site", b""):
            tried += ask(guard, method, path, headers=[*token, (b"sec-fetch-site", site)])[0] == 403
        for query in TOKENS:
            tried += ask(guard, method, path, query, [JSON])[0] == 401
        tried += ask(guard, "POST", path, headers=[JSON])[0] == 401  # a token in an address may be sent by any form
        for length in (str(LARGEST + 1).encode(), b"-1", b"many"):
            tried += ask(guard, method, path, "", [*token, (b"content-length", length)])[0] in (401, 413)
        tried += ask(guard, "POST", path, "", [token[0], (b"content-type", b"text/plain")])[0] == 415
        for other in ("PUT", "DELETE", "OPTIONS", "TRACE"):
            tried += ask(guard, other, path)[0] == 405
    assert guard.app.bodies == [], "let in: 0"
    assert sum(guard.refused.values()) == tried == len(PATHS) * 2 * (6 + 6 + 3 + 7 + 1 + 3 + 1 + 4)


def test_a_body_that_is_larger_than_it_says_is_refused(guard):
    headers = [(b"x-pixelherd-token", TOKEN.encode()), JSON, (b"content-length", b"10")]
    assert ask(guard, "POST", "/do/answer", "", headers, [b"x" * LARGEST, b"x"])[0] == 413
    assert guard.app.bodies == [] and guard.refused == {"body": 1}
