"""How well heads learn from few labels, on held-out *training* images: kinds and strengths are chosen here.

Context pixels of a study's training images are labelled by their masks, the given number of them at random in the first
half of the images; heads predict the context pixels of the second half. The study's features must be there:

    snakemake features --cores all --configfile STUDY
    python benchmarks/heads.py STUDY --labels 40 160 --seeds 10

prints a row for each head: mIoU and expected calibration error in percent, mean and standard deviation over seeds, and
seconds of a fit.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from places import open_dataset, read_study, work_of
from torch import Tensor, nn

from pixelherd.datasets.classes import IGNORED
from pixelherd.heads import linear, network, training
from pixelherd.heads.metrics import calibration_error, confusion, miou, reliability
from pixelherd.heads.settings import LinearSettings, MlpSettings
from pixelherd.heads.sources import Labelled, VectorSource
from pixelherd.storage.shards import Shards

STRENGTHS = 0.005, 0.05, 0.5

Predict = Callable[[Tensor], Tensor]
"""Logits ``[n, C]`` of vectors ``[n, D]``."""


def softmax_regression(classes: int, **settings: object) -> Callable[..., Predict]:
    def learn(labelled: Labelled, context: np.ndarray, seed: int) -> Predict:
        return linear.fit(labelled, classes, LinearSettings(**settings)).head

    return learn


def raw(classes: int) -> Callable[..., Predict]:
    """Softmax regression at temperature 1."""

    def learn(labelled: Labelled, context: np.ndarray, seed: int) -> Predict:
        fitted = linear.fit(labelled, classes, LinearSettings())
        return lambda vectors: fitted.temperature * fitted.head(vectors)

    return learn


def standardised(classes: int) -> Callable[..., Predict]:
    """Softmax regression on channels of variance 1 over the context, at a strength that suits their size."""

    def learn(labelled: Labelled, context: np.ndarray, seed: int) -> Predict:
        flat = context.reshape(-1, context.shape[-1]).astype(np.float32)
        mean, scale = flat.mean(0), (flat.std(0) * np.sqrt(flat.shape[1])).astype(np.float32)
        scaled = Labelled((np.asarray(labelled.vectors) - mean) / scale, labelled.images, labelled.labels)
        head = linear.fit(scaled, classes, LinearSettings()).head
        return lambda vectors: head((vectors - torch.from_numpy(mean)) / torch.from_numpy(scale))

    return learn


def prototypes(classes: int) -> Callable[..., Predict]:
    """The nearest class mean."""

    def learn(labelled: Labelled, context: np.ndarray, seed: int) -> Predict:
        vectors, known = np.asarray(labelled.vectors, np.float32), np.unique(labelled.labels)
        means = torch.from_numpy(np.stack([vectors[labelled.labels == each].mean(0) for each in known]))

        def predict(queried: Tensor) -> Tensor:
            logits = torch.full((len(queried), classes), -torch.inf)
            logits[:, known] = -torch.cdist(queried, means).square()
            return logits

        return predict

    return learn


def scikit_learn(classes: int, estimator: Callable[[np.ndarray], object]) -> Callable[..., Predict]:
    """A classifier of scikit-learn, which ``estimator`` makes for the labelled vectors."""

    def learn(labelled: Labelled, context: np.ndarray, seed: int) -> Predict:
        vectors = np.asarray(labelled.vectors, np.float32)
        found = estimator(vectors).fit(vectors, labelled.labels)

        def predict(queried: Tensor) -> Tensor:
            logits = torch.full((len(queried), classes), -torch.inf)
            if hasattr(found, "predict_proba"):
                values = torch.from_numpy(np.log(found.predict_proba(queried.numpy()))).float()
            else:
                values = torch.from_numpy(found.decision_function(queried.numpy())).float()
            logits[:, found.classes_] = values if values.ndim == 2 else torch.stack([-values, values], 1)
            return logits

        return predict

    return learn


def ridge(vectors: np.ndarray) -> object:
    """Least squares on one-hot classes, balanced."""
    from sklearn.linear_model import RidgeClassifier

    return RidgeClassifier(alpha=0.1, class_weight="balanced")


def same_loss(vectors: np.ndarray) -> object:
    """The default head's loss at temperature 1, by scikit-learn."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1 / LinearSettings().l2, class_weight="balanced", tol=1e-6, max_iter=5000)


def gaussian_process(vectors: np.ndarray) -> object:
    """One Gaussian process a class by Laplace's approximation; its scale is half the median distance, as eDALD's σ."""
    from sklearn.gaussian_process import GaussianProcessClassifier
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

    scale = float(np.median(torch.pdist(torch.from_numpy(vectors)).numpy())) / 2
    return GaussianProcessClassifier(ConstantKernel(10.0) * RBF(scale), optimizer=None)


