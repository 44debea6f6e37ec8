import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from pixelherd.errors import UserError
from pixelherd.heads import linear, network
from pixelherd.heads.settings import LinearSettings, SelfTrainingSettings, TrainingSettings
from pixelherd.heads.sources import Labelled

DIM, CLASSES = 12, 4


def pixels(count=60, dim=DIM, seed=0, classes=(0, 1, 3), noise=0.6) -> Labelled:
    """Overlapping clusters of classes 0, 1 and 3, unequally many, one pixel an image."""
    random = np.random.default_rng(seed)
    labels = random.choice(classes, count, p=[0.6, 0.3, 0.1][: len(classes)])
    vectors = np.eye(CLASSES, dim)[labels] + noise * random.normal(size=(count, dim)) + 2
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Labelled(vectors.astype(np.float16), np.arange(count), labels)


class Lazy:
    """An array over images as the context is: read where it is indexed."""

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return len(self.array)

    def __getitem__(self, images):
        return self.array[list(images)]


def parameters(fitted: linear.Fit) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases at temperature 1."""
    layer = fitted.head.first
    return (fitted.temperature * layer.weight.detach().double()).numpy(), (
        fitted.temperature * layer.bias.detach().double()
    ).numpy()


@pytest.mark.parametrize("balance", ["none", "sqrt", "balanced"])
@pytest.mark.parametrize("dim", [DIM, 200])
def test_it_is_the_regression_of_scikit_learn(balance, dim):
    labelled = pixels(dim=dim)
    counts = np.bincount(labelled.labels, minlength=CLASSES)
    power = {"none": 0, "sqrt": -0.5, "balanced": -1}[balance]
    weights = counts[labelled.labels] ** float(power)
    weights *= len(weights) / weights.sum()
    fitted = linear.fit(labelled, CLASSES, LinearSettings(l2=0.3, class_balance=balance))
    reference = LogisticRegression(C=1 / 0.3, tol=1e-10, max_iter=10_000)
    reference.fit(labelled.vectors.astype(np.float64), labelled.labels, sample_weight=weights)
    weight, bias = parameters(fitted)
    known = [0, 1, 3]
    np.testing.assert_allclose(weight[known], reference.coef_, atol=2e-4)
    np.testing.assert_allclose(bias[known] - bias[0], reference.intercept_ - reference.intercept_[0], atol=1e-3)
    assert fitted.log[-1]["gradient"] < 1e-5 and fitted.log[-1]["loss"] < fitted.log[0]["loss"]


def test_classes_without_a_label_are_never_predicted():
    labelled = pixels()
    fitted = linear.fit(labelled, CLASSES, LinearSettings())
    assert fitted.head.known.tolist() == [True, True, False, True]
    log_p = network.log_probabilities(fitted.head, labelled.vectors)
    assert (log_p[:, 2] == -torch.inf).all()
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(len(log_p)))


def test_a_head_of_one_class_is_sure_of_it():
    labelled = Labelled(np.ones((3, DIM), np.float16), np.arange(3), np.array([1, 255, 1]))
    fitted = linear.fit(labelled, CLASSES, LinearSettings())
    assert fitted.head.known.sum() == 1 and not fitted.calibrated
    assert (network.log_probabilities(fitted.head, labelled.vectors)[:, 1] == 0).all()


def test_what_cannot_be_told_does_not_count():
    labelled = pixels()
    extended = Labelled(
        np.concatenate([labelled.vectors, 9 * np.ones((5, DIM), np.float16)]),
        np.arange(65),
        np.concatenate([labelled.labels, np.full(5, 255)]),
    )
    alone, both = (linear.fit(each, CLASSES, LinearSettings()) for each in (labelled, extended))
    for one, other in zip(parameters(alone), parameters(both), strict=True):
        np.testing.assert_allclose(one, other, atol=5e-3)


@pytest.mark.parametrize("dim", [DIM, 200])
def test_labels_of_every_context_pixel_are_read_in_parts(dim):
    labelled = pixels(240, dim)
    whole = linear.fit(labelled, CLASSES, LinearSettings())
    images = np.repeat(np.arange(24), 10)
    lazily = Labelled(Lazy(labelled.vectors.reshape(24, 10, dim)), images, labelled.labels)
    parts = linear.fit(lazily, CLASSES, LinearSettings())
    known = [0, 1, 3]
    for one, other in zip(parameters(whole), parameters(parts), strict=True):
        np.testing.assert_allclose(one[known], other[known], atol=2e-3)
    assert lazily.dim == dim and lazily.count == 240


def test_a_fit_on_a_repeat_has_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        torch.manual_seed(len(name))
        network.save(linear.fit(pixels(), CLASSES, LinearSettings()).head, tmp_path / name, {})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    again = network.load(tmp_path / "a")
    assert isinstance(again, network.LinearHead) and again.known.tolist() == [True, True, False, True]


def test_the_temperature_makes_held_out_labels_likeliest():
    """Logits that are three times too large want a temperature of about 3."""
    random = np.random.default_rng(0)
    logits = torch.from_numpy(random.normal(size=(4000, 5)) * 2)
    truth = torch.from_numpy(np.array([random.choice(5, p=row) for row in logits.softmax(1).numpy()]))
    for factor in (0.5, 1, 3):
        assert linear.likeliest_temperature(factor * logits, truth) == pytest.approx(factor, rel=0.06)
    few = linear.likeliest_temperature(3 * logits[:3], truth[:3])
    assert 0.6 < few < 1.7, "three labels do not move it far"


def test_held_out_probabilities_are_calibrated():
    labelled, others = pixels(300, noise=0.3), pixels(4000, seed=1, noise=0.3)
    errors = {}
    for l2 in (1e-4, 0.05, 5.0):
        fitted = linear.fit(labelled, CLASSES, LinearSettings(l2=l2, class_balance="none"))
        assert fitted.calibrated
        for name, factor in (("tempered", 1.0), ("raw", fitted.temperature)):
            with torch.no_grad():
                p = (fitted.head(torch.from_numpy(others.vectors).float()) * factor).softmax(1).max(1)
            right = p.indices.numpy() == others.labels
            errors[l2, name] = abs(float(p.values.mean()) - right.mean())
    assert errors[5.0, "tempered"] < errors[5.0, "raw"] / 2
    assert max(errors[l2, "tempered"] for l2 in (1e-4, 0.05, 5.0)) < 0.06


def test_too_few_labels_leave_the_temperature_at_1():
    labelled = pixels(60)
    every = np.array([np.flatnonzero(labelled.labels == label)[0] for label in (0, 1, 3)])
    few = Labelled(labelled.vectors[every], np.arange(3), labelled.labels[every])
    fitted = linear.fit(few, CLASSES, LinearSettings())
    assert (fitted.temperature, fitted.calibrated) == (1.0, False)
    assert fitted.facts() == {"temperature": 1.0, "calibrated": False}


def test_mistakes_are_one_line():
    labelled = pixels()
    nothing = Labelled(labelled.vectors, labelled.images, np.full(60, 255))
    with pytest.raises(UserError, match="no labelled pixel"):
        linear.fit(nothing, CLASSES, LinearSettings())
    with pytest.raises(UserError, match="label 3 is outside the classes 0 to 1"):
        linear.fit(labelled, 2, LinearSettings())
    broken = labelled.vectors.copy()
    broken[4, 2] = np.nan
    with pytest.raises(UserError, match="not finite"):
        linear.fit(Labelled(broken, labelled.images, labelled.labels), CLASSES, LinearSettings())


# Self-training


def unlabelled(count=300, dim=DIM) -> Labelled:
    """Pixels of all classes, the one without labels too."""
    more = pixels(count, dim, seed=5, classes=(0, 1, 2))
    return Labelled(more.vectors, more.images, np.full(count, 255))


def self_trained(labelled, others, **asked) -> linear.Fit:
    settings = LinearSettings(l2=0.3, self_training=SelfTrainingSettings(**asked))
    return linear.fit(labelled, CLASSES, settings, unlabelled=others)


def regression(vectors, labels, weights) -> LogisticRegression:
    reference = LogisticRegression(C=1 / 0.3, tol=1e-10, max_iter=10_000)
    return reference.fit(np.asarray(vectors, np.float64), labels, sample_weight=weights)


def balanced(labels) -> np.ndarray:
    weights = 1 / np.bincount(labels)[labels]
    return weights * len(labels) / weights.sum()


@pytest.mark.parametrize("dim", [DIM, 500])
@pytest.mark.parametrize("rounds", [1, 2])
def test_self_training_is_regression_on_labels_and_guesses(dim, rounds):
    """Each round spelt out: predict in float64, take the surest of each predicted class, fit to both."""
    labelled, others = pixels(dim=dim), unlabelled(dim=dim)
    reference = regression(labelled.vectors, labelled.labels, balanced(labelled.labels))
    for _ in range(rounds):
        chances = reference.predict_proba(others.vectors.astype(np.float64))
        guessed, sure = reference.classes_[chances.argmax(1)], chances.max(1)
        rows = np.concatenate(
            [
                sorted(np.flatnonzero(guessed == each), key=lambda row: -sure[row])[: -(-sum(guessed == each) // 4)]
                for each in np.unique(guessed)
            ]
        )
        weights = balanced(guessed[rows])
        weights *= 0.5 * len(labelled.labels) / weights.sum()
        both = np.concatenate([labelled.vectors, others.vectors[rows]])
        labels = np.concatenate([labelled.labels, guessed[rows]])
        reference = regression(both, labels, np.concatenate([balanced(labelled.labels), weights]))
    fitted = self_trained(labelled, others, share=0.25, weight=0.5, rounds=rounds)
    weight, bias = parameters(fitted)
    known = [0, 1, 3]
    np.testing.assert_allclose(weight[known], reference.coef_, atol=2e-3)
    np.testing.assert_allclose(bias[known] - bias[0], reference.intercept_ - reference.intercept_[0], atol=5e-3)
    assert fitted.design.guessed == len(rows) and fitted.design.answered == len(labelled.labels)


def test_self_training_needs_both_settings_and_pixels():
    alone = linear.fit(pixels(), CLASSES, LinearSettings(l2=0.3))
    asked = LinearSettings(l2=0.3, self_training=SelfTrainingSettings())
    off = linear.fit(pixels(), CLASSES, LinearSettings(l2=0.3), unlabelled=unlabelled())
    for other in (linear.fit(pixels(), CLASSES, asked), off):
        assert torch.equal(other.head.first.weight, alone.head.first.weight) and other.log == alone.log
    assert not torch.equal(self_trained(pixels(), unlabelled()).head.first.weight, alone.head.first.weight)


def test_the_head_guesses_no_class_without_a_label(tmp_path):
    fitted = [self_trained(pixels(), unlabelled(), share=1.0, rounds=3) for _ in range(2)]
    assert fitted[0].head.known.tolist() == [True, True, False, True]
    for name, each in zip("ab", fitted, strict=True):
        network.save(each.head, tmp_path / name, {})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_temperatures_are_told_by_answers_alone():
    """Neither are guesses held out, nor is a class known by guesses where all of its labels are held out."""
    labelled = pixels(50)
    labels = np.where(np.arange(50) < 40, labelled.labels % 2, 3)  # class 3 has labels in the last fold alone
    labelled = Labelled(labelled.vectors, labelled.images, labels)
    fitted = self_trained(labelled, unlabelled())
    images = np.concatenate([labelled.images, np.zeros(fitted.design.guessed, int)])
    parts = list(linear.held_out(fitted.design, images, fitted.parameters))
    assert len(parts) == 4 and all(int(told.nonzero().max()) < 40 for told, _ in parts)


def test_seals_older_than_self_training_hold():
    plain = TrainingSettings(head=LinearSettings(), seed=0, threads=1).identity()
    assert plain == {"kind": "linear", "l2": 0.05, "class_balance": "balanced", "seed": 0, "threads": 1}
    asked = TrainingSettings(head=LinearSettings(self_training=SelfTrainingSettings(share=0.1)), seed=0, threads=1)
    assert asked.identity()["self_training"]["share"] == 0.1
