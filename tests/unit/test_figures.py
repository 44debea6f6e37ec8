"""Figures of a study: which files are drawn, the same bytes, and no picture that ignores its data."""

import io
import json
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pixelherd import figures, rankings, stopping, tables
from pixelherd.errors import UserError
from pixelherd.pages import SETTINGS

CLASSES = [
    {"name": "road", "colour": [128, 64, 128]},
    {"name": "sky", "colour": [70, 130, 180]},
    {"name": "traffic_sign", "colour": [220, 220, 0]},
]
SIZE = (24, 32)
METHODS = ["random", "edald"]


def write_run(root: Path, method: str, *, features="ddpm", budget="0.1", seed=0, rounds=3) -> Path:
    """A finished run of random numbers, the same for the same arguments."""
    generator = np.random.default_rng([len(method), seed])
    folder = root / "toy" / features / method / f"budget-{budget}" / f"seed-{seed}"
    folder.mkdir(parents=True)
    run = {"dataset": "toy", "features": features, "method": method, "budget": budget, "seed": seed}
    facts = {"run": run, "rounds": rounds, "classes": CLASSES, "image_size": SIZE, "images": {"train": 9, "test": 3}}
    (folder / "run.json").write_text(json.dumps(facts))
    lines = ["round,labelled_pixels,miou,pixel_accuracy,mean_class_accuracy,iou_road,iou_sky,iou_traffic_sign"]
    for number in range(rounds):
        values = generator.uniform(0.2, 0.9, 6)
        lines.append(f"{number},{6 * (number + 1)}," + ",".join(f"{value:.6f}" for value in values))
        if method != "full":
            answers = ["round,image,row,column,label"]
            for image in generator.choice(["a", "b"], 6):
                place = f"{generator.integers(SIZE[0])},{generator.integers(SIZE[1])}"
                answers.append(f"{number},{image},{place},{generator.choice([0, 1, 2, 255])}")
            (folder / f"round-{number}").mkdir()
            (folder / f"round-{number}" / "labels.csv").write_text("\n".join(answers) + "\n")
            ranked = number > 0 and method == "edald"
            scores = {name: generator.random(30) for name in ("edald", "dald")} if ranked else {}
            ranking = rankings.Ranking(scores, np.arange(6))
            rankings.write_scores(folder / f"round-{number}" / "scores.csv", number, ranking)
            settled = stopping.Stability(*((0.5, 0.4) if number else (np.nan, np.nan)), 1.5)
            stopping.write(folder / f"round-{number}" / "stopping.csv", number, 6 * number + 6, 0, settled)
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    arrays = {}
    for split, ids in (("train", ["a", "b"]), ("queried", [] if method == "full" else ["d"]), ("test", ["c"])):
        shape = (len(ids), *SIZE)
        arrays[f"{split}_ids"] = np.array(ids)
        arrays[f"{split}_images"] = generator.integers(0, 256, (*shape, 3), dtype=np.uint8)
        arrays[f"{split}_truth"] = generator.choice(np.array([0, 1, 2, 255], np.uint8), shape)
        arrays[f"{split}_prediction"] = generator.integers(0, 3, shape, dtype=np.uint8)
    if "dald" in method:
        arrays["train_edald"] = generator.random((2, *SIZE)).astype(np.float16)
    elif method == "full":
        arrays["train_entropy"] = generator.random((2, *SIZE)).astype(np.float16)
    np.savez(folder / "thumbnails.npz", **arrays)
    return folder


def write_study(root: Path) -> list[Path]:
    runs = [write_run(root, method, seed=seed) for method in METHODS for seed in (0, 1)]
    return [*runs, write_run(root, "full", budget="all", rounds=1)]


@pytest.fixture
def study(tmp_path) -> list[Path]:
    return write_study(tmp_path / "runs")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_same_files_and_bytes_whatever_the_users_settings(study, tmp_path):
    compared = {**SETTINGS, "reference": "random"}
    figures.write(study, 3, tmp_path / "one", METHODS, compared)
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "svg.hashsalt": None}):
        figures.write(study[::-1], 3, tmp_path / "two", METHODS, compared)
        assert matplotlib.rcParams["font.size"] == 20  # a caller's settings are left alone
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    twice = ["differences", "labels_per_class", "learning_curves", "settling"]
    names = ["labels_per_round.png", "overlay-edald.png", "overlay-random.png", "scores-edald.png"]
    names += [f"{name}.{suffix}" for name in twice for suffix in ("png", "svg")]
    assert sorted(one) == [
        *(f"toy/ddpm/budget-0.1/{name}" for name in sorted(names)),
        "toy/ddpm/budget-all/overlay-full.png",
    ]
    assert one == two


def test_curves_differ_without_their_colours(monkeypatch):
    monkeypatch.setattr(figures, "COLOURS", ["black"] * len(figures.COLOURS))
    line = pd.DataFrame({"method": "any", "labelled_pixels": [1, 9], "miou_mean": [0.4, 0.5], "miou_std": [0.0, 0.0]})
    drawn = set()
    for number in range(18):
        figure = Figure(figsize=(2, 1))
        figures.draw_curve(figure.subplots(), line, number)
        figure.savefig(picture := io.BytesIO(), format="rgba")
        drawn.add(picture.getvalue())
    assert len(drawn) == 18


def test_bars_differ_without_their_colours(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, *_: drawn.append(figure))
    folders = [write_run(tmp_path, f"method-{number:02}", rounds=2) for number in range(14)]
    figures.class_bars(tables.labels_per_class(folders, 2), tmp_path)
    bars = [container.patches[0] for container in drawn[0].axes[0].containers if hasattr(container, "patches")]
    assert len(bars) == 14 == len({(bar.get_hatch(), bar.get_edgecolor()) for bar in bars})


