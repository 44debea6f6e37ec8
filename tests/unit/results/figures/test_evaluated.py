"""Learning curves: lines that can be told apart, and panels for many."""

import io

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from pixelherd.results.figures import evaluated as evaluated_figures
from pixelherd.results.tables import runs
from unit.results.drawn import write_run


def test_curves_differ_without_their_colours(monkeypatch):
    monkeypatch.setattr(evaluated_figures, "COLOURS", ["black"] * len(evaluated_figures.COLOURS))
    line = pd.DataFrame({"method": "any", "labelled_pixels": [1, 9], "miou_mean": [0.4, 0.5], "miou_std": [0.0, 0.0]})
    drawn = set()
    for number in range(18):
        figure = Figure(figsize=(2, 1))
        evaluated_figures.draw_curve(figure.subplots(), line, number)
        figure.savefig(picture := io.BytesIO(), format="rgba")
        drawn.add(picture.getvalue())
    assert len(drawn) == 18


def test_only_the_reference_is_a_black_dashed_line_without_markers(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(evaluated_figures, "save", lambda figure, *_: drawn.append(figure))
    folders = [write_run(tmp_path, f"method-{number}", rounds=2) for number in range(7)]
    folders.append(write_run(tmp_path, "full", budget="all", rounds=1))
    evaluated_figures.learning_curves(runs.read_metrics(folders, 2), tmp_path)
    lines = {line for axes in drawn[0].axes for line in axes.get_legend_handles_labels()[0]}
    dashed = {line.get_label(): line for line in lines if line.get_linestyle() == "--"}
    assert {name.split()[0] for name in dashed} == {"method-6", "full"}, "as the caption says"
    looks = {name.split()[0]: (line.get_color(), line.get_marker()) for name, line in dashed.items()}
    assert looks["full"] == ("black", "None") and looks["method-6"] not in (looks["full"], ("black", "None"))


def test_many_methods_are_spread_over_panels(tmp_path):
    folders = [write_run(tmp_path, f"method-{number}", rounds=2) for number in range(7)]
    heights = []
    for count in (6, 7):
        evaluated_figures.learning_curves(runs.read_metrics(folders[:count], 2), tmp_path / str(count))
        (path,) = (tmp_path / str(count)).rglob("learning_curves.png")
        heights.append(Image.open(path).height)
    assert heights[1] == 2 * heights[0]
