"""The same runs made twice, on two machines: how many agree byte for byte, and how far the others drift apart."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pixelherd.errors import UserError
from pixelherd.results.archive.carried import Carried, Runs
from pixelherd.results.archive.packed import ROUND
from pixelherd.results.setups import METHOD
from pixelherd.study.paths import METRICS, QUERIES

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Repeats:
    """What two sets of runs have in common.

    Attributes:
        runs: a row for each run and round that both have: dataset, features, budget, method, seed, round, is_equal (all
            tables of the run are the same bytes), same_now and same_so_far (shares, in [0, 1], of the pixels that the
            round, and all rounds until it, asked in both; NaN where nothing is asked), miou_difference (second minus
            first, in [-1, 1]; NaN without test images).
        first_only, second_only: runs that one of them has.
        other_settings: paths of runs that both have, made by other settings: no repeats, and left out.
    """

    runs: "pd.DataFrame"
    first_only: int
    second_only: int
    other_settings: list[str]


def repeats(first: Runs, second: Runs) -> Repeats:
    """Compare the runs that two sets share.

    Raises:
        UserError: they share none.
    """
    import pandas as pd

    both = [path for path in first if path in second]
    settings = "settings_sha256"
    others = [path for path in both if first[path].seal[settings] != second[path].seal[settings]]
    parts = [_rounds(first[path], second[path]) for path in both if path not in others]
    if not parts:
        why = f"{len(others)} runs of the same names have other settings" if others else "no run of one is in the other"
        raise UserError(f"there is nothing to compare: {why}", remedy="name two results of one study")
    runs = pd.concat(parts, ignore_index=True)
    return Repeats(runs, len(first) - len(both), len(second) - len(both), others)


def _rounds(one: Carried, other: Carried) -> "pd.DataFrame":
    """A row for each round that two runs of one name have."""
    import pandas as pd

    tested = [pd.read_csv(io.StringIO(each.tables[METRICS])).set_index(ROUND)["miou"] for each in (one, other)]
    differences = (tested[1] - tested[0]).dropna()
    rows, asked = [], (set[str](), set[str]())
    for number in range(min(one.seal["rounds"], other.seal["rounds"])):
        now = _asked(one, number), _asked(other, number)
        for all_so_far, these in zip(asked, now, strict=True):
            all_so_far |= these
        rows.append([number, _shared(*now), _shared(*asked), differences.get(number, float("nan"))])
    table = pd.DataFrame(rows, columns=[ROUND, "same_now", "same_so_far", "miou_difference"])
    table.insert(0, "is_equal", not one.differs_from(other))
    for place, (column, value) in enumerate(vars(one.run).items()):
        table.insert(place, column, value)
    return table


def _asked(run: Carried, number: int) -> set[str]:
    """The pixels that a round asked for, as the text of image, row and column."""
    lines = run.tables.get(f"round-{number}/{QUERIES}", "").splitlines()[1:]
    return {text.rsplit(",", 1)[0] for text in lines}


def _shared(one: set[str], other: set[str]) -> float:
    """Share of the pixels of the larger set that are in both."""
    return len(one & other) / max(len(one), len(other)) if one or other else float("nan")


def by_round(runs: "pd.DataFrame") -> "pd.DataFrame":
    """Tabulate drift over rounds: runs, those with the same pixels so far, shares, and differences in mIoU."""
    return _summary(runs.groupby(ROUND, sort=True))


def by_method(runs: "pd.DataFrame") -> "pd.DataFrame":
    """Tabulate drift after the last round, by dataset, features, budget and method."""
    last = runs[runs[ROUND] == runs.groupby([*METHOD, "seed"])[ROUND].transform("max")]
    return _summary(last.groupby(METHOD, sort=False))


def _summary(groups: "pd.api.typing.DataFrameGroupBy") -> "pd.DataFrame":
    table = groups.agg(
        runs=("is_equal", "size"),
        equal=("is_equal", "sum"),
        same_pixels=("same_so_far", lambda shares: int((shares == 1).sum())),
        same_now=("same_now", "mean"),
        same_so_far=("same_so_far", "mean"),
        least=("same_so_far", "min"),
        miou_mean=("miou_difference", "mean"),
        miou_std=("miou_difference", "std"),
        miou_largest=("miou_difference", lambda values: values.abs().max()),
    )
    return table.reset_index()


def in_words(found: Repeats, first: Path, second: Path) -> str:
    """Write what :func:`repeats` found as Markdown: shares in percent, differences in points of mIoU."""
    runs = found.runs.drop_duplicates([*METHOD, "seed"])
    last = found.runs[found.runs[ROUND] == found.runs.groupby([*METHOD, "seed"])[ROUND].transform("max")]
    differences = 100 * last["miou_difference"].dropna()
    lines = [
        f"# {first} and {second}",
        "",
        f"Runs that both have: {len(runs)}, of which {int(runs['is_equal'].sum())} agree byte for byte in all tables. "
        f"Runs of the first alone: {found.first_only}, of the second alone: {found.second_only}"
        f"; of other settings, and left out: {len(found.other_settings)}.",
    ]
    if len(differences):
        lines.append(
            f"After the last round mIoU differs by {differences.mean():+.2f} points on average (second minus first; "
            f"absolute {differences.abs().mean():.2f}), by {differences.abs().max():.2f} at most."
        )
    note = (
        "Equal: runs with the same bytes in all tables. Same pixels: runs that have asked the same ones so far. Now, "
        "so far, least: share of pixels that both asked in the round, until it, and that of the run that shares least "
        "(%). Mean, std, largest: difference in mIoU (points)."
    )
    return "\n".join([*lines, "", note, "", _markdown(by_round(found.runs)), "", _markdown(by_method(found.runs)), ""])


def _markdown(table: "pd.DataFrame") -> str:
    percent = ["same_now", "same_so_far", "least"]
    text = table.assign(**{name: (100 * table[name]).map("{:.1f}".format) for name in percent})
    text = text.assign(**{name: (100 * table[f"{name}"]).map("{:+.2f}".format) for name in ("miou_mean",)})
    text = text.assign(**{name: (100 * table[name]).map("{:.2f}".format) for name in ("miou_std", "miou_largest")})
    names = {"same_pixels": "same pixels", "same_now": "now", "same_so_far": "so far"}
    names |= {f"miou_{name}": name for name in ("mean", "std", "largest")}
    return text.replace("nan", "–").rename(columns=names).to_markdown(index=False, disable_numparse=True)
