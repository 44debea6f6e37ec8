"""Words of the report that not every reader knows, and what each means in a sentence."""

import re

from pixelherd.results.pages.format import html_text

TERMS = {
    "area": "Mean mIoU from the first round to the last, by labelled pixels: the area under the learning curve.",
    "badge": "Takes pixels whose labels, if they are as predicted, would move the head in different directions.",
    "BALD": "Mutual information between a pixel's label and the head: high where likely heads disagree.",
    "calibration error": "How far the confidence of predictions is from their accuracy, on average; 0 is best.",
    "cannot tell": "Asked pixels whose class the oracle did not know; nothing learns from them.",
    "clasp_pe": "Takes unsure pixels class by class, with chance that fades from round to round.",
    "coverage": "Takes the pixels that represent all images best; no score.",
    "DALD": "Mutual information between a pixel's label and the noise: high where noise changes the prediction.",
    "dropquery": "Takes pixels whose class changes when parts of their features are left out, each of another kind.",
    "eDALD": "DALD plus entropy: how much predictions differ under different noise, and how unsure they are.",
    "entropy": "How unsure a prediction is, in natural logs: 0 where one class is certain.",
    "full": "For comparison: the head that learnt every labelled training pixel.",
    "Holm": "p corrected for the number of methods compared, so that one of many is not called better by luck.",
    "interval": "Where the true mean difference lies, if seeds differ about normally; across 0 the difference is open.",
    "IoU": "Intersection over union of a class: pixels that mask and prediction share, over pixels that either has.",
    "k_center": "Takes the pixels that are farthest from all labelled ones.",
    "kappa": "Agreement beyond chance (Cohen): 1 where all pixels keep their class from one round to the next.",
    "agreement": "Share of pixels that get the class that the round before gave them.",
    "least_confidence": "Asks where the likeliest class has the lowest probability.",
    "margin": "Asks where the two likeliest classes are closest.",
    "mean class accuracy": "Share of each class's pixels that are right, averaged over classes.",
    "mIoU": "IoU averaged over classes: the usual measure of segmentation, 100 % is perfect.",
    "nearest": "Distance from an asked pixel to the nearest other one of its image, over the image's diagonal.",
    "pixel accuracy": "Share of all pixels that are right.",
    "points": "Percentage points of mIoU, averaged over the learning curve.",
    "probcover": "Takes pixels that have most others within a fixed distance.",
    "random": "Asks pixels by chance: what every other method has to beat.",
    "seeds": "Repetitions of a run that differ in chance alone. They say nothing about other images.",
    "seconds": "What answers take a person by a model of times; nobody was timed.",
    "sign-flip p": "p of a test that supposes only that, without an effect, differences could have either sign.",
    "smallest p": "The smallest p that the sign-flip test can reach with so many seeds.",
    "average rank": "Place among the methods, 1 the best, averaged over datasets and features.",
    "critical difference": "How far average ranks must be apart before Nemenyi's test tells methods apart.",
    "Nemenyi": "Compares the average ranks of every two methods, corrected for their number.",
    "Wilcoxon p": "p of a test of the ranks of differences over datasets and features.",
    "rare_herding": "As uherding, with more weight on classes that have few labels.",
    "spread": "Distance between two asked pixels of a round within the frame; 0.52 where places are uniform.",
    "t-test p": "How often chance alone gives a difference at least as large, if seeds differ about normally.",
    "tcm": "Takes typical pixels while labels are few, then those between two classes.",
    "typiclust": "Takes the most typical pixel of each group that has no label.",
    "uherding": "Takes pixels that represent the images, weighted by how unsure the head is of them.",
    "uncertainty": "How unsure the last head is of a pixel; bright is more. A map's scale is that of its run.",
}
"""By the word as it is written; capitals do not matter where it is looked for."""

_WORDS = {word.lower(): word for word in TERMS}
_FOUND = re.compile(
    rf"(?<![\w-])({'|'.join(re.escape(word) for word in sorted(TERMS, key=len, reverse=True))})(?![\w-])([.,:;)]*)",
    re.IGNORECASE,
)


class Terms:
    """The words that a page has explained so far."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def key(self, text: str) -> str:
        """Return the id of the first known word of ``text``, empty where there is none."""
        found = _FOUND.search(text)
        return self._take(found[1]) if found else ""

    def explained(self, text: str) -> str:
        """Escape a text for HTML, and make the first of each known word in it a button that explains it."""
        from markupsafe import Markup

        seen: set[str] = set()

        def button(found: re.Match[str]) -> str:
            key = self._take(found[1])
            if key in seen:
                return found[0]
            seen.add(key)
            word = f'<button type="button" class="term" aria-describedby="{key}">{found[1]}</button>'
            # a line may break beside a button, and must not before a full stop
            return f'<span class="tight">{word}{found[2]}</span>' if found[2] else word

        # between tags alone: what was escaped holds none of the words inside a tag but <em>
        return Markup(_FOUND.sub(button, str(html_text(text))))

    def used(self) -> list[tuple[str, str, str]]:
        """Return id, word and meaning of the words so far, by alphabet."""
        return [(_id(word), word, TERMS[word]) for word in sorted(self._used, key=str.lower)]

    def _take(self, text: str) -> str:
        word = _WORDS[text.lower()]
        self._used.add(word)
        return _id(word)


def _id(word: str) -> str:
    return "term-" + re.sub(r"\W+", "-", word.lower())
