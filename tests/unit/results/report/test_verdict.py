"""What a study says in a sentence."""

import math

import pandas as pd
import pytest

from pixelherd.results.report import verdict
from pixelherd.results.setups import METHOD
from pixelherd.results.tables import compared


def comparison(**differences) -> pd.DataFrame:
    """Methods against random, whose area is 0.4, by the differences of each seed."""
    rows = []
    for method, found in {"random": [0.0] * max(map(len, differences.values())), **differences}.items():
        rows += [["toy", "ddpm", "0.1", method, seed, 0, 10, 0.4 + each] for seed, each in enumerate(found)]
    columns = [*METHOD, "seed", "round", "labelled_pixels", "miou"]
    return compared.comparison(pd.DataFrame(rows, columns=columns), "random")


def final(reference=False, **miou) -> pd.DataFrame:
    rows = [(name, name == "full", 40 if name != "full" else 9000, value) for name, value in miou.items()]
    return pd.DataFrame(rows, columns=["method", "reference", "labelled_pixels", "miou_mean"])


LEVELS = final(random=0.4, edald=0.41)


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ([0.03, 0.031, 0.029, 0.033, 0.032], "edald leads random by 3.1 points (95 % interval 2.9 to 3.3, 5 seeds)."),
        ([-0.03, -0.031, -0.029], "edald falls behind random by 3.0 points (95 % interval 2.8 to 3.2, 3 seeds)."),
        ([0.2, -0.19], "edald and random cannot be told apart: +0.5 points (95 % interval -247.3 to +248.3, 2 seeds)."),
        ([0.01, 0.01], "edald and random cannot be told apart: +1.0 points (2 seeds)."),
        ([0.05], "One seed does not tell merit from chance. In it, points over random: edald (+5.0)."),
    ],
)
def test_one_method_against_another(differences, said):
    assert verdict.of_methods(comparison(edald=differences), LEVELS, 0.95).text == said


def test_several_methods():
    noise = [0.001, -0.001, 0.0005, -0.0005, 0.0]
    table = comparison(
        margin=[0.09 + each for each in noise],
        bald=[0.04 - each for each in noise],
        edald=[0.002 + 10 * each for each in noise],
        worse=[-0.05 + each for each in noise],
    )
    assert verdict.of_methods(table, LEVELS, 0.95).text == (
        "margin leads random by 9.0 points (95 % interval 8.9 to 9.1, 5 seeds); so does bald (+4.0). worse falls "
        "behind random by 5.0 points (95 % interval 4.9 to 5.1, 5 seeds). edald and random cannot be told apart: "
        "+0.2 points (95 % interval -0.8 to +1.2, 5 seeds)."
    )


def test_what_many_comparisons_show_is_corrected():
    """Alone it is shown; among six it is not."""
    found = [0.03, 0.02, 0.05, 0.01, 0.02]
    assert "leads" in verdict.of_methods(comparison(edald=found), LEVELS, 0.95).text
    others = {f"m{number}": [0.01, -0.01, 0.02, -0.02, 0.0] for number in range(5)}
    text = verdict.of_methods(comparison(edald=found, **others), LEVELS, 0.95).text
    assert text.startswith("Not to be told apart from random after correction for all comparisons: edald (+2.6),")
    assert text.endswith("and 3 more.")


def test_where_methods_end():
    assert verdict.levels_of(final(random=0.3, edald=0.41, full=0.6)) == (
        "mIoU after 40 labelled pixels: edald 41.0 % and random 30.0 %; full 60.0 %, which learns every label."
    )
    assert verdict.levels_of(final(full=0.6)) == "mIoU on the test images: full 60.0 %."
    alone = verdict.of_methods(comparison(edald=[0.1]).head(0), final(edald=0.41), 0.95)
    assert alone == verdict.Verdict("mIoU after 40 labelled pixels: edald 41.0 %.")


def stopping(*kappa) -> pd.DataFrame:
    columns = ["method", "labelled_pixels_mean", "kappa_mean", "agreement_mean"]
    return pd.DataFrame(
        [("edald", 40 * (number + 1), each, (1 + each) / 2) for number, each in enumerate(kappa)], columns=columns
    )


@pytest.mark.parametrize(
    ("kappa", "said"),
    [
        ([math.nan], "label another"),
        ([math.nan, 0.8, 0.9], "the last round changed 5.0 % of the pixels"),
        ([math.nan, 0.999, 0.999], "another is worth it"),
        ([math.nan, 0.99, 0.995, 0.99], "you can stop"),
        ([math.nan, 0.99, 0.995, 0.99, 0.98], "still move"),
    ],
)
def test_when_to_stop(kappa, said):
    assert said in verdict.when_to_stop(stopping(*kappa))
    text = verdict.of_own_images(stopping(*kappa), 9).text
    assert text.startswith(f"{40 * len(kappa)} labelled pixels give masks of 9 images.")


def test_own_images_of_two_methods_tell_of_the_first():
    both = pd.concat([stopping(math.nan, 0.8), stopping(math.nan, 1.0, 1.0, 1.0).assign(method="random")])
    text = verdict.of_own_images(both, 9).text
    assert text.startswith("80 labelled pixels") and "changed 10.0 %" in text


def test_own_images_that_masks_answered():
    assert verdict.of_own_images(stopping(), 9).text == "Masks of 9 images."
