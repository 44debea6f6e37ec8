"""Answers that contradict the model."""

import numpy as np
import pytest

from pixelherd.annotation.contradictions import contradictions
from pixelherd.heads.settings import LinearSettings
from pixelherd.heads.sources import Labelled

CLASSES = 4


def answers(labels, seed=0) -> Labelled:
    """Three pixels an image, in clusters of their true classes, which are ``labels``."""
    vectors = np.eye(CLASSES, 8)[labels] + 0.1 * np.random.default_rng(seed).normal(size=(len(labels), 8))
    return Labelled(vectors.astype(np.float16), np.arange(len(labels)) // 3, np.asarray(labels))


def test_wrong_answers_come_first():
    truth = np.random.default_rng(1).choice([0, 1, 3], 60)
    labelled = answers(truth)
    given = truth.copy()
    wrong = [4, 31, 50]
    given[wrong] = np.where(truth[wrong] == 0, 1, 0)
    given[10] = 255
    found = contradictions(Labelled(labelled.vectors, labelled.images, given), CLASSES, LinearSettings())
    assert sorted(found.places[:3]) == wrong
    assert found.predicted[:3].tolist() == truth[found.places[:3]].tolist()
    assert (np.diff(found.confidence) <= 0).all() and found.confidence[2] > 0.5
    assert found.told == 59, "who cannot tell contradicts nobody"


def test_right_answers_contradict_nothing():
    found = contradictions(answers(np.arange(60) % 3), CLASSES, LinearSettings())
    assert len(found.places) == 0 and found.told == 60


@pytest.mark.parametrize("labels", [[2] * 9, [0, 0, 0, 1, 1, 1], [255, 255, 255, 1, 1, 0]])
def test_too_few_answers_say_nothing(labels):
    """One class, or classes in one image each, which a fit without it does not know."""
    labelled = Labelled(answers(np.minimum(labels, 3)).vectors, np.arange(len(labels)) // 3, np.array(labels))
    found = contradictions(labelled, CLASSES, LinearSettings())
    assert found.told == len(found.places) == 0
