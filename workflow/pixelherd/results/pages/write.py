"""All tables of a study, as pages and as files."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pixelherd.results.pages import asked as of_asked
from pixelherd.results.pages import compared as of_compared
from pixelherd.results.pages import evaluated as of_evaluated
from pixelherd.results.pages import leaderboard as of_leaderboard
from pixelherd.results.pages.format import Page
from pixelherd.results.registry import REGISTRY, TABLES
from pixelherd.results.settings import DEFAULTS, TableSettings
from pixelherd.results.setups import Setup
from pixelherd.results.tables import asked, compared, effort, evaluated, leaderboard
from pixelherd.results.tables.runs import FinishedRun, in_order, read_metrics
from pixelherd.results.tables.seeds import uneven_seeds
from pixelherd.storage.files import write_text

if TYPE_CHECKING:
    import pandas as pd

OTHER_SEEDS = (
    "Methods do not all have the same seeds here, so their means differ by that too; the differences between methods "
    "are taken over common seeds."
)


def make_pages(
    folders: Iterable[Path | str | FinishedRun],
    rounds: int,
    methods: Sequence[str] = (),
    settings: TableSettings = DEFAULTS,
) -> list[Page]:
    """Make all tables of a study, those of :mod:`pixelherd.results.registry` in its order.

    Args:
        folders: finished run folders of the study.
        rounds: rounds that the study asks for.
        methods: the study's order of methods.
        settings: what methods are compared with, and how.

    Raises:
        UserError: a file of a run is missing or malformed.
    """
    folders = in_order(folders, methods)  # once: their files are many
    metrics = read_metrics(folders, rounds, methods)
    tested = evaluated.tested(metrics)
    reference, features, confidence = settings.reference, settings.features, settings.confidence
    miou, source = (settings.published.miou, settings.published.source) if settings.published else (None, None)
    differences = compared.comparison(tested, reference, confidence)
    between_stages = compared.comparison(tested, settings.stages, confidence)
    between_features = compared.comparison(tested, features, confidence, between="features")
    pages = [
        of_evaluated.final_page(evaluated.final(metrics, miou), source),
        of_evaluated.curves_page(evaluated.curves(tested)),
        of_evaluated.area_page(evaluated.area(tested)),
        of_compared.comparison_page(differences, reference, confidence),
        of_compared.stages_page(between_stages, confidence),
        of_compared.features_page(between_features, features, confidence),
        of_compared.wins_page(compared.wins(tested)),
        of_evaluated.labels_needed_page(evaluated.labels_needed(tested, settings.fractions)),
        of_evaluated.classes_page(evaluated.classes(tested)),
        of_asked.labels_per_class_page(asked.labels_per_class(folders, rounds, methods)),
        of_asked.labels_per_round_page(asked.labels_per_round(folders, rounds, methods)),
        of_asked.queries_page(asked.queries(folders, rounds, methods)),
        of_asked.effort_page(effort.effort(folders, rounds, methods, tested, settings.effort), settings.effort),
        of_asked.scores_page(asked.scores(folders, rounds, methods)),
        of_asked.correlations_page(asked.correlations(folders, rounds, methods)),
        of_asked.stopping_page(asked.stopping(folders, rounds, methods)),
    ]
    pages += _in_order(tested, settings)
    made = {page.name: page for page in pages}
    assert made.keys() == REGISTRY.keys(), "the registry names what is made here, and nothing else"
    uneven, datasets = uneven_seeds(tested), set(tested["dataset"])
    untested = [name for name in metrics["dataset"].unique() if name not in datasets]
    return [with_remarks(made[name], uneven, untested) for name in TABLES]


def _in_order(tested: "pd.DataFrame", settings: TableSettings) -> list[Page]:
    """Pages of methods in order, in each setup and over all of them."""
    reference, confidence, rope = settings.reference, settings.confidence, settings.rope
    best_first = leaderboard.leaderboard(tested, reference, confidence, rope)
    pairs = leaderboard.signed_ranks(tested, confidence, rope)
    return [
        of_leaderboard.leaderboard_page(best_first, reference, confidence, rope),
        of_leaderboard.power_page(leaderboard.power(tested, reference, confidence), reference, confidence),
        of_leaderboard.ranks_page(leaderboard.ranks(tested)),
        of_leaderboard.friedman_page(leaderboard.friedman(tested, confidence), confidence),
        of_leaderboard.signed_ranks_page(pairs, confidence, rope),
        of_leaderboard.stability_page(leaderboard.stability(tested)),
    ]


def with_remarks(page: Page, uneven: set[Setup], untested: Sequence[str]) -> Page:
    """Add what has to be said of a page of such a table.

    Args:
        page: the page.
        uneven: setups whose methods do not all have the same seeds.
        untested: datasets without test images.
    """
    table = REGISTRY[page.name]
    if table.has_means:
        sections = (replace(each, remark=OTHER_SEEDS) if each.setup in uneven else each for each in page.sections)
        page = replace(page, sections=tuple(sections))
    if table.is_evaluated and untested:
        remark = f"Not evaluated, since without test images: {', '.join(untested)}."
        page = replace(page, remark=remark)
    return page


def write_tables(
    folders: Iterable[Path | str],
    rounds: int,
    folder: Path | str,
    methods: Sequence[str] = (),
    settings: TableSettings = DEFAULTS,
) -> None:
    """Write all tables of a study into ``folder``, as CSV, Markdown and LaTeX.

    The CSV files hold fractions with nine digits, small p included; the others percentages, mean ± standard
    deviation over seeds. The bytes depend on neither the order of ``folders`` nor the clock.

    Args:
        folders: finished run folders of the study.
        rounds: rounds that the study asks for.
        folder: where the files go.
        methods: the study's order of methods.
        settings: what methods are compared with, and how.

    Raises:
        UserError: a file of a run is missing or malformed; nothing is written then.
    """
    for page in make_pages(folders, rounds, methods, settings):
        write_text(Path(folder) / f"{page.name}.csv", page.csv())
        write_text(Path(folder) / f"{page.name}.md", page.markdown())
        write_text(Path(folder) / f"{page.name}.tex", page.latex())
