"""Differences between methods, and their intervals."""

from pixelherd.results.figures import compared as compared_figures
from pixelherd.results.tables import compared, runs
from unit.results.drawn import write_run


def test_means_of_differences_stand_out_of_their_intervals(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(compared_figures, "save", lambda figure, *_: drawn.append(figure))
    folders = [write_run(tmp_path, f"method-{number}", seed=seed, rounds=2) for number in range(8) for seed in (0, 1)]
    metrics = runs.read_metrics(folders, 2)
    compared_figures.differences(compared.comparison(metrics, "method-0"), 0.95, tmp_path)
    lines = [line for line in drawn[0].axes[0].get_lines() if line.get_color() != "black"]
    bars = [line for line in lines if len(line.get_xdata()) == 2]
    means = [line for line in lines if len(line.get_xdata()) == 1]
    assert len(bars) == len(means) == 7
    for bar, mean in zip(bars, means, strict=True):
        assert mean.get_markersize() > 4 * bar.get_linewidth() and mean.get_zorder() > bar.get_zorder()
        assert mean.get_markeredgecolor() != mean.get_color()
