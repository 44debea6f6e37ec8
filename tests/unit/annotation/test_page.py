"""The page that a person labels with: the same bytes, nothing let out of its JSON, real clicks and keys in Chromium."""

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

from pixelherd.annotation import page
from pixelherd.annotation.oracle import read_answers
from pixelherd.datasets.classes import ClassInfo
from unit.places import REPOSITORY

TEMPLATE = (REPOSITORY / "workflow" / "report" / "annotation.html.j2").read_text()
HOSTILE = '</script><script>hacked=1</script><img src=x onerror="hacked=1">,"&amp; ü\u2028'
CLASSES = [ClassInfo("road", (255, 0, 0)), ClassInfo(HOSTILE, (0, 255, 0)), ClassInfo("sky", (0, 0, 255))]
SIZE = (8, 16)
ASKED = [("a", 3, 4), (HOSTILE, 0, 0), ("a", 7, 15), ("b, c", 2, 1), (HOSTILE, 5, 9)]
"""Order of labelling: 0, 2 (of image a), 1, 4 (of the hostile one), 3."""


def shown(name: str, seed: int, predicted: bool) -> page.Shown:
    generator = np.random.default_rng(seed)
    image = Image.fromarray(generator.integers(0, 256, (40, 80, 3), np.uint8))
    prediction = generator.integers(0, len(CLASSES), SIZE).astype(np.uint8) if predicted else None
    return page.Shown(name, image, prediction)


def make(predicted=True, classes=CLASSES, number=1, calibrated=None, **more) -> str:
    run, answers = "mine/ddpm/edald/budget-5/seed-0", "results/labels.csv"
    asked = page.Questions(run, number, ASKED, SIZE, classes, answers, calibrated)
    images = [shown(name, seed, predicted) for seed, name in enumerate(("a", HOSTILE, "b, c"))]
    return page.page(TEMPLATE, asked, images, **more)


def content_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', page)[1])


def test_names_stay_in_the_json_and_the_bytes_are_the_same():
    page = make()
    assert page == make() and "hacked=1</script>" not in page and "onerror" not in page.replace('onerror=\\"', "")
    content = content_of(page)
    assert [each["name"] for each in content["classes"]] == [each.name for each in CLASSES]
    assert [each["id"] for each in content["images"]] == ["a", HOSTILE, "b, c"]
    assert content["asked"] == [[0, 3, 4], [1, 0, 0], [0, 7, 15], [2, 2, 1], [1, 5, 9]]
    assert content_of(make(predicted=False))["key"] == content["key"], "answers survive another prediction"
    assert content_of(make(number=2))["key"] != content["key"]


def test_progress_is_a_table_and_curves():
    nan = float("nan")
    rows = [
        {"round": 0.0, "labelled_pixels": 5.0, "cannot_tell": 0.0, "agreement": nan, "kappa": nan, "entropy": 1.5},
        {"round": 1.0, "labelled_pixels": 9.0, "cannot_tell": 1.0, "agreement": 0.5, "kappa": 0.25, "entropy": 1.0},
    ]
    page = make(progress=rows, counts=[4, 5, 0])
    assert '<th scope="row">1</th><td>9</td><td>1</td><td>0.500</td><td>0.250</td><td>1.000</td>' in page
    assert "<td>–</td><td>–</td><td>1.500</td>" in page and page.count("<polyline") == 1, "one agreement is no curve"
    assert '<th scope="row">road</th><td>4</td>' in page and "Is it time to stop?" not in make()


@pytest.fixture
def opened(browser, watch, tmp_path):
    """Opens a page of its own profile from disk; every message of the console fails the test at its end."""
    context, watched = browser.new_context(accept_downloads=True), []

    def opened(html: str, name: str = "page.html"):
        path = tmp_path / name
        path.write_text(html, encoding="utf-8")
        page = context.new_page()
        watched.append(watch(page, path))
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]")
        return page

    yield opened
    context.close()
    assert [line for each in watched for line in each] == []


def saved(page, tmp_path) -> list[int | None]:
    """The answers of a downloaded labels.csv."""
    with page.expect_download() as waiting:
        page.click("#download")
    assert waiting.value.suggested_filename == "labels.csv"
    waiting.value.save_as(tmp_path / "labels.csv")
    return read_answers(tmp_path / "labels.csv", ASKED, 1, ["road", "1", "sky"])


def where(page) -> str:
    return page.inner_text("#where").split(",")[0]


