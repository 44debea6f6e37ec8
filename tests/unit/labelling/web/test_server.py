"""The page's routes, asked as a server of ASGI asks them."""

import asyncio
import json

import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the page is missing: pip install -e '.[label]'")

from pixelherd.labelling.learning.loop import Told
from pixelherd.labelling.web import server
from pixelherd.labelling.web.command import TEMPLATE

HOST, TOKEN = "127.0.0.1:8765", "token"
MODEL = {"version": 3, "right": 0, "asked": 0, "head": True, "said": 0, "painted": {"a": (3, b"png")}}


@pytest.fixture
def app(site):
    return server.application(site, TEMPLATE, {HOST}, TOKEN)


async def asked(app, path, method="GET", body=b"", parts=None):
    """Ask for a path; returns status, headers and body, of which a stream's ends after so many parts."""
    headers = {"host": HOST, "x-pixelherd-token": TOKEN, "content-type": "application/json"}
    scope = {"type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode()}
    scope |= {"query_string": b"", "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    sent, enough, given = [], asyncio.Event(), [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        if given:
            return given.pop()
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)
        if parts is not None and len(sent) > parts:
            enough.set()

    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


def ask(app, path, **more):
    return asyncio.run(asked(app, path, **more))


def test_the_page_runs_its_own_script_alone_and_is_not_kept(app):
    (_, first, text), (_, second, _) = ask(app, "/"), ask(app, "/")
    policy = first["content-security-policy"]
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert "default-src 'none'" in policy and "unsafe" not in policy and policy != second["content-security-policy"]
    assert f'nonce="{nonce}"'.encode() in text and first["cache-control"] == "no-store"


def test_state_and_requests_are_json_and_mistakes_say_what_is_wrong(app):
    status, headers, text = ask(app, "/state")
    assert status == 200 and json.loads(text)["photographs"] == 2 and headers["cache-control"] == "no-store"
    status, _, text = ask(app, "/do/next", method="POST", body=b'{"annotator": "ann"}')
    assert status == 200 and json.loads(text)["question"] is None
    for path, body, words in (
        ("/do/next", b"{", "no JSON"),
        ("/do/next", b"\xff", "no JSON"),
        ("/do/next", b"[]", "next"),
        ("/do/nothing", b"{}", "no request"),
    ):
        status, _, text = ask(app, path, method="POST", body=body)
        assert status == 400 and words in json.loads(text)["mistake"], (path, body)
    for path, method in (("/do/next", "GET"), ("/state", "POST"), ("/state/", "GET"), ("/answers.sqlite", "GET")):
        assert ask(app, path, method=method)[0] in (404, 405), path


def test_a_picture_is_a_file_of_a_photograph_that_was_read(app, site):
    site.project.cache.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(site.project.cache / "ka-small.jpg")
    status, headers, content = ask(app, "/picture/0/small")
    assert status == 200 and headers["content-type"] == "image/jpeg" and content[:2] == b"\xff\xd8"
    for path in ("/picture/0/large", "/picture/0/huge", "/picture/2/small", "/picture/-1/small", "/picture/x/small"):
        assert ask(app, path)[0] == 404, path


def test_a_prediction_comes_with_its_version_or_not_at_all(app, site, monkeypatch):
    site.told(Told("model", MODEL))
    status, headers, content = ask(app, "/paint/0")
    assert (status, headers["x-version"], content) == (200, "3", b"png")
    monkeypatch.setattr(server, "PATIENCE_SECONDS", 0.05)
    assert ask(app, "/paint/1")[0] == 204, "the model does not answer"
    assert ask(app, "/paint/7")[0] == 204


def test_events_begin_with_how_things_stand_go_on_while_nothing_happens_and_end_with_the_page(app, site, monkeypatch):
    monkeypatch.setattr(server, "HEARTBEAT_SECONDS", 0.02)
    status, headers, text = ask(app, "/events", parts=3)
    first, *others = text.decode().split("\n\n")
    assert status == 200 and headers["content-type"].startswith("text/event-stream")
    assert json.loads(first.removeprefix("data: "))["photographs"] == 2 and ": still here" in others
    assert not site._listeners, "a page that is closed is told nothing any more"


def test_more_pages_than_may_listen_are_refused(app, monkeypatch):
    monkeypatch.setattr(server, "PAGES", 1)

    async def two():
        first = asyncio.create_task(asked(app, "/events", parts=10**9))
        await asyncio.sleep(0.2)
        second = await asked(app, "/events")
        first.cancel()
        return second

    status, _, text = asyncio.run(two())
    assert status == 503 and "too many pages" in json.loads(text)["mistake"]


def test_the_gallery_is_the_models_order_by_numbers(app, site):
    async def answered():
        waiting = asyncio.create_task(asked(app, "/gallery"))
        while not site.worker.asked:
            await asyncio.sleep(0.01)
        site.worker.asked[0][1].set_result([("b", 0.5), ("a", 0.25)])
        return await waiting

    status, _, text = asyncio.run(answered())
    assert status == 200 and json.loads(text) == [[1, "b", 0.5], [0, "a", 0.25]]


def test_the_export_is_a_table_that_no_spreadsheet_runs(app, site):
    formula = {"annotator": "ann", "id": 2, "name": "=SUM(A1)road", "colour": "#102030", "key": ""}
    site.do("class", formula)
    site.do("answer", {"annotator": "ann", "image": 1, "row": 5, "column": 6, "label": 2, "receipt": "0123456789"})
    status, headers, text = ask(app, "/labels.csv")
    assert status == 200 and "attachment" in headers["content-disposition"]
    assert text.decode().splitlines() == ["image,row,column,label,held_out", "b,5,6,'=SUM(A1)road,0"]
