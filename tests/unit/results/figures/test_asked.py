"""Figures of what was asked for: bars that can be told apart, and axes that hold what they show."""

import pandas as pd

from pixelherd.results.figures import asked as asked_figures
from pixelherd.results.tables import asked
from unit.results.drawn import write_run


def test_bars_differ_without_their_colours(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(asked_figures, "save", lambda figure, *_: drawn.append(figure))
    folders = [write_run(tmp_path, f"method-{number:02}", rounds=2) for number in range(14)]
    asked_figures.class_bars(asked.labels_per_class(folders, 2), tmp_path)
    bars = [container.patches[0] for container in drawn[0].axes[0].containers if hasattr(container, "patches")]
    assert len(bars) == 14 == len({(bar.get_hatch(), bar.get_edgecolor()) for bar in bars})


def test_scores_with_a_pole_have_a_logarithmic_axis(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(asked_figures, "save", lambda figure, *_: drawn.append(figure))
    levels = {f"q{level}": 1.0 + level for level in (5, 25, 50, 75, 95)}
    keys = {"dataset": "toy", "features": "ddpm", "budget": "0.1", "method": "any", "round": 1}
    pairs = [(score, group) for score in ("balentacq", "entropy") for group in ("pool", "chosen")]
    asked_figures.score_ranges(pd.DataFrame([{**keys, "score": s, "group": g, **levels} for s, g in pairs]), tmp_path)
    assert [axes.get_yscale() for axes in drawn[0].axes] == ["symlog", "linear"]
