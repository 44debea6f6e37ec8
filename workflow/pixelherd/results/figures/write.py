"""All figures of a study, made from finished run folders alone."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pixelherd.results.figures import asked as of_asked
from pixelherd.results.figures import compared as of_compared
from pixelherd.results.figures import evaluated as of_evaluated
from pixelherd.results.figures import overlays
from pixelherd.results.figures import ranks as of_ranks
from pixelherd.results.settings import DEFAULTS, TableSettings
from pixelherd.results.tables import asked, compared, evaluated, leaderboard
from pixelherd.results.tables.runs import in_order, read_metrics
from pixelherd.study.paths import THUMBNAILS


def write_figures(
    folders: Iterable[Path | str],
    rounds: int,
    folder: Path | str,
    methods: Sequence[str] = (),
    settings: TableSettings = DEFAULTS,
) -> None:
    """Draw all figures of a study into ``folder/{dataset}/{features}/budget-{budget}/``.

    ``learning_curves``, ``differences`` and ``labels_per_class`` as PNG and SVG; ``labels_per_round.png``,
    ``scores-{method}.png`` of each method that ranks a pool, and ``overlay-{method}.png`` of each method's first seed
    that has thumbnails; where a person labels, ``settling`` as PNG and SVG; over all
    setups of a budget ``ranks`` as PNG and SVG.

    Args:
        folders: finished run folders of the study.
        rounds: rounds that the study asks for.
        folder: where the figures go.
        methods: the study's order of methods.
        settings: what methods are compared with, and how.

    Raises:
        UserError: a file of a run is missing or malformed.
    """
    runs, folder = in_order(folders, methods), Path(folder)  # once: their files are many
    metrics = evaluated.tested(read_metrics(runs, rounds, methods))
    differences = compared.comparison(metrics, settings.reference, settings.confidence)
    of_evaluated.learning_curves(metrics, folder, methods)
    of_compared.differences(differences, settings.confidence, folder, methods)
    in_all = leaderboard.ranks(metrics), leaderboard.friedman(metrics, settings.confidence)
    of_ranks.critical_differences(*in_all, folder)
    of_asked.class_rounds(asked.labels_per_round(runs, rounds, methods), folder)
    of_asked.score_ranges(asked.scores(runs, rounds, methods), folder)
    of_asked.settling(asked.stopping(runs, rounds, methods), folder, methods)
    of_asked.class_bars(asked.labels_per_class(runs, rounds, methods), folder, methods)
    drawn = set()
    for run in runs:
        path = run.setup.folder(folder) / f"overlay-{run.run.method}.png"
        if path not in drawn and (run.folder / THUMBNAILS).is_file():
            overlays.overlay(run.folder, rounds, path)
            drawn.add(path)
