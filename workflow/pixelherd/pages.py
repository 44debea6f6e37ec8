"""Tables to read: text with percentages and ±, as Markdown and as LaTeX, beside CSV files with nine digits.

A :class:`Page` is one table of a study, cut into a section per dataset, features and budget. Cells and notes are plain
text in which ``*method*`` is emphasised; each format writes that in its own way.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import choices, statistics, tables
from .storage import write_text
from .tables import METHOD, REFERENCE

if TYPE_CHECKING:
    import pandas as pd

SETTINGS = {
    "reference": None,
    "stages": {},
    "features": None,
    "confidence": 0.95,
    "fractions": [0.7, 0.8, 0.9],
    "published": None,
}
"""The settings of :func:`make` that a study without `statistics` has."""

EVALUATED = ("final", "curves", "area", "comparison", "stages", "features", "wins", "labels_needed", "classes")
"""Pages of what evaluation on the test split gives."""

MEANS = ("final", "curves", "area", "classes")
"""Pages of means over seeds that invite to compare methods."""

OTHER_SEEDS = (
    "Methods do not all have the same seeds here, so their means differ by that too; the differences between methods "
    "are taken over common seeds."
)

LONG = 40
"""Rows beyond which a LaTeX table breaks over pages."""

EMPHASIS = re.compile(r"\*([^*]+)\*")
STAR = "\ue000"
"""Stands for an asterisk that emphasises nothing (of Unicode's private use); each format writes it in its own way."""

GREEK = {
    # Unicode spells one of them otherwise
    letter: unicodedata.name(letter).split()[-1].replace("LAMDA", "LAMBDA")
    for letter in "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"
}
SIGNS = {letter: name.lower() if letter.islower() else name.capitalize() for letter, name in GREEK.items()} | {
    "±": "pm",
    "·": "cdot",
    "×": "times",
    "÷": "div",
    "≤": "leq",
    "≥": "geq",
    "≠": "neq",
    "≈": "approx",
    "→": "rightarrow",
    "←": "leftarrow",
    "↔": "leftrightarrow",
    "⇒": "Rightarrow",
    "∞": "infty",
    "∈": "in",
    "√": "surd",
    "∝": "propto",
}
"""Signs and LaTeX's names of them in formulas."""

# what LaTeX knows in formulas alone, or takes for something else
LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {sign: f"$\\{name}$" for sign, name in SIGNS.items()}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": "$<$", ">": "$>$", "|": "$|$", "−": "$-$", "–": "--", "—": "---", "…": r"\dots{}"}
)


@dataclass(frozen=True)
class Section:
    """A table of text for one (dataset, features, budget), with a remark on it alone."""

    key: tuple[str, str, str]
    table: "pd.DataFrame"
    remark: str = ""

    @property
    def heading(self) -> str:
        dataset, features, budget = self.key
        return f"{dataset} · {features} · budget {budget}"


