"""The last chapters of a report: what all setups of a budget say together."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pixelherd.results.pages.cells import probabilities
from pixelherd.results.report.chapter import Block, Chapter, Part, Sources
from pixelherd.results.report.gallery import data_uri
from pixelherd.results.report.verdict import NAMED, Verdict, listed
from pixelherd.results.setups import EVERY, Setup, by_setup

if TYPE_CHECKING:
    import pandas as pd

PARTS = {"Ranks": ["ranks.svg", "friedman", "ranks"], "Pairs": ["signed_ranks"], "Stability": ["stability"]}
"""What each part shows: a figure by its file's name, tables by theirs."""


def across(study: Sources) -> Iterator[Chapter]:
    """Yield a chapter for each budget that several datasets or features share methods on.

    Raises:
        OSError: the figure cannot be read.
    """
    ranks = study.pages["ranks"].values
    for setup, rows in by_setup(ranks[(ranks["dataset"] == EVERY) & (ranks["features"] == EVERY)]):
        anchor = f"-all-{setup.budget}".replace(".", "_")
        parts = [
            Part(heading, f"across{number}{anchor}", [block for name in names for block in _blocks(study, setup, name)])
            for number, (heading, names) in enumerate(PARTS.items())
        ]
        told = verdict(rows, study.values("friedman", setup))
        yield Chapter(setup.heading, f"chapter{anchor}", told, [part for part in parts if part.blocks], [])


def verdict(ranks: "pd.DataFrame", friedman: "pd.DataFrame") -> Verdict:
    """Say which method ranks first over all blocks, and whether methods differ at all."""
    first, *others = ranks.itertuples()
    text = f"{first.method} has the best average rank, {first.rank_mean:.1f} over {first.blocks} datasets × features"
    behind = listed([f"{row.method} {row.rank_mean:.1f}" for row in others[:NAMED]], len(others) - NAMED)
    tests = [
        f"{p} over {row.blocks} blocks of {row.block}"
        for row, p in zip(friedman.itertuples(), probabilities(friedman["f_p"]), strict=True)
        if p != "–"
    ]
    rest = f"Friedman's test, F: p {' and '.join(tests)}." if tests else "Blocks or methods are too few for a test."
    return Verdict(f"{text}; {behind}.", rest)


def _blocks(study: Sources, setup: Setup, name: str) -> list[Block]:
    if name.endswith(".svg"):
        found, ranks = list[Block](), study.pages["ranks"].values
        for each, _ in by_setup(ranks[(ranks["dataset"] == EVERY) & (ranks["budget"] == setup.budget)]):
            path, title = each.folder(study.figures) / name, f"Average ranks: {each.heading}, as a picture"
            alt = f"Average ranks of methods on a line, {each.heading}; the table below has the numbers."
            note = "Read as the first." if found else study.captions[name.removesuffix(".svg")]
            found += [Block(title, note, picture=data_uri(path), alt=alt)] if path.is_file() else []
        return found
    page, is_long = study.pages[name], name == "signed_ranks"
    return [
        Block(f"{page.title}: {each.setup.heading}", f"{each.remark} {page.note}".strip(), is_long, table=each.table)
        for each in page.sections
        if each.setup.budget == setup.budget and EVERY in each.setup
    ]
