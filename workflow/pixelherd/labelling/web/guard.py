"""Who may talk to the page's server: a browser that was given the address, on this page, with small requests.

The server holds photographs and answers of a person. Another page in the same browser can send requests to it, and
make a name of its own point to it; another program on the machine or, with ``--lan``, in the network can too. So each
request must name the server by an address that it was given (against DNS rebinding), come from no other page (against
cross-site writes), and bear the token.
"""

import secrets
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST = 16 * 1024
"""Bytes of a request's body."""

TOKEN = b"x-pixelherd-token"
"""Header of the token; addresses of pictures and of the page bear it as ``token``."""

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)


@dataclass
class Guard:
    """Lets requests through to an application, or refuses them.

    Attributes:
        app: the application.
        hosts: ``host:port`` by which the server may be called.
        token: that requests must bear.
        refused: how many requests were refused, by reason.
    """

    app: App
    hosts: Collection[str]
    token: str
    refused: dict[str, int] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        problem = self._problem(scope)
        if problem is not None:
            await self._refuse(*problem, send)
            return
        body = await _body(receive) if scope["method"] == "POST" else b""
        if body is None:
            await self._refuse(413, "body", "the request is too large", send)
            return
        sent = False

        async def received() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
            await send(message)

        await self.app(scope, received, sending)

    def _problem(self, scope: Scope) -> tuple[int, str, str] | None:
        """Status, reason and words, if a request is refused before its body is read."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        host, origin = headers.get(b"host", []), headers.get(b"origin", [])
        if scope["method"] not in ("GET", "POST"):
            return 405, "method", "this method is not known here"
        if len(host) != 1 or host[0].decode("latin-1").lower() not in self.hosts:
            return 421, "host", "this server is not called so"
        if origin and (len(origin) > 1 or origin[0].decode("latin-1").lower() not in self._origins()):
            return 403, "origin", "another page may not ask"
        if headers.get(b"sec-fetch-site", [b"none"])[0] not in (b"same-origin", b"none"):
            return 403, "site", "another page may not ask"
        in_address = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        given = [each.decode("latin-1") for each in headers.get(TOKEN, [])]
        given += in_address if scope["method"] == "GET" else []
        if len(given) != 1 or not secrets.compare_digest(given[0].encode(), self.token.encode()):
            return 401, "token", "open the address that `pixelherd label` printed"
        length = headers.get(b"content-length", [b"0"])[0]
        if not length.isdigit() or int(length) > LARGEST:
            return 413, "body", "the request is too large"
        if scope["method"] == "POST" and headers.get(b"content-type", [b""])[0].split(b";")[0] != b"application/json":
            return 415, "type", "only JSON is taken"
        return None

    def _origins(self) -> set[str]:
        return {f"http://{host}" for host in self.hosts}

    async def _refuse(self, status: int, reason: str, words: str, send: Send) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close"), *HEADERS]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": f"pixelherd: {words}\n".encode()})


async def _body(receive: Receive) -> bytes | None:
    """The whole body of a request; None where it is too large, whatever its header said."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body, more = body + message.get("body", b""), message.get("more_body", False)
        if len(body) > LARGEST:
            return None
    return body
