import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pixelherd.errors import UserError
from pixelherd.heads import metrics


def count(target, prediction, classes):
    matrix = np.zeros((classes, classes), dtype=np.int64)
    for t, p in zip(target.ravel(), prediction.ravel(), strict=True):
        if t != 255:
            matrix[t, p] += 1
    return matrix


@st.composite
def label_images(draw, classes=4):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=8))
    labels = st.integers(0, classes - 1)
    target = draw(hnp.arrays(np.uint8, shape, elements=st.one_of(labels, st.just(255))))
    return target, draw(hnp.arrays(np.uint8, shape, elements=labels))


@settings(max_examples=40)
@given(label_images())
def test_confusion_and_metrics_equal_brute_force(images):
    target, prediction = images
    matrix = metrics.confusion(target, prediction, 4)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, count(target, prediction, 4))

    counted = target != 255
    ious, recalls = [], []
    for c in range(4):
        t, p = (target == c) & counted, (prediction == c) & counted
        ious.append((t & p).sum() / (t | p).sum() if (t | p).any() else np.nan)
        recalls.append((t & p).sum() / t.sum() if t.any() else np.nan)
    np.testing.assert_allclose(metrics.ious(matrix), ious)
    if counted.any():
        assert metrics.miou(matrix) == pytest.approx(np.nanmean(ious))
        assert metrics.mean_class_accuracy(matrix) == pytest.approx(np.nanmean(recalls))
        assert metrics.pixel_accuracy(matrix) == pytest.approx((target == prediction)[counted].mean())


def test_absent_class_is_left_out_of_the_mean():
    matrix = metrics.confusion(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]), 3)
    np.testing.assert_allclose(metrics.ious(matrix), [2 / 3, 1 / 2, np.nan])
    assert metrics.miou(matrix) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_class_that_is_only_predicted_counts_in_miou_but_has_no_recall():
    matrix = metrics.confusion(np.array([0, 0]), np.array([0, 1]), 2)
    assert metrics.miou(matrix) == pytest.approx(0.25)
    assert metrics.mean_class_accuracy(matrix) == pytest.approx(0.5)


def test_perfect_prediction_scores_one():
    target = np.array([[0, 1], [2, 255]])
    matrix = metrics.confusion(target, np.where(target == 255, 0, target), 3)
    assert metrics.miou(matrix) == metrics.pixel_accuracy(matrix) == metrics.mean_class_accuracy(matrix) == 1


def test_no_counted_pixel_gives_nan_without_a_warning(recwarn):
    matrix = metrics.confusion(np.full(3, 255), np.full(3, 255), 2)
    assert matrix.sum() == 0
    assert np.isnan([metrics.miou(matrix), metrics.pixel_accuracy(matrix), metrics.mean_class_accuracy(matrix)]).all()
    assert not recwarn.list


def test_torch_tensors_are_accepted():
    target, prediction = torch.tensor([[0, 1]], dtype=torch.uint8), torch.tensor([[1, 1]])
    np.testing.assert_array_equal(metrics.confusion(target, prediction, 2), [[0, 1], [0, 1]])


def test_label_outside_the_classes_is_the_users_mistake():
    with pytest.raises(UserError, match=r"label value 7 .* outside the classes 0 to 2"):
        metrics.confusion(np.array([0, 7]), np.array([0, 0]), 3)
    with pytest.raises(UserError, match="label value -1"):
        metrics.confusion(np.array([0, -1]), np.array([0, 0]), 3)


@pytest.mark.parametrize(
    ("target", "prediction", "classes", "message"),
    [
        ([0], [3], 3, "predicted class 3"),
        ([0], [-1], 3, "predicted class -1"),
        ([0, 1], [0], 3, "shape"),
        ([0.0], [0], 3, "integers"),
        ([0], [0], 0, "classes must be"),
        ([0], [0], 256, "classes must be"),
    ],
)
def test_wrong_arguments_are_refused(target, prediction, classes, message):
    with pytest.raises(ValueError, match=message):
        metrics.confusion(np.array(target), np.array(prediction), classes)
