"""Layers of pictures, labelled pixels, and what is doubtful."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from pixelherd.results.figures.overlays import paint
from pixelherd.results.report import gallery
from pixelherd.results.tables.runs import read_labels, read_run
from unit.results.drawn import SIZE, write_own_run, write_run


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


@pytest.fixture
def own(tmp_path):
    return gallery.read_pictured(read_run(write_own_run(tmp_path)), 3)


def test_layers_are_those_of_the_run(tmp_path):
    shown = gallery.read_pictured(read_run(write_run(tmp_path, "edald")), 3)
    found = gallery.gallery_of(shown)
    assert [card.name for card in found.cards] == ["a", "b", "d", "c"]
    assert found.layers == ["image", "mask", "truth", "uncertainty"] and found.size == SIZE
    first, test = found.cards[0], found.cards[-1]
    assert list(first.layers) == found.layers and list(test.layers) == ["image", "mask", "truth"]
    mask = paint(shown.arrays["train_prediction"][0], shown.colours)
    assert np.array_equal(pixels(first.layers["mask"]), mask)
    assert pixels(first.layers["image"]).shape == (*SIZE, 3)
    heat = pixels(first.layers["uncertainty"]).astype(int)
    surest, least = (np.unravel_index(f(shown.arrays["train_edald"][0]), SIZE) for f in (np.argmin, np.argmax))
    assert heat[least].sum() > heat[surest].sum()


def test_labelled_pixels_lie_where_they_were_asked(own):
    labels = read_labels(own.run.folder, 3, 3)
    card = gallery.gallery_of(own).cards[0]
    asked = labels[labels["image"] == "a"]
    places = (asked[["column", "row"]].to_numpy() + 0.5).tolist()
    assert [[mark.x, mark.y] for mark in card.marks] == places
    unknown = [mark for mark, label in zip(card.marks, asked.label, strict=True) if label == 255]
    assert unknown and all(mark.colour == "" and mark.title.startswith("cannot tell") for mark in unknown)
    assert gallery.gallery_of(own).layers == ["image", "mask", "uncertainty"], "there is no truth"


def test_contradictions_say_what_was_answered_and_predicted(own):
    found, number, told = gallery.contradicted(own)
    assert (number, told) == (2, 14)
    assert [card.note for card in found.cards] == [
        "answered road; without this image the model says traffic_sign (91 %)",
        "answered sky; without this image the model says road (60 %)",
    ]
    (mark,) = found.cards[0].marks
    assert (mark.x, mark.y, mark.title) == (30.5, 3.5, "road")


def test_runs_by_masks_have_no_contradictions(tmp_path):
    shown = gallery.read_pictured(read_run(write_run(tmp_path, "edald")), 3)
    assert gallery.contradicted(shown) == (None, 0, 0)


def test_doubtful_classes_come_first(own):
    arrays = own.arrays
    arrays["train_prediction"][:] = np.where(np.arange(SIZE[1]) < 8, 2, 1)
    arrays["train_edald"][:] = np.where(np.arange(SIZE[1]) < 8, 3.0, 1.0)
    arrays["train_edald"][1] += 0.5
    table, text = gallery.doubtful(own)
    assert table.to_numpy().tolist() == [["traffic_sign", "25.0", "1.86"], ["sky", "75.0", "0.71"]]
    assert text == "Of the pictured images the model is least sure of b; of the classes, of traffic_sign."


def test_bars_are_counts(own):
    labels = read_labels(own.run.folder, 3, 3)
    labels["label"] = [0] * 4 + [2] * 2 + [255] * 12
    assert gallery.bars(own.run, labels) == [
        ("road", "#804080", 4, 100.0),
        ("sky", "#4682b4", 0, 0.0),
        ("traffic_sign", "#dcdc00", 2, 50.0),
    ]
