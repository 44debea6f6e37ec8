"""What a report costs its reader: bytes, time until something is seen, length, and what axe finds.

    python benchmarks/report.py results/report.html

Opens each report in headless Chromium at 1280x800 and 390x844, light and dark, with all that is folded opened for axe.
Needs playwright, axe-playwright-python and a Chromium (`pip install -e '.[browser]'`, Debian's package chromium).
"""

import argparse
import shutil
import statistics
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

SIZES = ((1280, 800), (390, 844))
PAINTED = """() => new Promise(done => new PerformanceObserver(list => done(list.getEntries()[0].startTime / 1000))
    .observe({ type: "paint", buffered: true }))"""
OPEN = "document.querySelectorAll('details').forEach(each => { each.open = true })"


def measure(browser: Browser, path: Path, repeats: int) -> None:
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    for width, height in SIZES:
        painted, lengths, findings = [], set(), []
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            for _ in range(repeats):
                page.goto(path.resolve().as_uri())
                painted.append(page.evaluate(PAINTED))
            lengths.add(page.evaluate("document.documentElement.scrollHeight"))
            page.evaluate(OPEN)
            findings += Axe().run(page).response["violations"]
            page.close()
        print(
            f"  {width}x{height}: first paint {statistics.median(painted):.2f} s, {max(lengths):,} pixels long, "
            f"axe finds {', '.join(sorted({each['id'] for each in findings})) or 'nothing'}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, nargs="+")
    parser.add_argument("--repeats", type=int, default=5, help="loads of each page whose median is told")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for path in options.reports:
            measure(browser, path, options.repeats)
        browser.close()


if __name__ == "__main__":
    main()
