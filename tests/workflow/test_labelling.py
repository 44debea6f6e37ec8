"""Labelling live: a server and its model as they are, an afternoon with kills, and the same heads by Snakemake."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from PIL import Image

from pages import asked, begin, people, scrolls, until, violations
from pixelherd.datasets.readers.demo import CLASSES, scene
from pixelherd.labelling.store import Store

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "benchmarks"))

pytest.importorskip("starlette", reason="the page is missing: pip install -e '.[label]'")

from live import Ended, Live, Refused  # noqa: E402

SIDE = 96
NAMES = [name for name, *_ in CLASSES]


def draw(folder: Path, numbers: range) -> None:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        image, _ = scene(3, number, (SIDE, SIDE))
        Image.fromarray(image).save(folder / f"street {number:03}.png")


def truth(question: dict, known: int = len(NAMES)) -> int:
    """The number of the class of a question's pixel; 0 where nobody added that class, or it is none."""
    _, labels = scene(3, int(question["name"].split()[1]), (SIDE, SIDE))
    label = int(labels[question["row"], question["column"]])
    return label + 1 if label < known else 0


@pytest.fixture
def live(tmp_path):
    draw(tmp_path / "photos", range(6))
    found = Live(tmp_path / "photos")
    yield found
    found.end()


def add_classes(live: Live, count: int = len(NAMES)) -> None:
    for name in NAMES[:count]:
        live.add_class(name)