@dataclass(frozen=True)
class Page:
    """A table of a study: its title, how to read it, and a section per dataset, features and budget."""

    name: str
    title: str
    note: str
    sections: tuple[Section, ...]
    absent: str = ""
    """Stands for the table where there is none, in the whole study or for one dataset, features and budget."""

    def markdown(self) -> str:
        blocks = [f"# {self.title}", self.note if self.sections else self.absent]
        for section in self.sections:
            align = ["left"] + ["right"] * (section.table.shape[1] - 1)
            # a bar would end the cell
            table = section.table.map(lambda cell: cell.replace("|", r"\|"))
            table.columns = [head.replace("|", r"\|") for head in table.columns]
            blocks.append(f"## {section.heading}")
            blocks += [section.remark] if section.remark else []
            blocks.append(table.to_markdown(index=False, disable_numparse=True, colalign=align))
        return "\n\n".join(blocks).replace(STAR, r"\*") + "\n"

    def latex(self) -> str:
        """A booktabs table per section, to be taken into a document that loads the packages of the first line; over
        several pages where it has more than ``LONG`` rows."""
        blocks = ["% \\usepackage{booktabs,longtable}"]
        for section in self.sections:
            style = section.table.style.hide(axis="index").format(latex_text).format_index(latex_text, axis=1)
            heading = f"{self.title}: {section.heading}."
            caption = " ".join(filter(None, [heading, section.remark, self.note]))
            is_long = len(section.table) > LONG
            text = style.to_latex(
                hrules=True,
                column_format="l" + "r" * (section.table.shape[1] - 1),
                environment="longtable" if is_long else None,
                position_float=None if is_long else "centering",
                caption=latex_text(caption),
                label=f"tab:{'-'.join([self.name, *section.key])}",
            )
            # pandas repeats the whole caption on every page
            again = rf"\caption[]{{{latex_text(caption)}}}"
            blocks.append(text.replace(again, rf"\caption[]{{{latex_text(heading)}}}").rstrip())
        return "\n\n".join(blocks) + "\n"


def literal(text: str) -> str:
    """Text of a user, whose asterisks emphasise nothing."""
    return text.replace("*", STAR)


def latex_text(text: str) -> str:
    """Text with LaTeX's special characters escaped and ``*…*`` emphasised.

    Of characters beyond ASCII letters with accents are left to LaTeX, which knows them in files of UTF-8.
    """
    return EMPHASIS.sub(r"\\emph{\1}", text.translate(LATEX)).replace(STAR, "*")


def make(
    folders: Iterable[Path | str], rounds: int, methods: Sequence[str] = (), settings: dict[str, Any] = SETTINGS
) -> tuple[dict[str, "pd.DataFrame"], list[Page]]:
    """All tables of a study, by name with every digit, and as pages.

    Args:
        folders: finished run folders of the study.
        rounds: rounds that the study asks for.
        methods: the study's order of methods.
        settings: ``reference`` (the method that others are compared with, or None), ``stages`` (by two-stage method
            the single-stage one of the same score), ``features`` (the entry that others are compared with, or None),
            ``confidence`` of intervals, ``fractions`` of the fully supervised
            mIoU, ``published`` (``source`` and ``miou`` of published results, or None).

    Raises:
        UserError: a file of a run is missing or malformed.
    """
    folders = list(folders)
    metrics = tables.read_metrics(folders, rounds, methods)
    reference, confidence = settings["reference"], settings["confidence"]
    published = settings["published"]
    evaluated = tables.evaluated(metrics)
    made = {
        "final": tables.final(metrics, published and published["miou"]),
        "curves": tables.curves(evaluated),
        "area": tables.area(evaluated),
        "comparison": tables.comparison(evaluated, reference, confidence),
        "stages": tables.comparison(evaluated, settings["stages"], confidence),
        "features": tables.comparison(evaluated, settings["features"], confidence, between="features"),
        "wins": tables.wins(evaluated),
        "labels_needed": tables.labels_needed(evaluated, settings["fractions"]),
        "classes": tables.classes(evaluated),
        "labels_per_class": tables.labels_per_class(folders, rounds, methods),
        "labels_per_round": choices.labels_per_round(folders, rounds, methods),
        "queries": choices.queries(folders, rounds, methods),
        "scores": choices.scores(folders, rounds, methods),
        "correlations": choices.correlations(folders, rounds, methods),
        "stopping": choices.stopping(folders, rounds, methods),
    }
    pages = [
        final_page(made["final"], published and published["source"]),
        curves_page(made["curves"]),
        area_page(made["area"]),
        comparison_page(made["comparison"], reference, confidence),
        stages_page(made["stages"], confidence),
        features_page(made["features"], settings["features"], confidence),
        wins_page(made["wins"]),
        labels_needed_page(made["labels_needed"]),
        classes_page(made["classes"]),
        labels_per_class_page(made["labels_per_class"]),
        labels_per_round_page(made["labels_per_round"]),
        queries_page(made["queries"]),
        scores_page(made["scores"]),
        correlations_page(made["correlations"]),
        stopping_page(made["stopping"]),
    ]
    uneven = tables.uneven_seeds(evaluated)
    pages = [with_other_seeds(page, uneven) if page.name in MEANS else page for page in pages]
    untested = [name for name in metrics["dataset"].unique() if name not in set(evaluated["dataset"])]
    return made, [without_tests(page, untested) if page.name in EVALUATED else page for page in pages]