def test_means_of_differences_stand_out_of_their_intervals(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, *_: drawn.append(figure))
    folders = [write_run(tmp_path, f"method-{number}", seed=seed, rounds=2) for number in range(8) for seed in (0, 1)]
    metrics = tables.read_metrics(folders, 2)
    figures.differences(tables.comparison(metrics, "method-0"), 0.95, tmp_path)
    lines = [line for line in drawn[0].axes[0].get_lines() if line.get_color() != "black"]
    bars = [line for line in lines if len(line.get_xdata()) == 2]
    means = [line for line in lines if len(line.get_xdata()) == 1]
    assert len(bars) == len(means) == 7
    for bar, mean in zip(bars, means, strict=True):
        assert mean.get_markersize() > 4 * bar.get_linewidth() and mean.get_zorder() > bar.get_zorder()
        assert mean.get_markeredgecolor() != mean.get_color()


def test_only_the_reference_is_a_black_dashed_line_without_markers(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, *_: drawn.append(figure))
    folders = [write_run(tmp_path, f"method-{number}", rounds=2) for number in range(7)]
    folders.append(write_run(tmp_path, "full", budget="all", rounds=1))
    figures.learning_curves(tables.read_metrics(folders, 2), tmp_path)
    lines = {line for axes in drawn[0].axes for line in axes.get_legend_handles_labels()[0]}
    dashed = {line.get_label(): line for line in lines if line.get_linestyle() == "--"}
    assert {name.split()[0] for name in dashed} == {"method-6", "full"}, "as the caption says"
    looks = {name.split()[0]: (line.get_color(), line.get_marker()) for name, line in dashed.items()}
    assert looks["full"] == ("black", "None") and looks["method-6"] not in (looks["full"], ("black", "None"))


def test_many_methods_are_spread_over_panels(tmp_path):
    folders = [write_run(tmp_path, f"method-{number}", rounds=2) for number in range(7)]
    heights = []
    for count in (6, 7):
        figures.learning_curves(tables.read_metrics(folders[:count], 2), tmp_path / str(count))
        (path,) = (tmp_path / str(count)).rglob("learning_curves.png")
        heights.append(Image.open(path).height)
    assert heights[1] == 2 * heights[0]


def test_scores_with_a_pole_have_a_logarithmic_axis(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, *_: drawn.append(figure))
    levels = {f"q{level}": 1.0 + level for level in (5, 25, 50, 75, 95)}
    keys = {"dataset": "toy", "features": "ddpm", "budget": "0.1", "method": "any", "round": 1}
    pairs = [(score, group) for score in ("balentacq", "entropy") for group in ("pool", "chosen")]
    figures.score_ranges(pd.DataFrame([{**keys, "score": s, "group": g, **levels} for s, g in pairs]), tmp_path)
    assert [axes.get_yscale() for axes in drawn[0].axes] == ["symlog", "linear"]


def test_only_the_rounds_asked_for_are_drawn(study, tmp_path):
    longer = [write_run(tmp_path / "longer", "random", rounds=5), write_run(tmp_path / "short", "random", rounds=3)]
    for name in ("metrics.csv", "round-0/labels.csv", "round-1/labels.csv", "round-2/labels.csv"):
        (longer[1] / name).write_bytes((longer[0] / name).read_bytes())
    drawn = []
    for folder in longer:
        figures.learning_curves(tables.read_metrics([folder], 3), folder / "figures")
        figures.class_bars(tables.labels_per_class([folder], 3), folder / "figures")
        drawn.append(files(folder / "figures"))
    assert drawn[0] == drawn[1]


def test_overlay_marks_the_labelled_pixels(study, tmp_path):
    run = study[0]
    pictures = []
    for number in (1, 2):
        figures.overlays(run, number, tmp_path / f"{number}.png")
        pictures.append(np.asarray(Image.open(tmp_path / f"{number}.png").convert("RGB")).astype(int))
    changed = np.nonzero(np.abs(pictures[0] - pictures[1]).sum(-1))
    assert pictures[0].shape == pictures[1].shape
    assert len(changed[0]) > 0


def test_overlay_shows_how_unsure_the_head_is_where_the_run_kept_it(study, tmp_path):
    width = {}
    for name, run in (("random", study[0]), ("edald", study[2]), ("full", study[4])):
        figures.overlays(run, 1, tmp_path / f"{name}.png")
        width[name] = Image.open(tmp_path / f"{name}.png").width
    assert width["edald"] == width["full"] > width["random"] + 350


def test_prediction_is_drawn_in_class_colours_pixel_by_pixel(study, tmp_path):
    figures.overlays(study[0], 3, tmp_path / "overlay.png")
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


@pytest.mark.parametrize(("rounds", "runs"), [(1, slice(0, 4)), (3, slice(0, 1)), (3, slice(4, 5))])
def test_small_studies_can_be_drawn(study, tmp_path, rounds, runs):
    figures.write(study[runs], rounds, tmp_path / "figures", METHODS)
    assert any(name.endswith("learning_curves.png") for name in files(tmp_path / "figures"))


@pytest.mark.parametrize("damage", ["missing", "truncated", "incomplete"])
def test_broken_thumbnails_are_named(study, tmp_path, damage):
    path = study[0] / "thumbnails.npz"
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        np.savez(path, train_ids=np.array(["a"]))
    with pytest.raises(UserError, match=r"thumbnails\.npz"):
        figures.overlays(study[0], 3, tmp_path / "overlay.png")
    assert not (tmp_path / "overlay.png").exists()
