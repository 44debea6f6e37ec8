"""The live page in Chromium: enter, answer by keys, lead, correct, a phone, a second person, what axe finds."""

import json
import sys

import pytest
from PIL import Image

from pages import answer, begin, people, scrolls, until, violations
from pixelherd.datasets.readers.demo import scene
from unit.places import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

pytest.importorskip("starlette", reason="the page is missing: pip install -e '.[label]'")

from live import Live

pytestmark = pytest.mark.browser

HOSTILE = '</script><img src=x onerror="document.title=1">&"'


@pytest.fixture
def live(tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(4):
        Image.fromarray(scene(5, number, (96, 128))[0]).save(tmp_path / "photos" / f"<b>street & {number}.png")
    found = Live(tmp_path / "photos").start()
    yield found
    found.end()


@pytest.fixture
def opened(browser, live):
    with people(browser, live) as open_page:
        yield open_page


def asked_of_two(opened, live):
    """A page where Ann is asked for one of two classes."""
    live.add_class("sky")
    live.add_class("road")
    page = opened("Ann")
    until(page, "state.classes.length === 2")
    begin(page)
    return page


def test_from_the_address_to_answers_by_keys(opened, live):
    page = opened("Ann")
    for name in ("sky", HOSTILE, "road"):
        page.fill("#adds", name)
        page.keyboard.press("Enter")
        until(page, f"state.classes.some(each => each.name === {json.dumps(name)})")
    assert violations(page) == []
    begin(page)
    assert page.title() == "Label photos-labels" and not scrolls(page)
    assert page.evaluate("document.activeElement.dataset.label") == "1", "classes come first"
    for key in "123123":
        answer(page, key)
    state = live.wait(lambda: (found := live.state())["answers"] == 6 and found["head"] and found)
    assert [each["labels"] for each in state["classes"]] == [2, 2, 2]
    until(page, "paint && paint.image === target().image")
    assert violations(page) == [] and "⏎" not in page.inner_text("#ask")

    # undo shows the pixel that is asked again; a click chooses any pixel, escape goes back
    page.keyboard.press("Backspace")
    until(page, "chosen && !busy")
    page.keyboard.press("3")
    until(page, "!chosen && !busy && state.answers === 6")
    box = page.locator("#full").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    until(page, "chosen")
    asked = page.evaluate("question.id")
    page.keyboard.press("1")
    until(page, "!chosen && !busy && state.answers === 7")
    assert page.evaluate("question.id") == asked, "what is asked stays asked"
    page.click("#past button >> nth=0")
    until(page, "chosen && chosen.label === 1")
    page.keyboard.press("Escape")
    until(page, "!chosen")

    # wheel and drag, and nothing leaves the page
    before = page.evaluate("view.scale")
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.wheel(0, -400)
    until(page, f"view.scale > {before}")
    page.keyboard.press("/")
    until(page, f"Math.abs(view.scale - {before}) < 1e-6")

    for button, dialog in (("#edit", "#editing"), ("#look", "#gallery"), ("#finish", "#finishing")):
        page.click(button)
        page.wait_for_selector(f"{dialog}[open]")
        assert violations(page) == [], dialog
        page.keyboard.press("Escape")
    assert page.title() == "Label photos-labels", "no name is run as markup"


def test_a_page_goes_on_when_its_server_was_killed(opened, live):
    page = asked_of_two(opened, live)
    answer(page, "Space")
    until(page, "image === question.image && !busy")
    live.kill()
    page.evaluate("void answer(1)")  # its promise waits for the server
    page.wait_for_selector("#offline:not([hidden])")
    assert "Your answer waits here" in page.inner_text("#offline")
    live.start()
    until(page, "!busy && document.body.dataset.answered")
    assert live.state()["answers"] == 1 and page.is_hidden("#offline")


def test_an_answer_that_was_on_its_way_outlives_server_and_browser(opened, live):
    page = asked_of_two(opened, live)
    until(page, "image === question.image && !busy")
    asked = page.evaluate("question.id")
    live.kill()
    page.evaluate("void answer(1)")
    page.wait_for_selector("#offline:not([hidden])")
    page.close()
    live.start()
    again = opened("Ann", context=page.context)
    begin(again)
    state = live.state()
    assert state["answers"] == 1 and state["people"] == ["Ann"] and again.evaluate("question.id") != asked


def test_a_page_says_that_its_model_was_killed_and_goes_on(opened, live):
    page = asked_of_two(opened, live)
    live.model().kill()
    page.wait_for_selector("#process:not([hidden])")
    assert "it is started anew, and answers are kept" in page.inner_text("#process") and violations(page) == []
    page.evaluate("void answer(1)")
    until(page, "document.querySelector('#process').hidden && state.said === 1")
    until(page, "!busy && question && image === question.image")
    page.evaluate("void answer(2)")
    until(page, "state.said === 2")


def test_a_phone_and_a_second_person(opened, live):
    live.add_class("sky")
    live.add_class("road")
    phone, desk = opened("Bob", 390, 844, has_touch=True), opened("Ann")
    for page in (phone, desk):
        until(page, "state.classes.length === 2")
        begin(page)
    assert phone.evaluate("JSON.stringify([question.image, question.row, question.column])") != desk.evaluate(
        "JSON.stringify([question.image, question.row, question.column])"
    )
    assert not scrolls(phone) and violations(phone) == []
    small = "[...document.querySelectorAll('#work button')].filter(b => b.offsetParent && b.offsetHeight < 44).length"
    assert phone.evaluate(small) == 0
    first = "#classes button >> nth=0"
    until(phone, "question && image === question.image && !busy")
    phone.tap(first)
    until(phone, "document.body.dataset.answered")
    until(desk, "state.people.includes('Bob') && state.answers === 1")
