"""Tables of methods against each other, seed by seed, by the area under the budget curve."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pixelherd.results.setups import METHOD
from pixelherd.results.tables import statistics
from pixelherd.results.tables.evaluated import area_by_run

if TYPE_CHECKING:
    import pandas as pd

DIFFERENCES = [f"difference_{part}" for part in ("mean", "std", "low", "high")]

TESTS = ["t_p", "t_p_holm", "flip_p", "flip_p_holm", "flip_p_smallest", "flip_p_smallest_holm"]


def areas_by_seed(metrics: "pd.DataFrame", between: str = "method") -> Iterator[tuple[dict, "pd.DataFrame"]]:
    """Yield for each (dataset, features, budget) the areas [seed, method], methods in their order, NaN for no run.

    With another column ``between`` than ``method`` the two change places: for each (dataset, budget, method) the areas
    [seed, features].
    """
    keys = [name for name in METHOD if name != between]
    for key, rows in area_by_run(metrics).groupby(keys, sort=False):
        areas = rows.pivot(index="seed", columns=between, values="miou_area")
        yield dict(zip(keys, key, strict=True)), areas[rows[between].unique()]


def comparison(
    metrics: "pd.DataFrame",
    against: str | Mapping[str, str] | None,
    confidence: float = 0.95,
    between: str = "method",
) -> "pd.DataFrame":
    """Compare each method's area under the budget curve with one method's, seed by seed over the seeds that both have.

    p-values are corrected by Holm over the methods of one dataset, features and budget, each test for itself. Between
    ``features`` it is the method that stays: each features entry against one of them, corrected over the entries.

    Args:
        metrics: from :func:`pixelherd.results.tables.runs.read_metrics`.
        against: the method that all others are compared with, or by method the one that it is compared with, others
            being left out; None makes an empty table. Between ``features`` the entry, or by dataset the entry.
        confidence: coverage of the t-interval.
        between: the column that is compared, ``method`` or ``features``.

    Returns:
        Columns: dataset, features, budget, method, against, seeds (that both have), difference_mean and
        difference_std (method minus the other, in [-1, 1]), difference_low and difference_high (t-interval), t_p,
        t_p_holm, flip_p, flip_p_holm (sign-flip test), flip_p_smallest (that so many seeds can reach) and
        flip_p_smallest_holm (the same, corrected where all methods reach theirs). NaN where seeds are too few.
    """
    import pandas as pd

    parts = []
    for key, areas in areas_by_seed(metrics, between):
        one = against.get(key["dataset"]) if between == "features" and isinstance(against, Mapping) else against
        pairs = one if isinstance(one, Mapping) else {name: one for name in areas if name != one}
        found = [
            {**key, between: name, "against": other, **_paired(areas[[name, other]].dropna(), confidence)}
            for name, other in pairs.items()
            if name in areas and other in areas
        ]
        if found:
            part = pd.DataFrame(found)
            # Holm never falls where a p rises: of the smallest p-values it gives the smallest corrected ones
            for test in ("t_p", "flip_p", "flip_p_smallest"):
                part[f"{test}_holm"] = statistics.holm(part[test])
            parts.append(part)
    columns = [*METHOD, "against", "seeds", *DIFFERENCES, *TESTS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _paired(both: "pd.DataFrame", confidence: float) -> dict[str, float]:
    """Difference and tests of the areas [seed, 2] of one and the other."""
    found = statistics.paired(both.iloc[:, 0], both.iloc[:, 1], confidence)
    return {
        "seeds": found.seeds,
        **dict(zip(DIFFERENCES, (found.mean, found.std, found.low, found.high), strict=True)),
        "t_p": found.t_p,
        "flip_p": found.flip_p,
        "flip_p_smallest": found.smallest_p,
    }


def wins(metrics: "pd.DataFrame") -> "pd.DataFrame":
    """Count the seeds in which one method's area under the budget curve exceeds another's; equal areas are half a win.

    Returns:
        Columns: dataset, features, budget, method, opponent, seeds (that both have), wins, share (NaN without a
        common seed).
    """
    import pandas as pd

    rows = []
    for key, areas in areas_by_seed(metrics):
        for method in areas.columns:
            for opponent in areas.columns.drop(method):
                difference = (areas[method] - areas[opponent]).dropna()
                won = float((difference > 0).sum() + (difference == 0).sum() / 2)
                rows.append([*key.values(), method, opponent, len(difference), won])
    table = pd.DataFrame(rows, columns=[*METHOD, "opponent", "seeds", "wins"])
    table["share"] = table["wins"] / table["seeds"].where(table["seeds"] > 0)
    return table
