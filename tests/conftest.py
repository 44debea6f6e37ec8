"""Settings of all tests, and the browser that opens reports."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

# One numerical thread, as the studies of the tests have; set before anything imports torch or numpy.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

# Timings decide no test: a machine that does other work is slow.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Hundreds of jobs import the package; only the first shall compile it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture
def browser() -> Iterator["Browser"]:
    """Headless Chromium."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install -e '.[browser]'")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium here; Debian has it as the package chromium")
    with driver.sync_playwright() as playwright:
        # root may not use the sandbox, and the page is our own
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def watch() -> Callable[["Page", Path], list[str]]:
    """Gives a list that fills with what goes wrong in a page: messages of its console, errors, and what it fetches."""

    def watch(page: "Page", path: Path) -> list[str]:
        found: list[str] = []
        page.on("console", lambda line: found.append(f"console {line.type}: {line.text}"))
        page.on("pageerror", lambda error: found.append(f"error: {error}"))

        def requested(request: "Request") -> None:
            if not request.url.startswith(("data:", "blob:", path.as_uri())):
                found.append(f"fetched: {request.url}")

        page.on("request", requested)
        return found

    return watch


@pytest.fixture
def problems_of(browser, watch) -> Callable[[Path], list[str]]:
    """Opens an HTML file in headless Chromium; returns errors of its console, missing pictures, and what it fetches."""

    def problems_of(path: Path) -> list[str]:
        page = browser.new_page()
        found = watch(page, path)
        page.goto(path.as_uri(), wait_until="load")
        missing = "[...document.images].filter(each => each.naturalWidth === 0).map(each => each.alt)"
        found += [f"missing picture: {alt}" for alt in page.evaluate(missing)]
        page.close()
        return found

    return problems_of