@pytest.mark.browser
def test_clicks_answer_undo_survive_a_reload_and_download(opened, tmp_path):
    page = opened(make())
    assert where(page) == "Pixel 1 of 5" and page.inner_text("#counts") == "0 of 5 answered"
    page.click("#classes button:has-text('road')")
    assert where(page) == "Pixel 2 of 5"
    page.click("#classes button[data-label='1']")
    page.click("#skip")
    page.click("#classes button[data-label='255']")
    assert page.inner_text("#counts") == "3 of 5 answered"
    page.click("#undo")
    assert where(page) == "Pixel 4 of 5" and page.inner_text("#counts") == "2 of 5 answered"
    page.click("#classes button[data-label='2']")
    assert saved(page, tmp_path) == [0, None, 1, None, 2]
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert page.inner_text("#counts") == "3 of 5 answered" and where(page) == "Pixel 5 of 5"
    page.click("#undo")  # what was answered before the reload can be undone too
    page.click("#classes button[data-label='255']")
    page.click("#classes button[data-label='0']")
    assert page.is_hidden("#done") and where(page) == "Pixel 3 of 5", "back to the skipped one"
    page.click("#classes button[data-label='2']")
    assert page.is_visible("#done") and "put it at results/labels.csv" in page.inner_text("#done")
    assert saved(page, tmp_path) == [0, 2, 1, 0, 255]
    assert page.evaluate("typeof hacked") == "undefined"


@pytest.mark.browser
def test_the_keyboard_alone_is_enough(opened, tmp_path):
    page = opened(make())
    press = page.keyboard.press
    for key in ("1", "3", "Space", "0", "Backspace", "2", "ArrowLeft", "ArrowRight", "+", "-", "."):
        press(key)
    assert page.get_attribute("#overlay", "aria-pressed") == "true"
    assert page.inner_text("#counts") == "3 of 5 answered" and where(page) == "Pixel 5 of 5"
    press("ArrowLeft")  # change an answer: on to the next pixel without one
    press("1")
    press("0")
    press("3")
    assert page.is_visible("#done")
    # buttons are reached with Tab, and Space on a button presses it instead of skipping
    page.focus("#undo")
    press("Space")
    assert page.inner_text("#counts") == "4 of 5 answered"
    press("3")
    page.focus("#download")
    with page.expect_download() as waiting:
        press("Enter")
    waiting.value.save_as(tmp_path / "labels.csv")
    assert read_answers(tmp_path / "labels.csv", ASKED, 1, ["road", "1", "sky"]) == [0, 2, 2, 255, 0]
    assert (
        page.get_attribute("#full", "aria-label")
        == f"Image {HOSTILE} with the pixel at row 0, column 0 of 8 by 16 marked"
    )
    assert page.inner_text("#said").startswith("sky.")


@pytest.mark.browser
def test_the_pixel_is_marked_where_it_is(opened):
    """Row 7, column 15 of 8 by 16 is the last one: its footprint lies in the lower right corner of the image."""
    page = opened(make())
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("body[data-drawn='2']")
    marked = page.evaluate(
        """() => {
            const canvas = document.getElementById("full"), { width, height } = canvas;
            const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
            const at = (x, y) => pixels[4 * (Math.floor(y) * width + Math.floor(x))];
            const brightest = (x, y) => Math.max(...[-1, 0, 1].flatMap(dx => [-1, 0, 1].map(dy => at(x + dx, y + dy))));
            const scale = width / 80, x = 77.5 * scale, y = 37.5 * scale, radius = Math.max(12, 10 * scale);
            return [brightest(x - radius, y), brightest(x, y - radius), brightest(x - 1.5 * radius, y)];
        }"""
    )
    assert marked == [255, 255, 255], "the ring and the cross are there"


@pytest.mark.browser
def test_answers_can_be_taken_from_a_file_and_classes_be_found_by_name(opened, tmp_path):
    classes = [ClassInfo(f"class {number}", (number, 0, 0)) for number in range(60)]
    page = opened(make(predicted=False, classes=classes))
    assert page.is_hidden("#overlay")
    page.keyboard.press("z")
    page.keyboard.press("/")
    page.keyboard.type("class 52")
    assert page.locator("#classes button:visible").count() == 1
    page.keyboard.press("Enter")
    assert page.inner_text("#counts") == "2 of 5 answered"
    with open(tmp_path / "mine.csv", "w", newline="", encoding="utf-8") as file:
        lines = [[1, HOSTILE, 0, 0, "class 7"], [1, "b, c", 2, 1, "unknown"], [1, "b, c", 9, 9, 1], [0, "a", 3, 4, 1]]
        csv.writer(file).writerows([["round", "image", "row", "column", "label"], *lines])
    page.set_input_files("#open", tmp_path / "mine.csv")
    page.wait_for_selector("#counts:has-text('4 of 5')")
    assert "2 answers taken from the file, 2 lines left out" in page.inner_text("#said")
    with page.expect_download() as waiting:
        page.click("#download")
    waiting.value.save_as(tmp_path / "labels.csv")
    labels = read_answers(tmp_path / "labels.csv", ASKED, 1, [each.name for each in classes])
    assert labels == [34, 7, 52, 255, None]


