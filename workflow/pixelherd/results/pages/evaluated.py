"""Pages of what evaluation on the test split gives."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from pixelherd.results.pages.cells import columns, method_names, numbers, spread, wide
from pixelherd.results.pages.format import Page, literal
from pixelherd.results.setups import METHOD, by_setup
from pixelherd.results.tables.runs import CALIBRATION, REFERENCE

if TYPE_CHECKING:
    import pandas as pd

NOT_EVALUATED = f"No method besides *{REFERENCE}* is evaluated here."


def final_page(table: "pd.DataFrame", source: str | None = None) -> Page:
    """Show where each method ends, and what others published; ``source`` says where, if ``table`` has it."""
    published, calibration = {}, {}
    if f"{CALIBRATION}_mean" in table:
        calibration = {"calibration error (%)": spread(table, CALIBRATION)}
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
            **calibration,
            **published,
        },
    )
    note = "Test split, mean ± standard deviation over seeds."
    note += f" *{REFERENCE}* learns so many pixels of all training images." if table["reference"].any() else ""
    if source:
        note += (
            " The last column was *published* by others and is no result of this study. It holds for the budget and "
            f"rounds of its source, whatever stands beside it: {literal(source)}"
        )
    return Page("final", "After the last round", note, sections, values=table)


def curves_page(table: "pd.DataFrame") -> Page:
    """Show the mIoU after each round."""
    rows = table[~table["reference"]].drop_duplicates([*METHOD, "labelled_pixels"], keep="last")
    note = "mIoU (%) on the test split over the number of labelled pixels, mean ± standard deviation over seeds."
    sections = wide(rows, "labelled_pixels", spread(rows, "miou"))
    return Page("curves", "After each round", note, sections, NOT_EVALUATED, values=table)


def area_page(table: "pd.DataFrame") -> Page:
    """Show the area under each method's budget curve."""
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
    return Page("area", "Area under the budget curve", note, sections, NOT_EVALUATED, values=table)


def labels_needed_page(table: "pd.DataFrame") -> Page:
    """Show how many labels reach fractions of the fully supervised mIoU."""
    cells = [
        f"{'> ' + format(row.last, ',') if math.isnan(row.median) else format(row.median, ',.10g')}"
        f" ({row.reached} / {row.seeds})"
        for row in table.itertuples()
    ]
    heads = [f"{100 * fraction:g} %" for fraction in table["fraction"]]
    sections, setups = [], dict(by_setup(table))
    for section in wide(table.assign(head=heads), "head", cells):
        targets = setups[section.setup].drop_duplicates("fraction")
        remark = "mIoU to reach: " + ", ".join(
            f"{100 * fraction:g} % is {100 * target:.1f}"
            for fraction, target in zip(targets["fraction"], targets["target"], strict=True)
        )
        sections.append(replace(section, remark=remark + "."))
    note = (
        f"Labelled pixels at the first round whose mIoU reaches a fraction of *{REFERENCE}*'s mean mIoU: the median "
        "over seeds, and how many of them reach it. A > means that half of the seeds or more have not reached it by "
        "the last round. Nothing is interpolated; a curve that goes up and down reaches a fraction early by luck."
    )
    absent = f"It takes the fully supervised reference *{REFERENCE}* and other methods to reach it; here are not both."
    return Page("labels_needed", "Labels needed", note, tuple(sections), absent, values=table)


def classes_page(table: "pd.DataFrame") -> Page:
    """Show the IoU of each class."""
    note = (
        "IoU (%) on the test split after the last round, mean ± standard deviation over seeds. A seed in which neither "
        "masks nor predictions have the class is left out; classes.csv counts the seeds that have it."
    )
    sections = wide(table.assign(method=method_names(table)), "class", spread(table, "iou"))
    return Page("classes", "IoU of each class", note, sections, NOT_EVALUATED, values=table)
