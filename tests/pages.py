"""What people do on the page of `pixelherd label`, in Chromium."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def people(browser: Any, live: Any) -> Iterator[Callable[..., Any]]:
    """Give what opens the page of a person; errors in it, and requests elsewhere, fail the test at its end.

    What opens takes the size of the window and Playwright's options of a context, or ``context``, of a page that was
    closed: the person comes back, and the name is there.
    """
    wrong: list[str] = []
    contexts: list[Any] = []

    def opened(who: str, width: int = 1280, height: int = 800, context: Any = None, **options: Any) -> Any:
        again = context is not None
        if not again:
            context = browser.new_context(viewport={"width": width, "height": height}, **options)
            contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda sent: sent.url.startswith(("http://127.0.0.1", "data:", "blob:")) or wrong.append(sent.url),
        )
        page.goto(live.address)
        page.wait_for_selector("body[data-loaded]")
        if again:
            assert page.input_value("#name") == who
        else:
            page.fill("#name", who)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong, wrong


def until(page: Any, condition: str) -> None:
    """Wait until something is true in the page, whose policy lets nothing be evaluated from inside."""
    limit = time.monotonic() + 60
    while not page.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < limit, condition
        time.sleep(0.02)


def begin(page: Any) -> None:
    """Go from the entry to the first question."""
    page.click("#start")
    until(page, "document.body.dataset.ready && document.body.dataset.drawn")


def asked(page: Any) -> dict[str, Any]:
    """Wait for a question whose photograph is there, and return it."""
    until(page, "question && image === question.image && !busy && !chosen")
    return page.evaluate("question")


def answer(page: Any, key: str) -> None:
    """Press a key of a class, and wait for the next question."""
    before = asked(page)["id"]
    page.keyboard.press(key)
    until(page, f"!busy && question && question.id !== {before}")


def violations(page: Any) -> list[str]:
    """Name what axe finds that is serious."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [each["id"] for each in found if each["impact"] in ("serious", "critical")]


def scrolls(page: Any) -> bool:
    """Tell whether the page is larger than its window."""
    return page.evaluate(
        "document.documentElement.scrollHeight > innerHeight || document.documentElement.scrollWidth > innerWidth"
    )
