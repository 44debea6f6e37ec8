"""The report in Chromium: what is seen first, what pointer, keys and fingers do, paper, and what axe finds."""

import json
import re
from pathlib import Path

import pytest

from pixelherd.storage.stores import writing
from unit.results.drawn import write_study
from unit.results.report.conftest import report

pytestmark = pytest.mark.browser

SIZES = {"wide": (1280, 800), "narrow": (390, 844)}


@pytest.fixture
def opened(browser, watch, saved):
    """Opens one of the reports at a size; the page must not complain until the test ends."""
    pages = []

    def open_page(kind="study", size="wide", **options):
        width, height = SIZES[size]
        viewport = {"width": width, "height": height}
        page = browser.new_page(viewport=viewport, reduced_motion="reduce", **options)
        path = saved(kind)
        pages.append((page, watch(page, path)))
        page.goto(path.as_uri())
        return page

    yield open_page
    for page, problems in pages:
        assert problems == []
        page.close()


def is_seen(page, locator) -> bool:
    """Whether all of an element lies in the window."""
    box, size = locator.bounding_box(), page.viewport_size
    return bool(box) and box["y"] >= 0 and box["y"] + box["height"] <= size["height"]


def test_verdict_table_and_curve_are_seen_without_scrolling(opened):
    page = opened()
    table = page.locator("table", has=page.locator("caption", has_text="After the last round"))
    for locator in (page.locator(".verdict"), table, page.locator(".chart svg").first):
        assert is_seen(page, locator)
    assert "cannot be told apart" in page.inner_text(".verdict")


def test_masks_are_seen_first_where_there_are_no_tests(opened):
    page = opened("own")
    assert is_seen(page, page.locator(".stage").first)
    assert page.locator("img.drawn:visible").count() == 0, "statistics are folded away"


@pytest.mark.parametrize("kind", ["study", "own"])
@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_wider_than_the_window(opened, kind, size):
    page = opened(kind, size)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]


def test_contents_stay_and_fold(opened):
    page = opened()
    page.locator("h3", has_text="Pictures").scroll_into_view_if_needed()
    page.click("nav a >> text=Pictures")
    page.wait_for_selector("nav a[aria-current] >> text=Pictures")
    assert is_seen(page, page.locator("nav"))
    narrow = opened(size="narrow")
    assert not narrow.locator("nav").is_visible()
    narrow.click(".menu")
    narrow.click("nav a >> text=Pictures")
    assert not narrow.locator("nav").is_visible() and is_seen(narrow, narrow.locator("h3", has_text="Pictures"))


def test_contents_unfold_the_chapter_that_is_read(opened):
    page = opened("several")
    parts = lambda: [each for each in page.locator("nav li li a").all() if each.is_visible()]  # noqa: E731
    assert parts()[0].get_attribute("href").endswith("toy-coarse-0_1")
    assert page.locator("nav a[aria-current]").inner_text() == "Result"
    page.click(".verdicts a >> text=ddpm")
    page.wait_for_selector("nav li.now >> text=toy · ddpm")
    assert {each.get_attribute("href").partition("-")[2] for each in parts()} == {"toy-ddpm-0_1"}


def test_a_table_is_sorted_by_its_heads(opened):
    page = opened()
    table = page.locator(".tables table").first
    names = lambda: table.locator("tbody th").all_inner_texts()  # noqa: E731
    values = lambda: [float(each.split()[0]) for each in table.locator("tbody td:nth-child(4)").all_inner_texts()]  # noqa: E731
    before = names()
    head = table.locator("thead button", has_text="mIoU")
    head.focus()
    page.keyboard.press("Enter")
    assert values() == sorted(values(), reverse=True)
    assert table.locator("th[aria-sort=descending]").inner_text().startswith("mIoU")
    page.keyboard.press("Enter")
    assert values() == sorted(values())
    table.locator("thead button", has_text="method").click()
    assert names() == sorted(before)


def test_a_curve_tells_its_values(opened):
    page = opened()
    chart, said = page.locator(".chart").first, page.locator(".chart output").first
    assert not said.is_visible()
    chart.locator("svg").first.hover(position={"x": 60, "y": 100})
    assert re.match(r"6 labelled pixels, round 0\n.*\d+\.\d ± \d+\.\d %", said.inner_text())
    page.mouse.move(0, 0)
    chart.focus()
    page.keyboard.press("ArrowLeft")
    assert said.inner_text().startswith("18 labelled pixels, round 2")
    page.keyboard.press("ArrowLeft")
    assert said.inner_text().startswith("12 labelled pixels, round 1")
    chart.locator(".legend button", has_text="edald").click()
    opacity = "each => getComputedStyle(each).opacity"
    assert chart.locator("g[data-line=random]").evaluate(opacity) == "0.15"
    assert chart.locator("g[data-line=edald]").evaluate(opacity) == "1"


def test_words_are_explained_to_pointer_keys_and_fingers(opened):
    page = opened()
    tip, word = page.locator(".tip"), page.locator(".verdict .term", has_text="points")
    word.hover()
    assert "Percentage points" in tip.inner_text()
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    page.mouse.move(0, 0)
    word.focus()
    assert tip.is_visible()
    page.locator("thead button.explained", has_text="mIoU").first.focus()
    assert "averaged over classes" in tip.inner_text()
    phone = opened(size="narrow", has_touch=True)
    phone.locator(".verdict .term", has_text="points").tap()
    assert "Percentage points" in phone.inner_text(".tip")