def with_other_seeds(page: Page, uneven: set[tuple[str, str, str]]) -> Page:
    """The page with a remark on the (dataset, features, budget) whose methods have ``uneven`` seeds."""
    sections = (replace(each, remark=OTHER_SEEDS) if each.key in uneven else each for each in page.sections)
    return replace(page, sections=tuple(sections))


def without_tests(page: Page, datasets: Sequence[str]) -> Page:
    """The page with a word on the datasets that have no test images, if there are any."""
    if not datasets:
        return page
    remark = f"Not evaluated, since without test images: {', '.join(datasets)}."
    return replace(page, note=f"{remark} {page.note}", absent=f"{remark} {page.absent}")


def write(
    folders: Iterable[Path | str],
    rounds: int,
    folder: Path | str,
    methods: Sequence[str] = (),
    settings: dict[str, Any] = SETTINGS,
) -> None:
    """Write all tables of a study into ``folder``, as CSV, Markdown and LaTeX.

    The CSV files hold fractions with nine digits, small p included; the others percentages, mean ± standard
    deviation over seeds. The bytes depend on neither the order of ``folders`` nor the clock.

    Args:
        folders, rounds, methods, settings: as for :func:`make`.

    Raises:
        UserError: a file of a run is missing or malformed; nothing is written then.
    """
    made, pages = make(folders, rounds, methods, settings)
    for page in pages:
        text = made[page.name].to_csv(index=False, float_format="%.9g", lineterminator="\n")
        write_text(Path(folder) / f"{page.name}.csv", text)
        write_text(Path(folder) / f"{page.name}.md", page.markdown())
        write_text(Path(folder) / f"{page.name}.tex", page.latex())


# Text of numbers.


def spread(table: "pd.DataFrame", name: str, scale: float = 100) -> list[str]:
    """``name_mean ± name_std`` of every row with one decimal: percent by default, no ± with one seed, – for none."""
    means, deviations = table[f"{name}_mean"] * scale, table[f"{name}_std"] * scale
    return [
        text if math.isnan(deviation) else f"{text} ± {deviation:.1f}"
        for text, deviation in zip(numbers(means, ".1f"), deviations, strict=True)
    ]


def numbers(values: Iterable[float], digits: str) -> list[str]:
    """Numbers in a format, – for NaN."""
    return ["–" if math.isnan(value) else f"{value:{digits}}" for value in values]


def probabilities(values: Iterable[float]) -> list[str]:
    return [text if text != "0.000" else "< 0.001" for text in numbers(values, ".3f")]


def method_names(table: "pd.DataFrame") -> list[str]:
    """Method of every row, the reference emphasised."""
    return [f"*{method}*" if method == REFERENCE else method for method in table["method"]]


# Sections of tables.


def by_budget(table: "pd.DataFrame") -> Iterable[tuple[tuple, "pd.DataFrame"]]:
    return table.groupby(METHOD[:3], sort=False)


def columns(table: "pd.DataFrame", **cells: Iterable[str]) -> tuple[Section, ...]:
    """Sections with the given columns, whose cells belong to the table's rows; ``_`` in a name becomes a space."""
    import pandas as pd

    text = pd.DataFrame({name.replace("_", " "): list(values) for name, values in cells.items()}, index=table.index)
    return tuple(Section(key, text.loc[rows.index]) for key, rows in by_budget(table))