def snakemake(live: Live, *asked: str) -> None:
    """Call Snakemake on the written study."""
    command = [sys.executable, "-m", "snakemake", *asked, "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "2"]
    done = subprocess.run(command, cwd=live.project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def repeat(live: Live) -> Path:
    """Have Snakemake run the written study; returns the head of its last round."""
    snakemake(live)
    rounds = yaml.safe_load((live.project / "config.yaml").read_text())["rounds"]
    run = live.project / "results/runs/photographs/encoder/uherding/budget-20/seed-0"
    return run / f"round-{rounds - 1}/head.safetensors"


def own_head(live: Live) -> Path:
    return live.project / "results/annotation/photographs/encoder/uherding/budget-20/seed-0/head.safetensors"


def test_a_page_learns_paints_and_ends_with_masks(live):
    live.start()
    add_classes(live, 4)
    with pytest.raises(Refused, match="there is a class 'sky' already"):
        live.add_class("sky")
    with pytest.raises(Refused, match="needs a letter a-z or a digit"):
        live.add_class("空")
    question = live.ask()
    for _ in range(12):
        answered = live.answer(question, truth(question, 4))
        question = answered["question"] or live.ask()
    state = live.wait(lambda: (found := live.state())["said"] == 12 and found["head"] and found["read"] == 6 and found)
    assert state["answers"] == 12 and state["read"] == state["photographs"] == 6 and state["accuracy"] is None
    painted = live.get(f"paint/{question['image']}")
    (live.project / "paint.png").write_bytes(painted)
    values = np.asarray(Image.open(live.project / "paint.png"))
    ids = {each["id"] for each in state["classes"] if each["labels"]}
    assert values.shape == (SIDE, SIDE, 3) and set(np.unique(values[..., 0]).tolist()) <= ids

    # any pixel may be chosen, corrected and undone
    chosen = {"image": question["image"], "row": 5, "column": 7}
    live.answer(chosen, 1)
    live.answer(chosen, 2)
    view = live.do("view", image=question["image"])["labels"]
    assert [each["label"] for each in view if (each["row"], each["column"]) == (5, 7)] == [2]
    assert live.do("undo")["undone"]["row"] == 5
    view = live.do("view", image=question["image"])["labels"]
    assert [each["label"] for each in view if (each["row"], each["column"]) == (5, 7)] == [1]

    # what there is not is refused, and names of files are no addresses
    for wrong in ({"image": 99}, {"row": SIDE}, {"column": 10**9}, {"label": 77}, {"receipt": "short"}, {"row": "1"}):
        with pytest.raises(Refused):
            live.do("answer", **{**chosen, "label": 1, "receipt": "0123456789", **wrong})
    for path in ("picture/99/small", "picture/0/huge", "picture/..%2f..%2fconfig.yaml/small", "answers.sqlite"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            live.get(path)

    live.do("masks")
    masks = live.wait(lambda: (found := live.state()["masks"]) and found["done"] == found["of"] and found)
    assert masks["of"] == 6
    for number in range(6):
        mask = np.asarray(Image.open(live.project / f"masks/masks/street {number:03}.png"))
        assert mask.shape == (SIDE, SIDE) and mask.max() < 4
    coco = json.loads((live.project / "masks/coco.json").read_text())
    assert len(coco["images"]) == 6 and sum(each["area"] for each in coco["annotations"]) == 6 * SIDE * SIDE
    gallery = json.loads(live.get("gallery"))
    assert len(gallery) == 6 and [each[2] for each in gallery] == sorted((each[2] for each in gallery), reverse=True)
    rows = list(csv.DictReader(live.get("labels.csv").decode().splitlines()))
    assert len(rows) == 13 and {row["label"] for row in rows} <= {*NAMES[:4], "unknown"}


def test_a_killed_model_is_started_anew_and_a_half_written_photograph_is_read_later(live, tmp_path):
    half = tmp_path / "photos" / "street 005.png"
    whole = half.read_bytes()
    half.write_bytes(whole[: len(whole) // 2])
    live.start()
    add_classes(live, 4)
    for _ in range(4):
        question = live.ask()
        live.answer(question, truth(question, 4))
    before = live.wait(lambda: (found := live.state())["said"] == 4 and found["read"] == 5 and found)
    assert len(before["unreadable"]) == 1 and half.name in before["unreadable"][0]

    model = live.model()
    model.kill()
    assert "was killed" in live.wait(lambda: live.state()["process"])
    live.answer({"image": question["image"], "row": 1, "column": 1}, 1)  # while nothing learns
    after = live.wait(lambda: (f := live.state())["said"] == 5 and f["read"] == 5 and f["head"] and f)
    assert after["process"] is None and after["version"] > before["version"]
    assert live.ask()["id"] and live.wait(lambda: live.get(f"paint/{question['image']}"))

    half.write_bytes(whole)
    after = live.wait(lambda: (found := live.state())["read"] == 6 and found)
    assert after["unreadable"] == [] and after["mistake"] is None


def test_the_model_of_a_killed_server_ends_with_it(live):
    live.start()
    model = live.model()
    live.kill()
    limit = time.monotonic() + 60
    while model.is_running() and model.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_server_that_ends_is_noticed_at_once(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(Ended, match="no photographs"):
        Live(tmp_path / "photos").start()


class Person:
    """Somebody who labels on the page, and remembers what it acknowledged."""

    def __init__(self, page, who: str, touches: bool = False) -> None:
        self.page, self.who, self.touches, self.acknowledged = page, who, touches, {}

    def say(self, label: int) -> None:
        """Answer what is in view; the page may still be sending when this returns."""
        button = f"#classes [data-label='{label}']" if label else "#unknown"
        if self.touches:
            self.page.tap(button)
        else:
            self.page.keyboard.press(self.page.evaluate(f"classOf({label})?.key") or "0")

    def answer(self, label: int, while_sending=lambda: None) -> None:
        """Answer the question, and wait until the page was told that the answer is kept."""
        place, before = asked(self.page), self.page.evaluate("document.body.dataset.answered")
        self.say(label)
        while_sending()
        until(self.page, f"!busy && document.body.dataset.answered !== {json.dumps(before)}")
        kept = int(self.page.evaluate("document.body.dataset.answered"))
        self.acknowledged[kept] = (place["row"], place["column"], label, self.who)

    def undo(self) -> None:
        """Take the last answer back, and give it once more."""
        self.page.click("#undo")
        until(self.page, "chosen && !busy && image === chosen.image")
        self.say(next(reversed(self.acknowledged.values()))[2])
        until(self.page, "!chosen && !busy")

    def skip(self) -> None:
        before = asked(self.page)["id"]
        self.page.click("#skip")
        until(self.page, f"!busy && (!question || question.id !== {before})")


@pytest.mark.slow
@pytest.mark.browser
def test_an_afternoon_with_kills_loses_no_answer_and_snakemake_ends_with_its_head(browser, live, tmp_path):
    generator, kills = random.Random(0), 0
    live.start()
    with people(browser, live) as opened:
        ann = Person(opened("Ann"), "Ann")
        for name in NAMES[:6]:
            add_class(ann.page, "#adds", name)
        begin(ann.page)
        bob = Person(opened("Bob", 390, 844, has_touch=True), "Bob", touches=True)
        begin(bob.page)

        def kill() -> None:
            time.sleep(0.3 * generator.random())  # before the answer is sent, while it is, or when it is kept
            live.kill()
            live.start()

        for number in range(100):
            if number == 40:
                ann.page.click("#edit")
                for name in NAMES[6:]:
                    add_class(ann.page, "#another", name)
                ann.page.keyboard.press("Escape")
                until(bob.page, f"state.classes.length === {len(NAMES)}")
            if number == 60:
                draw(tmp_path / "photos", range(6, 9))
                until(ann.page, "state.photographs === 9")
            if number in (30, 70):  # the browser is closed while the page sends an answer
                asked(ann.page)
                ann.say(1)
                ann.page.close()
                ann.page = opened("Ann", context=ann.page.context)
                begin(ann.page)
            who = bob if number > 50 and number % 3 == 0 else ann
            label = truth(asked(who.page), 6 if number < 40 else len(NAMES))
            if generator.random() < 0.1:
                label = 1 + (label + 1) % 6  # a mistake
            killed = number % 5 == 0 and kills < 20
            kills += killed
            who.answer(label, kill if killed else lambda: None)
            if number % 17 == 0:
                who.undo()
            if number % 23 == 0:
                who.skip()
        assert kills == 20
        ann.page.click("#edit")
        ann.page.fill("#table tr:nth-child(2) input[type=text] >> nth=0", "house")
        ann.page.click("#table tr:nth-child(2) button")
        until(ann.page, "state.classes[1].name === 'house'")
        ann.page.keyboard.press("Escape")
        assert violations(ann.page) == [] == violations(bob.page) and not scrolls(bob.page)
    live.end()

    acknowledged = ann.acknowledged | bob.acknowledged
    store = Store(live.project / "answers.sqlite")
    assert store.is_sound()
    answers = {each.id: (each.row, each.column, each.label, each.annotator) for each in store.answers()}
    assert len(acknowledged) == 100 and len(bob.acknowledged) > 10
    assert {kept: answers.get(kept) for kept in acknowledged} == acknowledged
    held_out = {each.place for each in store.questions() if each.reason == "random"}
    assert len(held_out) >= 8
    store.close()
    rows = [
        line
        for path in sorted(own_head(live).parent.glob("round-*/labels.csv"))
        for line in csv.DictReader(path.open())
    ]
    assert not held_out & {(row["image"], int(row["row"]), int(row["column"])) for row in rows}

    # opened once more, the page fits the head of all answers; the study repeats it byte for byte
    live.start()
    live.do("checkpoint")
    rounds = yaml.safe_load((live.project / "config.yaml").read_text())["rounds"]
    live.wait(lambda: live.state()["rounds"] == rounds)
    live.end()
    assert repeat(live).read_bytes() == own_head(live).read_bytes()
    assert (live.project / "results/report.html").is_file()

    # more answers go on from there, and a correction of an old one makes its rounds again
    live.start()
    first = live.wait(lambda: live.do("next", "Ann")["past"])[-1]
    live.answer({name: first[name] for name in ("image", "row", "column")}, 1 + first["label"] % 5, "Ann")
    live.do("checkpoint")
    live.wait(lambda: live.state()["rounds"] >= rounds)
    live.do("masks")
    live.wait(lambda: (found := live.state()["masks"]) and found["done"] == found["of"])
    live.end()
    assert repeat(live).read_bytes() == own_head(live).read_bytes()
    snakemake(live, "predict", "--config", f"predict={{images: {live.photographs}, folder: again}}")
    masks = masks_of(live.project / "masks")
    assert masks and masks == masks_of(live.project / "again")


def masks_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "masks").iterdir()}


def add_class(page, field: str, name: str) -> None:
    page.fill(field, name)
    page.keyboard.press("Enter")
    until(page, f"state.classes.some(each => each.name === {json.dumps(name)})")


def test_names_typed_while_others_are_sent_are_kept(browser, live):
    live.start()
    with people(browser, live) as opened:
        page, held = opened("Ann"), []
        page.route("**/do/class*", lambda route: held.append(route))  # the server is slow
        page.fill("#adds", NAMES[0])
        page.keyboard.press("Enter")
        page.fill("#adds", NAMES[1])
        page.keyboard.press("Enter")
        page.fill("#adds", NAMES[2])

        def let_go(number: int) -> None:
            while len(held) <= number:
                page.wait_for_timeout(20)
            held[number].continue_()

        for number in range(2):
            let_go(number)
            until(page, f"state.classes.length === {number + 1}")
        assert page.input_value("#adds") == NAMES[2]
        assert len({each["key"] for each in live.state()["classes"]}) == 2
        page.keyboard.press("Enter")
        page.fill("#adds", NAMES[0])
        page.keyboard.press("Enter")  # is refused, which the next one does not hide
        page.fill("#adds", NAMES[3])
        page.keyboard.press("Enter")
        for number in (2, 3, 4):
            let_go(number)
        until(page, "state.classes.length === 4")
        assert NAMES[0] in page.text_content("#wrong") and page.is_visible("#wrong")

        # what was changed in other rows, and in the same one since, stays when a row is saved, and so does the cursor
        begin(page)
        page.click("#edit")
        row = [f"#table tr:nth-child({number})" for number in range(4)]
        page.fill(f"{row[1]} input[type=text] >> nth=0", "heaven")
        page.fill(f"{row[2]} input[type=text] >> nth=0", "house")
        page.click(f"{row[1]} button")
        page.fill(f"{row[1]} input[type=text] >> nth=1", "z")
        page.click(f"{row[2]} input[type=text] >> nth=0")
        page.keyboard.press("End")
        page.keyboard.type("s an")
        let_go(5)
        until(page, "element.table.rows[0].querySelector('button').ariaLabel === 'save heaven'")
        page.keyboard.type("d more")
        page.unroute("**/do/class*")
        page.click(f"{row[2]} button")
        until(page, "state.classes[1].name === 'houses and more'")
        page.click(f"{row[1]} button")
        until(page, "state.classes[0].key === 'z'")


def test_the_written_study_gives_the_same_head(live):
    live.start()
    add_classes(live)
    question = live.ask()
    for _ in range(23):
        question = live.answer(question, truth(question))["question"] or live.ask()
    live.wait(lambda: live.state()["rounds"] == 1)
    live.do("checkpoint")
    live.wait(lambda: live.state()["rounds"] == 2)
    live.end()
    assert repeat(live).read_bytes() == own_head(live).read_bytes()


@pytest.mark.slow
def test_a_study_of_a_persons_own_opens_a_page(tmp_path):
    draw(tmp_path / "photos", range(3))
    images = {"kind": "folder", "root": "photos", "train_images": ".", "size": [64, 64]}
    images["classes"] = [{"name": "sky"}, {"name": "road"}]
    study = {
        "datasets": {"mine": images},
        "features": {"f": {"backbone": {"filters": [1, 2]}}},
        "methods": {"uherding": None},
        "oracle": "log",
        "budgets": [20],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(study))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "which `pixelherd label` writes" in done.stderr
    environment = os.environ | {"BROWSER": "true"}
    options = {"cwd": tmp_path, "stderr": subprocess.PIPE, "text": True, "env": environment}
    server = subprocess.Popen([*command, "label"], **options, start_new_session=True)
    try:
        address = next(line.split(" at ")[1].strip() for line in server.stderr if "label at http" in line)
        page = urllib.request.urlopen(address, timeout=60).read().decode()
        assert "<title>Label" in page and "nonce=" in page
    finally:
        os.killpg(server.pid, signal.SIGINT)
        server.wait(120)