def test_a_slider_goes_from_the_image_to_the_uncertainty(opened):
    page = opened("own")
    slider, first = page.locator(".slide input").first, page.locator(".stage").first
    shown = lambda: {  # noqa: E731
        each.get_attribute("data-layer"): float(each.evaluate("each => each.style.opacity"))
        for each in first.locator("img").all()
    }
    slider.focus()
    page.keyboard.press("Home")
    assert shown() == {"image": 1, "mask": 0, "uncertainty": 0}
    assert slider.get_attribute("aria-valuetext") == "image"
    page.keyboard.press("End")
    assert shown()["uncertainty"] == 1
    page.click(".slide button >> text=mask")
    assert shown() == {"image": 1, "mask": 1, "uncertainty": 0}
    page.uncheck(".rings")
    assert not first.locator("svg").is_visible()


def test_a_click_enlarges_a_picture(opened):
    page = opened("own")
    small = page.locator(".stage").first
    width = small.bounding_box()["width"]
    small.focus()
    page.keyboard.press("Enter")
    large = page.locator("dialog .stage")
    assert large.bounding_box()["width"] > 2 * width
    page.click("dialog .slide button >> text=uncertainty")
    assert large.locator("img[data-layer=uncertainty]").evaluate("each => each.style.opacity") == "1"
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    study = opened()
    study.locator(".zoom").first.click()
    assert study.locator("dialog img").is_visible()
    study.click("dialog button >> text=Close")
    assert not study.locator("dialog").is_visible()


def test_methods_take_each_others_place(opened):
    page = opened()
    visible = lambda: [each.get_attribute("data-method") for each in page.locator(".gallery:visible").all()]  # noqa: E731
    assert visible() == ["random"]
    page.locator(".gallery .slide button:visible", has_text="truth").click()
    page.click("[aria-label=Method] >> text=edald")
    assert visible() == ["edald"]
    assert page.locator(".gallery:visible .slide input").input_value() == "2", "the layer stays the same"


def contrast(page, selector: str) -> float:
    """Contrast of an element's letters with the page."""
    colours = page.locator(selector).first.evaluate(
        "each => [getComputedStyle(each).color, getComputedStyle(document.body).backgroundColor]"
    )
    shares = [[int(value) / 255 for value in re.findall(r"\d+", colour)[:3]] for colour in colours]
    linear = [[c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in share] for share in shares]
    low, high = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in linear)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_stand_out(opened, scheme):
    page = opened(color_scheme=scheme)
    is_dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert is_dark == (scheme == "dark")
    assert min(contrast(page, selector) for selector in (".verdict", ".rest", ".how summary", "td")) > 4.5


@pytest.mark.parametrize("kind", ["study", "own", "several"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(opened, kind, size, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install -e '.[browser]'")
    page = opened(kind, size, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 20
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found["violations"]] == []


@pytest.fixture
def wide_report(tmp_path) -> Path:
    """A report whose table of classes has 40 columns."""
    study, names = write_study(tmp_path / "runs"), [f"class number {number}" for number in range(40)]
    for folder in study:
        seal = json.loads((folder / "run.json").read_text())
        seal["classes"] = [{"name": name, "colour": [0, 0, 0]} for name in names]
        (folder / "run.json").write_text(json.dumps(seal))
        head, *rows = (folder / "metrics.csv").read_text().splitlines()
        head = ",".join([*head.split(",")[:5], *(f"iou_{number}" for number in range(40))])
        rows = [",".join([*row.split(",")[:5], *["0.5"] * 40]) for row in rows]
        (folder / "metrics.csv").write_text("\n".join([head, *rows]) + "\n")
    with writing(tmp_path / "figures", {}, inside=""):
        pass
    path = tmp_path / "report.html"
    path.write_text(report(study, tmp_path / "figures"))
    return path


def test_methods_stay_in_sight_while_a_wide_table_scrolls(wide_report, browser):
    page = browser.new_page(viewport={"width": 800, "height": 600})
    page.goto(wide_report.as_uri())
    scroll = page.locator(".scroll", has=page.locator("caption", has_text="IoU of each class"))
    scroll.evaluate("each => { each.scrollLeft = 1000 }")
    left = scroll.bounding_box()["x"]
    names = scroll.locator("tr > th:first-child")
    assert names.count() == 4
    for name in names.all():
        place = name.bounding_box()
        assert place["x"] == pytest.approx(left, abs=1)
        # what passes behind does not shine through
        assert name.evaluate("each => getComputedStyle(each).backgroundColor") != "rgba(0, 0, 0, 0)"
    page.close()


def test_paper_holds_all_of_it(wide_report, browser):
    page = browser.new_page(viewport={"width": 700, "height": 1000}, color_scheme="dark")
    page.goto(wide_report.as_uri())
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".gallery:visible").count() == 3, "of all methods"
    widths = page.evaluate("[...document.querySelectorAll('table')].map(each => each.getBoundingClientRect().right)")
    assert len(widths) > 10 and max(widths) <= page.evaluate("document.body.getBoundingClientRect().right")
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 5
    page.close()


def test_a_browser_shows_it_without_an_error(saved, tmp_path, problems_of):
    path = saved("study")
    assert problems_of(path) == problems_of(saved("own")) == []

    # what the test above must notice
    page = path.read_text()
    (tmp_path / "broken.html").write_text(page.replace("base64,iVBOR", "base64,iVxxR", 1))
    assert [problem.split(":")[0] for problem in problems_of(tmp_path / "broken.html")] == ["missing picture"]
    (tmp_path / "absent.html").write_text(re.sub('src="[^"]*"', 'src="absent.png"', page, count=1))
    # the page forbids itself to fetch anything
    absent = {problem.split(":")[0] for problem in problems_of(tmp_path / "absent.html")}
    assert {"console error", "missing picture"} <= absent
    (tmp_path / "script.html").write_text(page.replace("</main>", "<script>nothing()</script></main>"))
    assert [problem.split(":")[0] for problem in problems_of(tmp_path / "script.html")] == ["error"]