def wide(table: "pd.DataFrame", column: str, cells: Iterable[str], index: Sequence[str] = ("method",)) -> tuple:
    """Sections with a row per ``index`` and a column per value of ``column``; numbers ascend, others as they come."""
    sections, is_number = [], table[column].dtype.kind in "iuf"
    for key, rows in by_budget(table.assign(cell=list(cells))):
        grid = rows.pivot(index=list(index), columns=column, values="cell")
        order = rows[list(index)].drop_duplicates().itertuples(index=False, name=None)
        order = [entry[0] if len(index) == 1 else entry for entry in order]
        names = sorted(rows[column].unique()) if is_number else rows[column].unique()
        grid = grid.reindex(index=order, columns=names).fillna("").rename_axis(columns=None)
        grid.columns = [f"{name:,.10g}" if is_number else literal(name) for name in names]
        sections.append(Section(key, grid.reset_index(names=list(index)).astype(str)))
    return tuple(sections)


# The pages.

# why a page has no table
NOT_EVALUATED = f"No method besides *{REFERENCE}* is evaluated here."
NOT_ASKED = f"Nothing was asked here: *{REFERENCE}* labels every pixel."
NOT_RANKED = "No run here ranked a pool by a score, or kept its scores."


def final_page(table: "pd.DataFrame", source: str | None = None) -> Page:
    published = {}
    if source:
        published = {"published mIoU (%)": numbers(100 * table["published_miou"], ".2f")}
    sections = columns(
        table,
        method=method_names(table),
        labelled_pixels=(f"{pixels:,.10g}" for pixels in table["labelled_pixels"]),
        seeds=table["seeds"].astype(str),
        **{
            "mIoU (%)": spread(table, "miou"),
            "pixel accuracy (%)": spread(table, "pixel_accuracy"),
            "mean class accuracy (%)": spread(table, "mean_class_accuracy"),
            **published,
        },
    )
    note = "Test split, mean ± standard deviation over seeds."
    note += f" *{REFERENCE}* labels every training pixel." if table["reference"].any() else ""
    if source:
        note += (
            " The last column was *published* by others and is no result of this study. It holds for the budget and "
            f"rounds of its source, whatever stands beside it: {literal(source)}"
        )
    return Page("final", "After the last round", note, sections)


def curves_page(table: "pd.DataFrame") -> Page:
    table = table[~table["reference"]].drop_duplicates([*METHOD, "labelled_pixels"], keep="last")
    note = "mIoU (%) on the test split over the number of labelled pixels, mean ± standard deviation over seeds."
    sections = wide(table, "labelled_pixels", spread(table, "miou"))
    return Page("curves", "After each round", note, sections, NOT_EVALUATED)


def area_page(table: "pd.DataFrame") -> Page:
    sections = columns(
        table,
        method=table["method"],
        seeds=table["seeds"].astype(str),
        **{"area (%)": spread(table, "miou_area")},
    )
    note = (
        "Area under mIoU over labelled pixels (trapezoids), divided by the range of labelled pixels: the mean mIoU (%) "
        "from the first round to the last. Mean ± standard deviation over seeds."
    )
    return Page("area", "Area under the budget curve", note, sections, NOT_EVALUATED)


def paired_note(
    shared: str = "candidates, head initialisation and image order",
    family: str = "the methods of one table, not over tables",
) -> str:
    """How differences are taken and tested: what runs of one seed share, and over what p-values are corrected."""
    return (
        f"paired over the seeds that both have, since runs of one seed share {shared}. Two-sided p of the paired "
        f"t-test and of the sign-flip test (exact up to {statistics.EXACT_UNTIL} seeds); Holm: corrected over {family}"
        ". The t-interval is not corrected. There is neither t-test nor interval where the difference is the same in "
        "all seeds. The smallest p is what the sign-flip test can reach at best with so many seeds, alone and "
        "corrected: where it is above 0.05, that test cannot call any difference significant, however large. Seeds "
        "repeat the chance within a run; they do not cover the choice of training and test images, so nothing here "
        "speaks about other images."
    )


