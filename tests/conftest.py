"""Settings of all tests, and the browser that opens reports."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# One numerical thread, as the studies of the tests have; set before anything imports torch or numpy.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"


@pytest.fixture
def problems_of() -> Iterator[Callable[[Path], list[str]]]:
    """Opens an HTML file in headless Chromium; returns errors of its console, missing pictures, and what it fetches."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install -e '.[browser]'")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium here; Debian has it as the package chromium")
    with driver.sync_playwright() as playwright:
        # root may not use the sandbox, and the page is our own
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])

        def problems_of(path: Path) -> list[str]:
            page, found = browser.new_page(), []
            page.on("console", lambda line: found.append(f"console {line.type}: {line.text}"))
            page.on("pageerror", lambda error: found.append(f"error: {error}"))
            page.on("request", lambda request: fetched.append(request.url))
            fetched = []
            page.goto(path.as_uri(), wait_until="load")
            missing = "[...document.images].filter(each => each.naturalWidth === 0).map(each => each.alt)"
            found += [f"missing picture: {alt}" for alt in page.evaluate(missing)]
            found += [f"fetched: {url}" for url in fetched if not url.startswith(("data:", path.as_uri()))]
            page.close()
            return found

        yield problems_of
        browser.close()
