"""What the page asks and is told, with a model that says nothing by itself."""

import asyncio
import json

import pytest

from pixelherd.errors import UserError
from pixelherd.labelling.learning.loop import ANSWERS, MASKS, Told
from pixelherd.labelling.store import Class
from pixelherd.labelling.web.site import accuracy, advice, check_class


def propose(site, count=30, image="a"):
    site.told(Told("proposals", [((image, n, 3), 1, 0.8) for n in range(count)]))


def answer(site, question, label, annotator="ann", **more):
    said = {name: question[name] for name in ("image", "row", "column")}
    more = {"question": question["id"], "receipt": f"receipt {question['id']}", **more}
    return site.do("answer", {"annotator": annotator, **said, "label": label, **more})


def test_questions_come_when_the_model_proposes_and_answers_count_at_once(site):
    assert site.do("next", {"annotator": "ann"})["question"] is None and not site.state()["ready"]
    propose(site)
    assert site.state()["ready"]
    question = site.do("next", {"annotator": "ann"})["question"]
    assert (question["image"], question["row"]) == (0, 0) and question["belief"] == {"label": 1, "probability": 0.8}
    found = answer(site, question, 2)
    assert site.store.answers()[-1].label == 2 and found["question"]["row"] == 1 and found["past"][0]["label"] == 2
    assert site.state()["answers"] == 1 and site.state()["people"] == ["ann"]
    about, standing = site.worker.sent[-1]
    assert about == ANSWERS and standing.said == 1 and standing.views == ("a",) and ("a", 1, 3) in standing.taken
    assert [each.name for each in standing.classes] == ["sky", "road"]


def test_twenty_answers_end_a_round_and_what_the_checkpoint_finds_is_told(site):
    propose(site)
    question = site.do("next", {"annotator": "ann"})["question"]
    for number in range(23):
        assert not site.worker.asked, number
        question = answer(site, question, 1 + number % 2)["question"]
        if site.worker.asked:
            break
    ((about, future),) = site.worker.asked
    assert about == "checkpoint" and len(site.store.checkpoints()) == 1
    future.set_result({"rounds": 1, "moved": None, "doubtful": [("a", 0, 3)]})
    assert site.state()["rounds"] == 1 and "doubtful" not in site.state()
    assert site.do("next", {"annotator": "bob"})["question"]["reason"] == "again"


def test_masks_follow_the_checkpoint_or_are_not_begun(site):
    site.do("masks", {"annotator": "ann"})
    assert site.state()["masks"]["of"] == 2
    site.worker.asked[0][1].set_result(None)  # there is nothing to learn yet
    assert site.state()["masks"] is None and (MASKS, None) not in site.worker.sent
    site.do("masks", {"annotator": "ann"})
    site.worker.asked[1][1].set_result({"rounds": 1, "moved": None, "doubtful": []})
    assert (MASKS, None) in site.worker.sent
    site.told(Told(MASKS, {"done": 2, "of": 2, "folder": "here"}))
    assert site.state()["masks"] == {"done": 2, "of": 2, "folder": "here"}


def test_how_the_process_is_is_told_until_it_learns_again(site):
    site.told(Told("restarting", "it was killed"))
    assert site.state()["process"] == "it was killed"
    site.told(Told("mistake", "the disk is full"))
    model = {"version": 3, "right": 0, "asked": 0, "head": True, "said": 0, "painted": {"a": (3, b"png")}}
    site.told(Told("model", model))
    assert site.state()["process"] is None and site.state()["mistake"] == "the disk is full"
    site.told(Told("mistake", None))
    assert site.state()["mistake"] is None
    site.told(Told("failed", "it ends again and again"))
    assert site.state()["process"] == "it ends again and again"


