"""The tables of a study: what they are called, in the order in which they are shown.

Planning asks for their files, so nothing heavy is imported here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """What pages and the report have to know of a table besides its content.

    Attributes:
        name: what files call it.
        is_evaluated: holds what evaluation on the test split gives, which datasets without test images lack.
        has_means: holds means over seeds that invite to compare methods.
        is_folded: is long, and mostly shown by a figure as well: the report folds it.
    """

    name: str
    is_evaluated: bool = False
    has_means: bool = False
    is_folded: bool = False


REGISTRY = {
    table.name: table
    for table in (
        Table("final", is_evaluated=True, has_means=True),
        Table("curves", is_evaluated=True, has_means=True, is_folded=True),
        Table("area", is_evaluated=True, has_means=True),
        Table("leaderboard", is_evaluated=True, has_means=True),
        Table("comparison", is_evaluated=True),
        Table("stages", is_evaluated=True),
        Table("features", is_evaluated=True),
        Table("wins", is_evaluated=True),
        Table("labels_needed", is_evaluated=True),
        Table("power", is_evaluated=True, is_folded=True),
        Table("ranks", is_evaluated=True),
        Table("friedman", is_evaluated=True),
        Table("signed_ranks", is_evaluated=True, is_folded=True),
        Table("stability", is_evaluated=True),
        Table("classes", is_evaluated=True, has_means=True),
        Table("labels_per_class", is_folded=True),
        Table("labels_per_round", is_folded=True),
        Table("queries"),
        Table("effort", has_means=True),
        Table("scores", is_folded=True),
        Table("correlations", is_folded=True),
        Table("stopping"),
    )
}

TABLES: tuple[str, ...] = tuple(REGISTRY)
