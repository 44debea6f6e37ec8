"""What holds after answers, corrections, second opinions and undo; what rounds learn; intervals."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelherd.labelling import state
from pixelherd.labelling.state import Labels
from pixelherd.labelling.store import UNKNOWN, Answer, Checkpoint, Class, Said

A, B, C = ("a", 0, 0), ("a", 0, 1), ("b", 3, 2)
SAME = {number: number for number in range(9)}


def log(*said: tuple) -> list[Answer]:
    """Answers of place, label, annotator and what they replace."""
    return [
        Answer(number, *place, label, who, float(number), replaces=replaces)
        for number, (place, label, who, replaces) in enumerate(said, 1)
    ]


def appended(answers: list[Answer], said: list[Said]) -> list[Answer]:
    more = [Answer(len(answers) + number, **vars(each), time=0.0) for number, each in enumerate(said, 1)]
    return answers + more


def test_a_correction_holds_and_a_second_opinion_stands_beside():
    labels = Labels.of(log((A, 1, "ann", None), (A, 2, "ann", 1), (B, 1, "ann", None), (B, 1, "bob", None)))
    assert labels.label(A, SAME) == 2 and labels.label(B, SAME) == 1 and labels.label(C, SAME) is None
    assert (labels.compared, labels.agreed) == (1, 1) and labels.conflicts(SAME) == []


def test_people_who_disagree_leave_a_pixel_open_until_somebody_settles_it():
    answers = log((A, 1, "ann", None), (A, 2, "bob", None))
    labels = Labels.of(answers)
    assert labels.label(A, SAME) is None and labels.conflicts(SAME) == [A]
    assert (labels.compared, labels.agreed) == (1, 0)
    assert labels.label(A, {1: 3, 2: 3}) == 3, "merged, both say the same"
    assert Labels.of(log((A, 1, "ann", None), (A, 2, "bob", None), (A, 2, "ann", 2))).label(A, SAME) == 2


def test_merges_go_on_to_where_a_class_was_merged_later():
    classes = [Class(1, "a", "", "", 2), Class(2, "b", "", "", 3), Class(3, "c", "", ""), Class(4, "d", "", "")]
    assert state.merged(classes) == {UNKNOWN: UNKNOWN, 1: 3, 2: 3, 3: 3, 4: 4}
    assert state.positions(classes) == {UNKNOWN: 255, 1: 0, 2: 0, 3: 0, 4: 1}


def test_rounds_hold_the_labels_of_today_where_they_were_first_given():
    answers = log(
        (A, 1, "ann", None),
        (B, UNKNOWN, "ann", None),
        (C, 2, "ann", None),
        (A, 2, "ann", 1),
        (("c", 1, 1), 1, "ann", None),
    )
    labels, images = Labels.of(answers), {"a", "b", "c"}
    label_of = {UNKNOWN: 255, 1: 0, 2: 1}
    rows = state.training_rows(labels, label_of, set(), images)
    checkpoints = [Checkpoint(1, 2, 0.0), Checkpoint(2, 4, 0.0)]
    assert state.rounds_of(rows, labels, checkpoints) == [[(*A, 1), (*B, 255)], [(*C, 1)]]
    assert state.rounds_of(rows, labels, [Checkpoint(1, 3, 0.0)]) == [[(*A, 1), (*B, 255), (*C, 1)]]
    without = state.training_rows(labels, label_of, {A}, images)
    assert state.rounds_of(without, labels, checkpoints) == [[(*B, 255), (*C, 1)]], "no round without a class"
    assert state.training_rows(labels, label_of, set(), {"b"}) == [(*C, 1)], "images that are gone wait"


def test_undo_says_again_what_was_said_before():
    answers = log((A, 1, "ann", None), (A, 2, "bob", None), (A, 3, "ann", 2))
    labels = Labels.of(answers)
    undone = appended(answers, state.undo(answers, labels, "ann"))
    assert Labels.of(undone).conflicts(SAME) == [A], "both opinions are there again"
    first = log((A, 1, "ann", None))
    taken_back = appended(first, state.undo(first, Labels.of(first), "ann"))
    assert Labels.of(taken_back).opinions == {} and state.undo(taken_back, Labels.of(taken_back), "ann") == []
    assert state.undo(log((A, 1, "ann", None), (A, 2, "bob", None)), Labels.of(answers), "ann") == []


labels_of_one = st.lists(st.tuples(st.sampled_from([A, B, C]), st.integers(0, 3)), min_size=1, max_size=12)


@given(labels_of_one)
def test_undo_of_everything_leaves_nothing(given):
    answers: list[Answer] = []
    states = [{}]
    for place, label in given:
        last = Labels.of(answers).last.get(place)
        answers = appended(answers, [Said(*place, label, "ann", replaces=last)])
        now = Labels.of(answers)
        states.append({place: now.label(place, SAME) for place in now.opinions})
    for before in states[-2::-1]:
        answers = appended(answers, state.undo(answers, Labels.of(answers), "ann"))
        now = Labels.of(answers)
        assert {place: now.label(place, SAME) for place in now.opinions} == before
    assert state.undo(answers, Labels.of(answers), "ann") == []


@given(st.integers(1, 400), st.data())
def test_wilson_is_the_interval_of_the_score_test(asked, data):
    right = data.draw(st.integers(0, asked))
    low, high = state.wilson(right, asked)
    assert 0 <= low <= right / asked <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:
            z = abs(right / asked - bound) / math.sqrt(bound * (1 - bound) / asked)
            assert z == pytest.approx(state.Z_95, rel=1e-6)
