"""Overlays: no picture that ignores its data, and a line for every broken file."""

import numpy as np
import pytest
from PIL import Image

from pixelherd.errors import UserError
from pixelherd.results.figures import overlays
from unit.results.drawn import CLASSES


def test_overlay_marks_the_labelled_pixels(study, tmp_path):
    run = study[0]
    pictures = []
    for number in (1, 2):
        overlays.overlay(run, number, tmp_path / f"{number}.png")
        pictures.append(np.asarray(Image.open(tmp_path / f"{number}.png").convert("RGB")).astype(int))
    changed = np.nonzero(np.abs(pictures[0] - pictures[1]).sum(-1))
    assert pictures[0].shape == pictures[1].shape
    assert len(changed[0]) > 0


def test_overlay_shows_how_unsure_the_head_is_where_the_run_kept_it(study, tmp_path):
    width = {}
    for name, run in (("random", study[0]), ("edald", study[2]), ("full", study[4])):
        overlays.overlay(run, 1, tmp_path / f"{name}.png")
        width[name] = Image.open(tmp_path / f"{name}.png").width
    assert width["edald"] == width["full"] > width["random"] + 350


def test_prediction_is_drawn_in_class_colours_pixel_by_pixel(study, tmp_path):
    overlays.overlay(study[0], 3, tmp_path / "overlay.png")
    picture = np.asarray(Image.open(tmp_path / "overlay.png").convert("RGB"))
    prediction = np.load(study[0] / "thumbnails.npz")["test_prediction"][0]
    zoom = 12  # 32 columns become 384
    colours = np.array([entry["colour"] for entry in CLASSES], np.uint8)
    wanted = colours[prediction].repeat(zoom, 0).repeat(zoom, 1)
    height, width = wanted.shape[:2]
    found = [
        (y, x)
        for y, x in np.argwhere((picture[: 1 - height, : 1 - width] == wanted[0, 0]).all(-1))
        if (picture[y, x + zoom // 2 : x + width : zoom] == wanted[0, zoom // 2 :: zoom]).all()
        and (picture[y : y + height, x : x + width] == wanted).all()
    ]
    assert len(found) == 1


@pytest.mark.parametrize("damage", ["missing", "truncated", "incomplete"])
@pytest.mark.hostile("files of cache and results")
def test_broken_thumbnails_are_named(study, tmp_path, damage):
    path = study[0] / "thumbnails.npz"
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        np.savez(path, train_ids=np.array(["a"]))
    with pytest.raises(UserError, match=r"thumbnails\.npz"):
        overlays.overlay(study[0], 3, tmp_path / "overlay.png")
    assert not (tmp_path / "overlay.png").exists()