def test_a_picture_of_this_version_is_there_at_once_and_another_is_asked_for(site):
    model = {"version": 3, "right": 0, "asked": 0, "head": True, "said": 0, "painted": {"a": (3, b"png")}}
    site.told(Told("model", model))
    assert site.painted(0).result(0) == (3, b"png") and not site.worker.asked
    assert not site.painted(1).done() and site.worker.asked[0][0] == "paint"
    site.told(Told("model", model | {"version": 4, "painted": {}}))
    assert not site.painted(0).done()


def test_photographs_are_named_by_numbers_that_are_there(site):
    assert site.picture(1, True).name == "kb-small.jpg" and site.picture(0, False).name == "ka.jpg"
    for wrong in (-1, 2):
        with pytest.raises(UserError, match="no photograph"):
            site.picture(wrong, True)
    site.store.add_images(["c"])
    site.told(Told("reading", {"read": 3, "photographs": 3, "unreadable": [], "new": [("c", "kc")]}))
    assert site.picture(2, True).name == "kc-small.jpg"


@pytest.mark.parametrize(
    ("what", "content", "words"),
    [
        ("close", {}, "no request"),
        ("next", [], "next"),
        ("next", {"annotator": ""}, "annotator"),
        ("next", {"annotator": "a", "more": 1}, "more"),
        ("skip", {"annotator": "a", "question": "1"}, "question"),
        ("class", {"annotator": "a", "id": 9, "name": "x", "colour": "#000000", "key": ""}, "not there"),
        ("class", {"annotator": "a", "id": 1, "name": "x", "colour": "red", "key": ""}, "colour"),
        (
            "class",
            {"annotator": "a", "id": 1, "name": "x", "colour": "#000000", "key": "", "merged_into": 1},
            "merged",
        ),
    ],
)
def test_requests_that_are_not_understood_change_nothing(site, what, content, words):
    before = site.store.classes()
    with pytest.raises(UserError, match=words):
        site.do(what, content)
    assert site.store.classes() == before and not site.store.answers()


def test_a_slow_page_gets_the_latest_alone(site):
    async def listen() -> list[str]:
        queue = site.listen()
        for share in ("first", "last"):
            site._facts["process"] = share
            site._spread(json.dumps(site.state()))
        site.leave(queue)
        site._spread("nobody hears this")
        return [queue.get_nowait() for _ in range(queue.qsize())]

    (told,) = asyncio.run(listen())
    assert json.loads(told)["process"] == "last"


def test_what_came_since_the_last_checkpoint_becomes_a_round_at_the_end(site):
    propose(site)
    question = site.do("next", {"annotator": "ann"})["question"]
    for label in (1, 2, 1):
        question = answer(site, question, label)["question"]
    site.close()
    assert site.worker.sent[-1][0] == "end" and site.store.checkpoints()[-1].answer == 3
    assert site.project.study_file.is_file()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Class(0, "Sky", "#000000", ""), "there is a class 'sky' already"),
        (Class(0, "空", "#000000", ""), "needs a letter"),
        (Class(0, "class 3", "#000000", ""), "by its number"),
        (Class(0, "tree", "#000000", "1"), "the key 1 is that of 'sky'"),
    ],
)
def test_a_class_has_to_go_with_the_others(given, words):
    with pytest.raises(UserError, match=words):
        check_class(given, [Class(1, "sky", "#000000", "1"), Class(2, "road", "#000000", "")])


def test_whether_to_go_on_is_one_sentence():
    two = [{"name": "sky", "labels": 9}, {"name": "road", "labels": 9}]
    assert "two classes" in advice(two[:1], None, None)
    assert "fewer than 3 labels of tree" in advice([*two, {"name": "tree", "labels": 2}], 0.0, None)
    assert "too early" in advice(two, None, None)
    estimate = accuracy(9, 10)
    assert accuracy(9, 9) is None and estimate["share"] == 0.9 and estimate["low"] < 0.9 < estimate["high"]
    assert advice(two, 0.05, estimate).startswith("Go on: 5.0 %")
    assert advice(two, 0.01, estimate).startswith("You may stop: 1.0 %")
