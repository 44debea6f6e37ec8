"""Who is asked what: no question to two by accident, every tenth held out, some twice, nothing lost by a restart."""

import pytest

from pixelherd.labelling import questions
from pixelherd.labelling.questions import AGAIN, CHOSEN, RANDOM, TWICE, Desk, Proposal
from pixelherd.labelling.store import UNKNOWN, Store

SIZE = (40, 60)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "answers.sqlite")
    yield store
    store.close()


def desk_of(store, count=300) -> Desk:
    desk = Desk(store, SIZE)
    desk.photographs = [f"image {number}" for number in range(5)]
    desk.proposals = [Proposal((f"image {n % 5}", n // 60, n % 60), 1, 0.5) for n in range(count)]
    return desk


def answer(desk, annotator, label=1):
    asked = desk.next(annotator)
    desk.answer(asked.place, label, annotator, asked.id)
    return asked


def test_one_question_in_ten_is_random_and_nothing_is_asked_twice_of_one_person(store):
    desk = desk_of(store)
    asked = [answer(desk, "ann") for _ in range(100)]
    assert [each.reason for each in asked].count(RANDOM) == 10
    assert [number for number, each in enumerate(asked, 1) if each.reason == RANDOM] == list(range(10, 101, 10))
    assert len({each.place for each in asked}) == 100
    assert desk.held_out == {each.place for each in asked if each.reason == RANDOM}
    rows = {each.place[0] for each in asked if each.reason == RANDOM}
    assert len(rows) > 2, "of any photograph"


def test_two_people_are_asked_the_same_only_where_a_second_opinion_is_wanted(store):
    desk, asked = desk_of(store), {"ann": [], "bob": []}
    for _ in range(80):
        open_now = {who: desk.next(who) for who in asked}
        assert open_now["ann"].place != open_now["bob"].place
        for who, question in open_now.items():
            assert desk.next(who) == question, "asked again until it is answered"
            desk.answer(question.place, 1, who, question.id)
            asked[who].append(question)
    twice = [each for who in asked for each in asked[who] if each.reason == TWICE]
    first = [each.place for who in asked for each in asked[who] if each.reason != TWICE]
    assert len(first) == len(set(first)) and {each.place for each in twice} <= set(first)
    assert 0.03 < len(twice) / len(first) < 0.25 and desk.labels.compared == desk.labels.agreed == len(twice)


def test_a_restart_asks_again_what_is_open_and_keeps_what_was_left(store):
    desk = desk_of(store)
    left = desk.next("ann")
    desk.skip(left.id, "ann")
    question = desk.next("ann")
    again = desk_of(store)
    assert again.next("ann") == question and left.place in again.taken()
    assert again.next("bob").place not in (question.place, left.place)
    again.answer(question.place, UNKNOWN, "ann", question.id)
    assert all(answer(again, "ann").place != left.place for _ in range(20))


def test_a_question_that_nobody_answers_goes_to_another_in_the_end(store, monkeypatch):
    desk = desk_of(store)
    question = desk.next("ann")
    assert desk.next("bob").place != question.place
    desk.skip(desk.next("bob").id, "bob")
    monkeypatch.setattr(questions, "PATIENCE_SECONDS", -1.0)
    assert desk.next("bob").place == question.place


def test_an_answer_that_the_model_contradicts_comes_back_once(store):
    desk = desk_of(store)
    asked = [answer(desk, "ann") for _ in range(6)]
    desk.doubtful = [asked[0].place, asked[3].place]
    seen = [answer(desk, "ann", label=2) for _ in range(20)]
    assert [each.place for each in seen if each.reason == AGAIN] == [asked[0].place, asked[3].place]
    places = [number for number, each in enumerate(seen) if each.reason == AGAIN]
    assert places[1] - places[0] >= questions.APART
    assert [each.label for each in desk.labels.opinions[asked[0].place]] == [2], "a second look replaces the first"


def test_corrections_replace_and_a_late_answer_of_another_is_an_opinion(store):
    desk = desk_of(store)
    question = desk.next("ann")
    desk.answer(question.place, 1, "bob")
    desk.answer(question.place, 2, "ann", question.id)
    assert desk.labels.conflicts({1: 1, 2: 2, 0: 0}) == [question.place]
    desk.answer(question.place, 2, "bob")
    assert [each.annotator for each in desk.labels.opinions[question.place]] == ["bob"]
    assert desk.undo("bob") == question.place and len(desk.labels.opinions[question.place]) == 2
    assert desk.undo("nobody") is None


def test_an_answer_sent_again_counts_once(store):
    desk = desk_of(store)
    question = desk.next("ann")
    first = desk.answer(question.place, 1, "ann", question.id, "receipt-1")
    assert desk.answer(question.place, 1, "ann", question.id, "receipt-1") == first
    assert len(store.answers()) == 1 and len(desk.labels.opinions) == 1


def test_without_proposals_nobody_is_asked(store):
    desk = Desk(store, SIZE)
    assert desk.next("ann") is None and not desk.is_ready() and desk.ahead() == []
    desk.proposals = [Proposal(("a", 1, 1), None, 0.0)]
    assert desk.next("ann").reason == CHOSEN and desk.next("bob") is None and not desk.is_ready()
