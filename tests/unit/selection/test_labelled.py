"""What heads expected of the answers that came after them, and the pixels that nobody was asked for."""

import numpy as np

from pixelherd.datasets.classes import IGNORED
from pixelherd.datasets.pixels import EXPECTED_COLUMNS, LABEL_COLUMNS, Pixels, write_pixels
from pixelherd.features.maps import StoredMaps, vectors_at
from pixelherd.heads.network import log_probabilities
from pixelherd.selection.labelled import answers_by_round, unlabelled_pixels, write_expected
from pixelherd.storage.files import read_csv
from pixelherd.storage.shards import Shards


def rounds(cache, tmp_path) -> list:
    """Two rounds that label a context pixel of each image."""
    context, paths = Shards.open(cache.train).all("context_pixels"), []
    images = np.arange(len(context))
    for number in range(2):
        paths.append(tmp_path / f"{number}.csv")
        answers = Pixels(images, context[:, number], images % 3)
        write_pixels(paths[-1], LABEL_COLUMNS, number, answers, cache.dataset.train.ids, cache.dataset.size[1])
    return paths


def test_answers_were_expected_by_the_head_of_the_round_before(cache, tmp_path):
    paths, path = rounds(cache, tmp_path), tmp_path / "expected.csv"
    labels, heads = answers_by_round(cache.dataset, paths), [cache.head(0), cache.head(1)]
    write_expected(path, cache.dataset, {"labels": paths, "context": str(cache.train)}, labels, heads)
    rows = [row for _, row in read_csv(path, EXPECTED_COLUMNS)]
    assert len(rows) == len(labels[1]) and {row["round"] for row in rows} == {"1"}
    maps = StoredMaps(cache.train)
    for row, image, flat in zip(rows, labels[1].images.tolist(), labels[1].flat.tolist(), strict=True):
        assert row["image"] == cache.dataset.train.ids[image]
        assert (int(row["row"]), int(row["column"])) == divmod(flat, cache.dataset.size[1])
        vector = vectors_at(maps(image), np.array([flat]), cache.dataset.size)
        chances = log_probabilities(heads[0], vector).exp()[0]
        assert int(row["expected"]) == int(chances.argmax())
        assert abs(float(row["confidence"]) - float(chances.max())) < 0.01


def test_without_vectors_nothing_is_expected(cache, tmp_path):
    path = tmp_path / "expected.csv"
    write_expected(path, cache.dataset, {"labels": []}, [], [cache.head()])
    assert path.read_text() == ",".join(EXPECTED_COLUMNS) + "\n"


def test_pixels_that_nobody_was_asked_for_are_those_of_the_context_without_a_label(cache, tmp_path):
    paths = rounds(cache, tmp_path)
    context = Shards.open(cache.train)
    count = context.image("context_pixels", 0).shape[0]
    found = unlabelled_pixels(cache.dataset, paths, cache.train, 1000)
    assert (np.bincount(found.images) == count - 2).all() and (found.labels == IGNORED).all()
    whole = np.concatenate([context.image("context", image)[2:] for image in range(len(context))])
    assert np.array_equal(found.vectors, whole)
    few = unlabelled_pixels(cache.dataset, [], cache.train, 5)
    assert (np.bincount(few.images) == 5).all() and few.vectors.shape == (5 * len(context), found.dim)