def comparison_page(table: "pd.DataFrame", reference: str | None, confidence: float) -> Page:
    title = f"Differences from {reference}"
    note = f"Area under the budget curve (percentage points of mIoU): method minus *{reference}*, {paired_note()}"
    absent = (
        f"There is nothing to compare with *{reference}* here: it has no evaluated runs, or no other method but "
        f"*{REFERENCE}* has."
    )
    if reference is None:
        title = "Differences between methods"
        absent = (
            f"There is no method to compare others with: add methods besides *{REFERENCE}*, or name one under "
            "statistics.reference."
        )
    return Page("comparison", title, note, compared(table, confidence, method=table["method"]), absent)


def stages_page(table: "pd.DataFrame", confidence: float) -> Page:
    note = (
        "Does coverage first help? Area under the budget curve (percentage points of mIoU): a score that ranks a "
        f"herded pool minus the same score that ranks every pixel, {paired_note()}"
    )
    sections = compared(table, confidence, method=table["method"], minus=table["against"])
    absent = "No score here ranks both a herded pool and every pixel."
    return Page("stages", "Two stages against one", note, sections, absent)


def features_page(table: "pd.DataFrame", reference: str | dict[str, str] | None, confidence: float) -> Page:
    if isinstance(reference, dict):  # datasets that begin with other features
        reference = ", ".join(dict.fromkeys(reference.values()))
    absent = (
        "There is nothing to compare: no method here runs on other features as well, or these are the features that "
        "others are compared with."
    )
    paired = paired_note("candidate pixels and image order", "the features entries that one method runs on")
    note = (
        "Area under the budget curve (percentage points of mIoU): a method on these features minus the same method on "
        f"*{reference}*, {paired}"
    )
    sections = compared(table, confidence, method=table["method"])
    title = f"Differences from the features {reference}" if sections else "Differences between features"
    return Page("features", title, note, sections, absent)


def compared(table: "pd.DataFrame", confidence: float, **names: Iterable[str]) -> tuple[Section, ...]:
    """Sections of a table from :func:`pixelherd.tables.comparison`, whose rows are called by the columns ``names``."""
    intervals = [
        "–" if math.isnan(low) else f"{low:+.2f} to {high:+.2f}"
        for low, high in zip(100 * table["difference_low"], 100 * table["difference_high"], strict=True)
    ]
    sections = columns(
        table,
        **names,
        seeds=table["seeds"].astype(str),
        difference=numbers(100 * table["difference_mean"], "+.2f"),
        **{
            f"{100 * confidence:g} % interval": intervals,
            "t-test p": probabilities(table["t_p"]),
            "Holm": probabilities(table["t_p_holm"]),
            "sign-flip p": probabilities(table["flip_p"]),
            "Holm (sign-flip)": probabilities(table["flip_p_holm"]),
            "smallest p": probabilities(table["flip_p_smallest"]),
            "smallest Holm": probabilities(table["flip_p_smallest_holm"]),
        },
    )
    few = "Where two methods share fewer than two seeds there is no test; run more seeds."
    seeds = {key: rows["seeds"].min() for key, rows in by_budget(table)}
    return tuple(Section(each.key, each.table, few if seeds[each.key] < 2 else "") for each in sections)


def wins_page(table: "pd.DataFrame") -> Page:
    cells = [f"{won:g} / {seeds}" for won, seeds in zip(table["wins"], table["seeds"], strict=True)]
    sections = []
    for section in wide(table, "opponent", cells):
        names = list(section.table["method"])
        shares = table[table[METHOD[:3]].apply(tuple, axis=1) == section.key].groupby("method")["share"].mean()
        grid = section.table.set_index("method")[names].replace("", "–")
        grid["mean share (%)"] = numbers(100 * shares[names], ".0f")
        sections.append(Section(section.key, grid.reset_index()))
    note = (
        "Seeds in which the row's area under the budget curve exceeds the column's, of those that both have; equal "
        "areas are half a win. The last column is the mean share of wins over all opponents."
    )
    absent = f"No two methods besides *{REFERENCE}* are evaluated here."
    return Page("wins", "Wins of row over column", note, tuple(sections), absent)


