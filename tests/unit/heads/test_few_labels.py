"""The bar that the default head must clear on vectors of the demo: it learns from few labels what a regression learns.

``demo_vectors.npz`` holds 20 context pixels of each of the demo's 80 training images, in the 64 dimensions of largest
variance (92 % of it). Heads learn labels of the first half of the images and predict the second.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from pixelherd.heads import linear
from pixelherd.heads.metrics import calibration_error, confusion, miou, reliability
from pixelherd.heads.settings import LinearSettings
from pixelherd.heads.sources import Labelled

SEEDS = range(8)

CLASSES = 9


@pytest.fixture(scope="module")
def vectors() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("demo_vectors.npz")) as file:
        return dict(file)


def drawn(vectors, count, seed) -> Labelled:
    """``count`` random pixels of the first 40 images."""
    rows = np.random.default_rng(seed).choice(np.flatnonzero(vectors["images"] < 40), count, replace=False)
    labels = vectors["labels"][rows].astype(np.int64)
    return Labelled(vectors["vectors"][rows], vectors["images"][rows].astype(np.int64), labels)


def judged(vectors, predict) -> tuple[float, float]:
    """MIoU and calibration error in percent on the other 40 images, of a function from vectors to probabilities."""
    rows = vectors["images"] >= 40
    target = vectors["labels"][rows]
    probabilities = predict(vectors["vectors"][rows].astype(np.float32))
    predicted, best = probabilities.argmax(1).astype(np.uint8), probabilities.max(1)
    found = confusion(target, predicted, CLASSES)
    return 100 * miou(found), 100 * calibration_error(reliability(target, predicted, np.clip(best, 0, 1)))


def ours(labelled, **settings):
    head = linear.fit(labelled, CLASSES, LinearSettings(**settings)).head

    def predict(queried):
        with torch.no_grad():
            return head(torch.from_numpy(queried)).softmax(1).numpy()

    return predict


def logistic(labelled):
    """Balanced logistic regression, its strength chosen with the answers at hand: the best of five."""

    def fitted(strength):
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)
        model.fit(labelled.vectors.astype(np.float64), labelled.labels)

        def predict(queried):
            found = np.zeros((len(queried), CLASSES))
            found[:, model.classes_] = model.predict_proba(queried)
            return found

        return predict

    return [fitted(strength) for strength in (2, 10, 20, 100, 1000)]


@pytest.mark.parametrize("count, bar", [(24, 27), (40, 33), (160, 42)])
def test_the_default_head_is_at_most_a_point_below_logistic_regression(vectors, count, bar):
    of_head, of_best = [], []
    for seed in SEEDS:
        labelled = drawn(vectors, count, seed)
        of_head.append(judged(vectors, ours(labelled))[0])
        of_best.append([judged(vectors, predict)[0] for predict in logistic(labelled)])
    best = np.mean(of_best, axis=0).max()
    assert np.mean(of_head) > best - 1, f"logistic regression at its best strength has {best:.1f}"
    assert np.mean(of_head) > bar, "what it had when it was chosen, less a point or two"


@pytest.mark.parametrize("count", [40, 160])
def test_no_fixed_strength_is_a_point_better(vectors, count):
    scores = {
        l2: np.mean([judged(vectors, ours(drawn(vectors, count, seed), l2=l2))[0] for seed in SEEDS])
        for l2 in (0.002, 0.01, 0.05, 0.25, 1.25)
    }
    assert scores[LinearSettings().l2] > max(scores.values()) - 1, scores


def test_confidence_is_calibrated_within_a_tenth(vectors):
    for count in (40, 160):
        errors = [judged(vectors, ours(drawn(vectors, count, seed)))[1] for seed in SEEDS]
        assert np.mean(errors) < 14, f"{count} labels"
