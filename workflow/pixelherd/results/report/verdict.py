"""What a study says, in a sentence or two: which method won, by how much, and whether that is more than chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

NAMED = 3
"""Methods of one kind that a sentence names; of others it tells how many there are."""

SETTLED, LASTING = 0.99, 3
"""Kappa with the round before, and rounds in a row, from which on predictions count as settled: Bloodgood's rule."""


@dataclass(frozen=True)
class Verdict:
    """What a study says of one setup.

    Attributes:
        text: the verdict.
        rest: what belongs beside it.
    """

    text: str
    rest: str = ""


def of_methods(comparison: "pd.DataFrame", final: "pd.DataFrame", confidence: float) -> Verdict:
    """Say which method won on a setup.

    Args:
        comparison: rows of the table ``comparison`` for the setup.
        final: rows of the table ``final`` for it.
        confidence: coverage of the intervals; the rest is the largest p that counts as more than chance.
    """
    rows = list(comparison.sort_values("difference_mean", ascending=False, kind="stable").itertuples())
    levels = levels_of(final)
    if not rows:
        return Verdict(levels)
    ahead, behind = ([row for row in rows if _is_shown(row, sign, confidence)] for sign in (1, -1))
    open_ones = [row for row in rows if row not in ahead and row not in behind]
    sentences = [_shown(ahead, "leads", confidence)] if ahead else []
    if behind:
        sentences.append(_shown(behind[::-1], "falls behind", confidence))
    if open_ones:
        sentences.append(_open(open_ones, len(rows), confidence))
    return Verdict(" ".join(sentences), levels)


def _is_shown(row: Any, sign: int, confidence: float) -> bool:
    return sign * row.difference_mean > 0 and row.t_p_holm < 1 - confidence


def _shown(rows: Sequence[Any], verb: str, confidence: float) -> str:
    """Say by how much the first of ``rows`` is away from what they are compared with, and which others are."""
    first, others = rows[0], rows[1:]
    low, high = sorted((abs(first.difference_low), abs(first.difference_high)))
    text = (
        f"{first.method} {verb} {first.against} by {abs(100 * first.difference_mean):.1f} points "
        f"({100 * confidence:g} % interval {100 * low:.1f} to {100 * high:.1f}, {first.seeds} seeds)"
    )
    return f"{text}; so {'does' if len(others) == 1 else 'do'} {_named(others)}." if others else f"{text}."


def _open(rows: Sequence[Any], compared: int, confidence: float) -> str:
    """Say which methods nothing is shown of."""
    first = rows[0]
    if max(row.seeds for row in rows) < 2:
        return f"One seed does not tell merit from chance. In it, points over {first.against}: {_named(rows)}."
    if len(rows) > 1:
        few = " after correction for all comparisons" if compared > 1 else ""
        return f"Not to be told apart from {first.against}{few}: {_named(rows)}."
    interval = ""
    if not math.isnan(first.difference_low):
        low, high = 100 * first.difference_low, 100 * first.difference_high
        interval = f"{100 * confidence:g} % interval {low:+.1f} to {high:+.1f}, "
    return (
        f"{first.method} and {first.against} cannot be told apart: {100 * first.difference_mean:+.1f} points "
        f"({interval}{first.seeds} seeds)."
    )


def _named(rows: Sequence[Any]) -> str:
    names = [f"{row.method} ({100 * row.difference_mean:+.1f})" for row in rows]
    return listed(names[:NAMED], len(names) - NAMED)


def listed(names: Sequence[str], more: int = 0) -> str:
    """Join names as a sentence does, with how many more there are."""
    names = [*names, f"{more} more"] if more > 0 else list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def levels_of(final: "pd.DataFrame") -> str:
    """Say where methods end, the best first and the reference last."""
    rows = final.sort_values(["reference", "miou_mean"], ascending=[True, False], kind="stable")
    methods = [row for row in rows.itertuples() if not row.reference]
    reference = [f"{row.method} {100 * row.miou_mean:.1f} %" for row in rows.itertuples() if row.reference]
    if not methods:
        return f"mIoU on the test images: {reference[0]}."
    labels = methods[0].labelled_pixels
    named = [f"{row.method} {100 * row.miou_mean:.1f} %" for row in methods]
    text = f"mIoU after {labels:,.10g} labelled pixels: {listed(named[: NAMED + 1], len(named) - NAMED - 1)}"
    return f"{text}; {reference[0]}, which learns every label." if reference else f"{text}."


def of_own_images(stopping: "pd.DataFrame", images: int) -> Verdict:
    """Say what a person's labels gave on images without test masks."""
    scored = "No test masks, so nothing here says how right the masks are."
    if stopping.empty:
        return Verdict(f"Masks of {images} images.", scored)
    labels = _of_first_method(stopping)["labelled_pixels_mean"].iloc[-1]
    return Verdict(f"{labels:,.10g} labelled pixels give masks of {images} images. {when_to_stop(stopping)}", scored)


def _of_first_method(stopping: "pd.DataFrame") -> "pd.DataFrame":
    return stopping[stopping["method"] == stopping["method"].iloc[0]]


def when_to_stop(stopping: "pd.DataFrame") -> str:
    """Say whether another round is worth it, from the rows of the first method in the table ``stopping``."""
    rows = _of_first_method(stopping)
    kappa, last = rows["kappa_mean"], rows.iloc[-1]
    if len(rows) < 2:
        return "After one round nothing tells whether the predictions have settled: label another."
    if (kappa.tail(LASTING) >= SETTLED).all() and kappa.notna().sum() >= LASTING:
        return "The predictions have settled: you can stop, more labels will change little."
    changed = 100 * (1 - last["agreement_mean"])
    return f"The predictions still move: the last round changed {changed:.1f} % of the pixels, so another is worth it."