def labels_needed_page(table: "pd.DataFrame") -> Page:
    cells = [
        f"{'> ' + format(row.last, ',') if math.isnan(row.median) else format(row.median, ',.10g')}"
        f" ({row.reached} / {row.seeds})"
        for row in table.itertuples()
    ]
    heads = [f"{100 * fraction:g} %" for fraction in table["fraction"]]
    sections = []
    for section in wide(table.assign(head=heads), "head", cells):
        rows = table[table[METHOD[:3]].apply(tuple, axis=1) == section.key]
        targets = rows.drop_duplicates("fraction")
        remark = "mIoU to reach: " + ", ".join(
            f"{100 * fraction:g} % is {100 * target:.1f}"
            for fraction, target in zip(targets["fraction"], targets["target"], strict=True)
        )
        sections.append(Section(section.key, section.table, remark + "."))
    note = (
        f"Labelled pixels at the first round whose mIoU reaches a fraction of *{REFERENCE}*'s mean mIoU: the median "
        "over seeds, and how many of them reach it. A > means that half of the seeds or more have not reached it by "
        "the last round. Nothing is interpolated; a curve that goes up and down reaches a fraction early by luck."
    )
    absent = f"It takes the fully supervised reference *{REFERENCE}* and other methods to reach it; here are not both."
    return Page("labels_needed", "Labels needed", note, tuple(sections), absent)


def classes_page(table: "pd.DataFrame") -> Page:
    note = (
        "IoU (%) on the test split after the last round, mean ± standard deviation over seeds. A seed in which neither "
        "masks nor predictions have the class is left out; classes.csv counts the seeds that have it."
    )
    table = table.assign(method=method_names(table))
    return Page("classes", "IoU of each class", note, wide(table, "class", spread(table, "iou")), NOT_EVALUATED)


def labels_per_class_page(table: "pd.DataFrame") -> Page:
    note = (
        "Number of labelled pixels after the last round, and of asked pixels that could not be told, mean ± standard "
        "deviation over seeds."
    )
    sections = wide(table, "class", spread(table, "pixels", scale=1))
    return Page("labels_per_class", "Labelled pixels of each class", note, sections, NOT_ASKED)


def labels_per_round_page(table: "pd.DataFrame") -> Page:
    note = "Number of pixels of each class among those that a round asked for, mean over seeds."
    cells = numbers(table["pixels_mean"], ".1f")
    sections = wide(table.assign(round=table["round"].astype(str)), "class", cells, ["method", "round"])
    return Page("labels_per_round", "Classes asked for in each round", note, sections, NOT_ASKED)


def queries_page(table: "pd.DataFrame") -> Page:
    groups = table.groupby(METHOD, sort=False)
    total = groups[["pixels_mean", "cannot_tell_mean"]].sum()
    mean = groups[["classes_mean", "images_mean", "spread_mean"]].mean()
    last = groups[["classes_so_far_mean", "images_so_far_mean", "nearest_mean"]].last()
    summary = total.join(mean).join(last).reset_index()
    sections = columns(
        summary,
        method=summary["method"],
        asked_pixels=numbers(summary["pixels_mean"], ",.10g"),
        cannot_tell=numbers(summary["cannot_tell_mean"], ".1f"),
        classes_a_round=numbers(summary["classes_mean"], ".1f"),
        classes=numbers(summary["classes_so_far_mean"], ".1f"),
        images_a_round=numbers(summary["images_mean"], ".1f"),
        images=numbers(summary["images_so_far_mean"], ".1f"),
        spread=numbers(summary["spread_mean"], ".2f"),
        nearest=numbers(summary["nearest_mean"], ".2f"),
    )
    note = (
        "Means over seeds. Pixels asked until the last round, and those of them that could not be told and so are not "
        "labelled. Distinct classes and images among the pixels of a round (mean over rounds), and among all pixels "
        "after the last round. Spread: mean distance between the places of every two pixels of a round, "
        "whatever their images, height and width scaled to 1; uniform places have 0.52, less means that one part of "
        "the frame is asked. Nearest: mean distance from an asked pixel to the nearest other one of its image, as a "
        "share of the image's diagonal, over images that have two; small means crowded."
    )
    return Page("queries", "What was asked", note, sections, NOT_ASKED)