@pytest.mark.browser
def test_names_that_a_spreadsheet_would_run_are_escaped_and_taken_over(opened, tmp_path):
    classes = [ClassInfo(name, (number, 0, 0)) for number, name in enumerate(["=road", "'=road", "-5"])]
    page = opened(make(predicted=False, classes=classes))
    for key in "123":
        page.keyboard.press(key)
    with page.expect_download() as waiting:
        page.click("#download")
    waiting.value.save_as(tmp_path / "labels.csv")
    with open(tmp_path / "labels.csv", newline="", encoding="utf-8") as file:
        written = [row[-1] for row in csv.reader(file)][1:]
    assert sorted(written) == ["''=road", "'=road", "-5"]
    again = opened(make(predicted=False, classes=classes, number=1), "again.html")
    again.set_input_files("#open", tmp_path / "labels.csv")
    again.wait_for_selector("#said:has-text('3 answers taken from the file')")


@pytest.mark.browser
def test_two_tabs_of_a_page_share_their_answers(opened, tmp_path):
    first, second = opened(make()), opened(make())
    first.keyboard.press("1")
    second.wait_for_selector("#counts:has-text('1 of 5')")
    # as if the other tab had not heard of it yet
    second.evaluate("answers = {}; past = []")
    second.keyboard.press("ArrowRight")
    second.keyboard.press("3")
    assert second.inner_text("#counts") == "2 of 5 answered"
    first.wait_for_selector("#counts:has-text('2 of 5')")
    assert where(first) == "Pixel 2 of 5"
    for each in (first, second):
        assert saved(each, tmp_path) == [0, None, 2, None, None]
    first.keyboard.press("Backspace")
    assert saved(first, tmp_path) == [0, None, None, None, None]


@pytest.mark.browser
def test_a_key_held_down_answers_one_pixel(opened):
    page = opened(make())
    for _ in range(4):
        page.keyboard.down("1")  # from the second time on a repetition
    page.keyboard.up("1")
    assert page.inner_text("#counts") == "1 of 5 answered"
    for _ in range(4):
        page.keyboard.down("ArrowRight")
    assert where(page) == "Pixel 5 of 5"


@pytest.mark.browser
def test_answers_of_a_file_can_be_undone_and_numbers_are_no_names(opened, tmp_path):
    page = opened(
        make(classes=[ClassInfo("road", (255, 0, 0)), ClassInfo("2", (0, 255, 0)), ClassInfo("0", (0, 0, 255))])
    )
    page.keyboard.press("2")
    page.focus("#open")
    (tmp_path / "mine.csv").write_text("round,image,row,column,label\n1,a,3,4,0\n1,a,7,15,2\n")
    page.set_input_files("#open", tmp_path / "mine.csv")
    page.wait_for_selector("#counts:has-text('2 of 5')")
    assert saved(page, tmp_path) == [0, None, 2, None, None]
    for _ in range(2):
        page.keyboard.press("Backspace")
    assert saved(page, tmp_path) == [1, None, None, None, None]


@pytest.mark.browser
def test_answers_go_by_the_names_of_classes(opened, tmp_path):
    """Classes in another order, one of them gone, leave no answer for another class."""
    page = opened(make())
    for key in ("1", "2", "3", "0"):
        page.keyboard.press(key)
    with page.expect_download() as waiting:
        page.click("#download")
    waiting.value.save_as(tmp_path / "labels.csv")
    lines = (tmp_path / "labels.csv").read_text(encoding="utf-8").split("\n")
    assert lines[1] == "1,a,3,4,road" and lines[3] == "1,a,7,15,1", "a name that no CSV gives back is a number"
    changed = opened(make(classes=[ClassInfo("sky", (0, 0, 255)), ClassInfo("car", (0, 255, 0)), CLASSES[0]]))
    assert changed.inner_text("#counts") == "3 of 5 answered"
    with changed.expect_download() as waiting:
        changed.click("#download")
    waiting.value.save_as(tmp_path / "labels.csv")
    assert read_answers(tmp_path / "labels.csv", ASKED, 1, ["sky", "car", "road"]) == [2, 0, None, None, 255]


def test_names_that_would_not_be_read_back_are_numbers():
    names = ["road", " Sky", "3", "Car", "car", "a\rb", 'Straße, "x"']
    assert page.written([ClassInfo(name, (0, 0, 0)) for name in names]) == [
        "road",
        " Sky",
        2,
        3,
        4,
        5,
        'Straße, "x"',
    ]


@pytest.mark.browser
def test_a_browser_that_keeps_nothing_says_so(opened, browser, tmp_path):
    page = opened(make().replace("localStorage.setItem(", "undefined.setItem("))
    page.keyboard.press("1")
    assert "keeps no answers" in page.inner_text("#warning") and page.inner_text("#counts") == "1 of 5 answered"


@pytest.mark.parametrize("calibrated", [True, False, None])
def test_a_page_tells_whether_confidence_can_be_trusted(calibrated):
    row = {"round": 0, "labelled_pixels": 5, "cannot_tell": 0, "agreement": np.nan, "kappa": np.nan, "entropy": 1.2}
    assert ("is not calibrated" in make(calibrated=calibrated, progress=[row])) == (calibrated is False)
