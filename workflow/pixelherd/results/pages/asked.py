"""Pages of what was asked for, why, and whether to go on asking."""

from typing import TYPE_CHECKING

from pixelherd.results.pages.cells import columns, numbers, spread, wide
from pixelherd.results.pages.format import Page
from pixelherd.results.setups import METHOD
from pixelherd.results.tables.runs import REFERENCE
from pixelherd.study.settings import EffortSettings

if TYPE_CHECKING:
    import pandas as pd

NOT_ASKED = f"Nothing was asked here: *{REFERENCE}* labels every pixel."

NOT_RANKED = "No run here ranked a pool by a score, or kept its scores."


def labels_per_class_page(table: "pd.DataFrame") -> Page:
    """Show how many pixels of each class are labelled."""
    note = (
        "Number of labelled pixels after the last round, and of asked pixels that could not be told, mean ± standard "
        "deviation over seeds."
    )
    sections = wide(table, "class", spread(table, "pixels", scale=1))
    return Page("labels_per_class", "Labelled pixels of each class", note, sections, NOT_ASKED, values=table)


def labels_per_round_page(table: "pd.DataFrame") -> Page:
    """Show how many pixels of each class every round asked for."""
    note = "Number of pixels of each class among those that a round asked for, mean over seeds."
    cells = numbers(table["pixels_mean"], ".1f")
    sections = wide(table.assign(round=table["round"].astype(str)), "class", cells, ["method", "round"])
    return Page("labels_per_round", "Classes asked for in each round", note, sections, NOT_ASKED, values=table)


def queries_page(table: "pd.DataFrame") -> Page:
    """Show how many classes, images and places were asked for."""
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
    return Page("queries", "What was asked", note, sections, NOT_ASKED, values=table)


def effort_page(table: "pd.DataFrame", effort: EffortSettings) -> Page:
    """Show what a person's answers take, and the mIoU meanwhile where there are test images."""
    note = (
        f"Seconds by a model, means over seeds: {effort.image:g} to turn to an image, {effort.look:g} to look at a "
        f"pixel, {effort.bit:g} a bit for the choice among C classes and cannot tell, log2(C + 1) bits, and "
        f"{effort.key:g} a key. With *is this X?* the head of the round before names the class where it gives it "
        f"{100 * effort.sure:g} % or more: one bit and one key, and the whole choice besides if it is wrong. Asked so: "
        "share of the pixels; right: share of these. A dash: older runs kept no expectations, or nothing was asked so."
    )
    areas = {}
    if table["miou_area_mean"].notna().any():
        areas = {
            "area over pixels (%)": spread(table, "miou_area"),
            "over seconds (%)": spread(table, "miou_seconds_area"),
            "with is this X? (%)": spread(table, "miou_confirming_area"),
        }
        note += " Areas: mean mIoU over labelled pixels, and over the seconds that all runs of a table have, if any."
    sections = columns(
        table,
        method=table["method"],
        seeds=table["seeds"].astype(str),
        pixels=numbers(table["pixels_mean"], ",.10g"),
        images=numbers(table["images_mean"], ",.1f"),
        seconds=numbers(table["seconds_mean"], ",.0f"),
        **{
            "with is this X?": numbers(table["confirming_seconds_mean"], ",.0f"),
            "asked so (%)": numbers(100 * table["asked_to_confirm_mean"], ".1f"),
            "right (%)": numbers(100 * table["confirmed_mean"], ".1f"),
            **areas,
        },
    )
    return Page("effort", "What answers take", note, sections, NOT_ASKED, values=table)


def scores_page(table: "pd.DataFrame") -> Page:
    """Show the scores of the pool and of the chosen pixels in the last round."""
    last = table[table["round"] == table.groupby(METHOD)["round"].transform("max")]
    cells = [f"{row.q50:.3g} ({row.q5:.3g} to {row.q95:.3g})" for row in last.itertuples()]
    note = (
        "In the last round: median (5 % to 95 % quantile) of each score over the pool that stage 1 left (over a sample "
        "of all pixels where a method ranks every one) and over the pixels chosen from it, quantiles averaged over "
        "seeds. The first score of a method is its own; dald and bald are the mutual information between the label and "
        "the noise draw or the dropout mask."
    )
    sections = wide(last, "group", cells, ["method", "score"])
    return Page("scores", "Scores of pool and chosen pixels", note, sections, NOT_RANKED, values=table)


def correlations_page(table: "pd.DataFrame") -> Page:
    """Show how alike the scores order the pool."""
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
    return Page("correlations", "Rank correlation between scores", note, sections, NOT_RANKED, values=table)


def stopping_page(table: "pd.DataFrame") -> Page:
    """Show how far predictions have settled."""
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
    return Page("stopping", "Is it time to stop?", note, sections, absent, values=table)