def mlp(classes: int) -> Callable[..., Predict]:
    """The paper's head."""

    def learn(labelled: Labelled, context: np.ndarray, seed: int) -> Predict:
        generator = torch.Generator().manual_seed(seed)
        head = network.MlpHead(labelled.dim, classes, generator=generator)
        source = VectorSource(context, np.asarray(labelled.vectors), labelled.images, labelled.labels)
        training.train(source, head, MlpSettings(kind="mlp"), order_generator=generator)
        return head

    return learn


def layer_norm(classes: int) -> Callable[..., Predict]:
    """The paper's layers with LayerNorm for BatchNorm, which needs no context; balanced, 200 steps of all labels."""

    def learn(labelled: Labelled, context: np.ndarray, seed: int) -> Predict:
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Linear(labelled.dim, 128), nn.ReLU(), nn.LayerNorm(128),
            nn.Linear(128, 32), nn.ReLU(), nn.LayerNorm(32), nn.Linear(32, classes),
        )  # fmt: skip
        vectors, labels = torch.from_numpy(np.asarray(labelled.vectors, np.float32)), torch.from_numpy(labelled.labels)
        counts = labels.bincount(minlength=classes)
        weights = torch.where(counts > 0, len(labels) / counts.clamp(min=1), 0.0)
        optimizer = torch.optim.Adam(net.parameters(), 1e-3, weight_decay=1e-5)
        for _ in range(200):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(vectors), labels, weight=weights).backward()
            optimizer.step()
        unknown = counts == 0
        return lambda queried: net(queried).masked_fill(unknown, -torch.inf)

    return learn


def heads(classes: int) -> dict[str, Callable[..., Predict]]:
    """Every head by its name."""
    found = {f"linear, l2 {each:g}": softmax_regression(classes, l2=each) for each in STRENGTHS}
    found |= {f"linear, {each}": softmax_regression(classes, class_balance=each) for each in ("none", "sqrt")}
    found |= {"linear, T = 1": raw(classes), "linear, standardised": standardised(classes)}
    by_name = {"linear, scikit-learn": same_loss, "ridge": ridge, "Gaussian process": gaussian_process}
    found |= {name: scikit_learn(classes, each) for name, each in by_name.items()}
    found |= {"prototypes": prototypes(classes)}
    return found | {"mlp": mlp(classes), "LayerNorm": layer_norm(classes)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--labels", type=int, nargs="+", default=[40, 160])
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    work = work_of(read_study(options.study))
    name, features = next(iter(work.study.pairs()))
    dataset, classes = open_dataset(work, name)
    shards = Shards.open(work.maps_index(name, features, "train"))
    context, pixels = shards.all("context"), shards.all("context_pixels")
    truth = np.stack([dataset.train.labels[image].reshape(-1)[flat] for image, flat in enumerate(pixels)])
    half = len(context) // 2
    queried = torch.from_numpy(context[half:].reshape(-1, context.shape[-1])).float()
    target = truth[half:].ravel()
    print(f"{name}, {features}: {half} images to learn from, {(target != IGNORED).sum():,} pixels to predict")
    print(f"\n| {'head':20} | labels | mIoU (%)   | calibration error (%) | seconds |")
    print(f"|:{'-' * 20}-|-------:|-----------:|----------------------:|--------:|")
    for count in options.labels:
        for head, learn in heads(classes).items():
            scores, errors, seconds = [], [], []
            for seed in range(options.seeds):
                random = np.random.default_rng(seed)
                images, places = np.nonzero(truth[:half] != IGNORED)
                chosen = random.choice(len(images), count, replace=False)
                images, places = images[chosen], places[chosen]
                labelled = Labelled(context[images, places], images, truth[images, places].astype(np.int64))
                began = time.perf_counter()
                predict = learn(labelled, context[:half], seed)
                seconds.append(time.perf_counter() - began)
                with torch.no_grad():
                    best = predict(queried).softmax(1).max(1)
                predicted = best.indices.numpy().astype(np.uint8)
                scores.append(100 * miou(confusion(target, predicted, classes)))
                errors.append(100 * calibration_error(reliability(target, predicted, best.values.numpy())))
            spread = f"{np.mean(scores):.1f} ± {np.std(scores, ddof=1):.1f}"
            cells = f"{spread:10} | {np.mean(errors):21.1f} | {np.mean(seconds):7.2f}"
            print(f"| {head:20} | {count:6} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