def scores_page(table: "pd.DataFrame") -> Page:
    last = table[table["round"] == table.groupby(METHOD)["round"].transform("max")]
    cells = [f"{row.q50:.3g} ({row.q5:.3g} to {row.q95:.3g})" for row in last.itertuples()]
    note = (
        "In the last round: median (5 % to 95 % quantile) of each score over the pool that stage 1 left (over a sample "
        "of all pixels where a method ranks every one) and over the pixels chosen from it, quantiles averaged over "
        "seeds. The first score of a method is its own; dald and bald are the mutual information between the label and "
        "the noise draw or the dropout mask."
    )
    sections = wide(last, "group", cells, ["method", "score"])
    return Page("scores", "Scores of pool and chosen pixels", note, sections, NOT_RANKED)


def correlations_page(table: "pd.DataFrame") -> Page:
    groups = table.groupby([*METHOD, "first", "second"], sort=False)
    summary = groups["spearman_mean"].mean().reset_index(name="mean")
    # by the number of the round: "first" and "last" of pandas are of the rounds in which there is a value
    for name, rows in (("first_round", groups["round"].idxmin()), ("last_round", groups["round"].idxmax())):
        summary[name] = table.loc[rows, "spearman_mean"].to_numpy()
    sections = columns(
        summary,
        method=summary["method"],
        score=summary["first"],
        and_score=summary["second"],
        first_round=numbers(summary["first_round"], "+.2f"),
        last_round=numbers(summary["last_round"], "+.2f"),
        mean_over_rounds=numbers(summary["mean"], "+.2f"),
    )
    note = (
        "Spearman's rank correlation over the pool, mean over seeds: 1 where two scores order the pool alike, 0 where "
        "one says nothing about the other. First round: the first that ranked a pool. A dash: one of the two scores is "
        "the same for all pixels; such rounds are left out of the mean."
    )
    return Page("correlations", "Rank correlation between scores", note, sections, NOT_RANKED)


def stopping_page(table: "pd.DataFrame") -> Page:
    sections = columns(
        table,
        method=table["method"],
        round=table["round"].astype(str),
        labelled_pixels=numbers(table["labelled_pixels_mean"], ",.10g"),
        cannot_tell=numbers(table["cannot_tell_mean"], ",.10g"),
        **{"agreement (%)": numbers(100 * table["agreement_mean"], ".1f")},
        kappa=numbers(table["kappa_mean"], ".3f"),
        entropy=numbers(table["entropy_mean"], ".3f"),
    )
    note = (
        "How far the predictions on the training images have settled, on a fixed uniform sample of their pixels, means "
        "over seeds. Agreement: share of the pixels that get the class that the round before gave them; kappa: the "
        "same beyond chance (Cohen); entropy: of the prediction, on average, natural log. Stable predictions "
        "(Bloodgood & Vijay-Shanker, 2009, ask for a kappa of 0.99 over three rounds) mean that more labels change "
        "little. They do not say how right the predictions are."
    )
    absent = "How far predictions have settled is noted where a person labels; here masks answered."
    return Page("stopping", "Is it time to stop?", note, sections, absent)
