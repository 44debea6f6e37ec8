"""The page's server: routes of a Starlette application around :class:`pixelherd.labelling.web.site.Site`."""

import asyncio
import csv
import io
import json
import secrets
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelherd.errors import UserError
from pixelherd.labelling.web.guard import Guard
from pixelherd.labelling.web.site import Site
from pixelherd.storage.files import harmless
from pixelherd.study.paths import LABELS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

HEARTBEAT_SECONDS = 15.0

PAGES = 32
"""Pages that may listen at the same time."""

NOT_KEPT = {"cache-control": "no-store"}

PATIENCE_SECONDS = 30.0
"""How long a page waits for a picture of a prediction at most."""


def application(site: Site, template: Path, hosts: Collection[str], token: str) -> Guard:
    """Return the application of a site.

    Args:
        site: what the page asks.
        template: Jinja2 source of the page.
        hosts: ``host:port`` by which the server may be called.
        token: that requests must bear.
    """
    from starlette.applications import Starlette
    from starlette.routing import Route

    routes = _Routes(site, template)
    found = [
        Route("/", routes.page),
        Route("/state", routes.state),
        Route("/events", routes.events),
        Route("/do/{what:str}", routes.do, methods=["POST"]),
        Route("/picture/{image:int}/{kind:str}", routes.picture),
        Route("/paint/{image:int}", routes.paint),
        Route("/gallery", routes.gallery),
        Route("/conflicts", routes.conflicts),
        Route(f"/{LABELS}", routes.export),
    ]
    inside = Starlette(routes=found)
    inside.router.redirect_slashes = False
    return Guard(inside, hosts, token)


class _Routes:
    """What answers requests; work that waits for the disk is done in threads."""

    def __init__(self, site: Site, template: Path) -> None:
        self._site, self._template, self._listening = site, template, 0

    async def page(self, request: "Request") -> "Response":
        from starlette.responses import HTMLResponse

        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; img-src 'self' blob: data:; connect-src 'self'; script-src 'nonce-{nonce}'; "
            f"style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        text = page_of(self._template.read_text(encoding="utf-8"), self._site, nonce)
        return HTMLResponse(text, headers={"content-security-policy": policy, **NOT_KEPT})

    async def state(self, request: "Request") -> "Response":
        return await self._told(self._site.state)

    async def events(self, request: "Request") -> "Response":
        from starlette.responses import StreamingResponse

        if self._listening >= PAGES:
            return _json({"mistake": "too many pages are open"}, 503)
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers=NOT_KEPT)

    async def _stream(self) -> AsyncIterator[str]:
        self._listening += 1
        queue = self._site.listen()
        try:
            while True:
                try:
                    yield f"data: {await asyncio.wait_for(queue.get(), HEARTBEAT_SECONDS)}\n\n"
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._listening -= 1
            self._site.leave(queue)

    async def do(self, request: "Request") -> "Response":
        try:
            content = json.loads(await request.body())
        except ValueError:
            return _json({"mistake": "the request is no JSON"}, 400)
        return await self._told(lambda: self._site.do(request.path_params["what"], content))

    async def _told(self, find: Callable[[], Any]) -> "Response":
        from starlette.concurrency import run_in_threadpool

        try:
            return _json(await run_in_threadpool(find))
        except UserError as error:
            return _json({"mistake": str(error)}, 400)

    async def picture(self, request: "Request") -> "Response":
        from starlette.responses import FileResponse, Response

        kind, path = request.path_params["kind"], None
        with suppress(UserError):
            path = self._site.picture(request.path_params["image"], kind == "small")
        if path is None or kind not in ("small", "large") or not path.is_file():
            return Response(status_code=404)
        return FileResponse(path, media_type="image/jpeg", headers={"cache-control": "private, max-age=86400"})

    async def paint(self, request: "Request") -> "Response":
        from starlette.responses import Response

        found = None
        with suppress(UserError, TimeoutError):
            future = asyncio.wrap_future(self._site.painted(request.path_params["image"]))
            found = await asyncio.wait_for(future, PATIENCE_SECONDS)
        if found is None or found[1] is None:
            return Response(status_code=204)
        return Response(found[1], media_type="image/png", headers={**NOT_KEPT, "x-version": str(found[0])})

    async def gallery(self, request: "Request") -> "Response":
        found = await asyncio.wrap_future(self._site.gallery()) or []
        numbers = self._site.image_numbers([name for name, _ in found])
        return _json([[number, name, doubt] for number, (name, doubt) in zip(numbers, found, strict=True)])

    async def conflicts(self, request: "Request") -> "Response":
        return await self._told(self._site.conflicts)

    async def export(self, request: "Request") -> "Response":
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import Response

        headers = {"content-disposition": f'attachment; filename="{LABELS}"', **NOT_KEPT}
        return Response(await run_in_threadpool(table_of, self._site), media_type="text/csv", headers=headers)


def _json(content: Any, status: int = 200) -> "Response":
    from starlette.responses import JSONResponse

    return JSONResponse(content, status, headers=NOT_KEPT)


def page_of(template: str, site: Site, nonce: str) -> str:
    """Return the page's HTML.

    Args:
        template: Jinja2 source.
        site: what the page asks.
        nonce: of its script and style.
    """
    import jinja2

    from pixelherd.annotation.page import json_in_html

    name = Path.cwd().name
    content = json_in_html({"size": list(site.project.size), "project": name, "folder": str(Path.cwd())})
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(template).render(title=name, nonce=nonce, content=content)


def table_of(site: Site) -> str:
    """Return the labels that hold now, as CSV that no spreadsheet runs."""
    from pixelherd.labelling import state

    classes, labels = site.store.classes(), site.desk.labels
    names, meant = {each.id: each.name for each in classes} | {0: "unknown"}, state.merged(classes)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["image", "row", "column", "label", "held_out"])
    with site.desk.lock:
        for place in sorted(labels.opinions, key=labels.first.__getitem__):
            label = labels.label(place, meant)
            if label is not None:
                table.writerow(map(harmless, [*place, names[label], int(place in site.desk.held_out)]))
    return text.getvalue()
