"""The report of a study: one HTML file that answers first and explains below.

Snakemake's own report cannot be the output of a rule, needs the network for its script libraries, and holds the time at
which it was made; this page is made from finished runs and figures alone, fetches nothing, and has the same bytes
whenever it is made.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pixelherd.results.pages.format import html_text
from pixelherd.results.pages.write import make_pages
from pixelherd.results.report.across import across
from pixelherd.results.report.chapter import OfSetup, Sources
from pixelherd.results.report.terms import Terms
from pixelherd.results.settings import DEFAULTS, TableSettings
from pixelherd.results.setups import by_setup
from pixelherd.results.tables.runs import FinishedRun, in_order
from pixelherd.storage.stores import read_manifest

TITLE = "pixelherd report"


def make_report(
    folders: Iterable[Path | str],
    rounds: int,
    figures: Path | str,
    template: str,
    captions: Mapping[str, str],
    methods: Sequence[str] = (),
    settings: TableSettings = DEFAULTS,
) -> str:
    """Make the HTML of a study's report.

    Args:
        folders: finished run folders of the study.
        rounds: rounds that the study asks for.
        figures: folder of the study's figures, with its manifest.
        template: Jinja2 source of the page.
        captions: how to read a figure, by its file's name without method and suffix.
        methods: the study's order of methods.
        settings: what methods are compared with, and how.

    Raises:
        UserError: a file of a run, or a figure, is missing or malformed.
    """
    import jinja2

    figures = Path(figures)
    read_manifest(figures)
    runs, terms = in_order(folders, methods), Terms()
    pages = {page.name: page for page in make_pages(runs, rounds, methods, settings)}
    study = Sources(runs, rounds, figures, captions, pages, list(methods), settings.confidence)
    chapters = [OfSetup(study, setup, rows).chapter() for setup, rows in by_setup(pages["final"].values)]
    chapters += across(study)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters |= {"emphasised": html_text, "explained": terms.explained, "term": terms.key}
    return environment.from_string(template).render(
        title=TITLE, facts=facts(runs, rounds), chapters=chapters, terms=terms
    )


def facts(runs: Sequence[FinishedRun], rounds: int) -> list[tuple[str, str]]:
    """Say what the study is, as names and values."""
    names = {"dataset": "datasets", "features": "features", "method": "methods", "budget": "budgets"}
    found = [(name, ", ".join(dict.fromkeys(getattr(each.run, key) for each in runs))) for key, name in names.items()]
    seeds = ", ".join(map(str, sorted({each.run.seed for each in runs})))
    return [*found, ("seeds", seeds), ("rounds", str(rounds)), ("runs", str(len(runs)))]
