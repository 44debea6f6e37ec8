"""The formats of a table that is read by people: Markdown, LaTeX and HTML, and the plain text behind them.

Cells and notes are plain text in which ``*method*`` is emphasised; each format writes that in its own way.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pixelherd.results.setups import Setup
from pixelherd.storage.files import harmless

if TYPE_CHECKING:
    import pandas as pd

LONG = 40
"""Rows beyond which a LaTeX table breaks over pages."""

EMPHASIS = re.compile(r"\*([^*]+)\*")

MARKUP = re.compile(r"[\\`|]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|\](?=\()")
"""What Markdown does not take as it stands in a name: escapes, code, ends of cells, HTML, entities and links."""

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
    """The text of a table for one setup, with a remark on it alone."""

    setup: Setup
    table: "pd.DataFrame"
    remark: str = ""


@dataclass(frozen=True)
class Page:
    """A table of a study: its title, how to read it, and a section per setup.

    Attributes:
        name: what files call it.
        title: what people call it.
        note: how to read it.
        sections: its text.
        absent: stands for the table where there is none, in the whole study or for one setup.
        remark: what has to be said before either in this study.
        values: what it was made from, with every digit.
    """

    name: str
    title: str
    note: str
    sections: tuple[Section, ...]
    absent: str = ""
    remark: str = ""
    values: "pd.DataFrame" = field(kw_only=True, repr=False)

    def csv(self) -> str:
        """Write the values as CSV, fractions with nine digits, small p included; no name is a formula."""
        numbers = self.values.select_dtypes("number").columns
        values = self.values.apply(lambda column: column if column.name in numbers else column.map(harmless))
        return values.rename(columns=harmless).to_csv(index=False, float_format="%.9g", lineterminator="\n")

    def markdown(self) -> str:
        """Write a heading and a table for each section."""
        note = f"{self.remark} {self.note if self.sections else self.absent}".strip()
        blocks = [f"# {self.title}", markdown_text(note)]
        for section in self.sections:
            align = ["left"] + ["right"] * (section.table.shape[1] - 1)
            table = section.table.map(markdown_text).rename(columns=markdown_text)
            blocks.append(f"## {section.setup.heading}")
            blocks += [markdown_text(section.remark)] if section.remark else []
            blocks.append(table.to_markdown(index=False, disable_numparse=True, colalign=align))
        return "\n\n".join(blocks) + "\n"

    def latex(self) -> str:
        """Write a booktabs table for each section, to be taken into a document that loads the packages of line 1.

        A table of more than ``LONG`` rows goes over several pages.
        """
        blocks = ["% \\usepackage{booktabs,longtable}"]
        for section in self.sections:
            style = section.table.style.hide(axis="index").format(latex_text).format_index(latex_text, axis=1)
            heading = f"{self.title}: {section.setup.heading}."
            caption = " ".join(filter(None, [heading, section.remark, self.remark, self.note]))
            is_long = len(section.table) > LONG
            text = style.to_latex(
                hrules=True,
                column_format="l" + "r" * (section.table.shape[1] - 1),
                environment="longtable" if is_long else None,
                position_float=None if is_long else "centering",
                caption=latex_text(caption),
                label=f"tab:{'-'.join([self.name, *section.setup])}",
            )
            # pandas repeats the whole caption on every page
            again = rf"\caption[]{{{latex_text(caption)}}}"
            blocks.append(text.replace(again, rf"\caption[]{{{latex_text(heading)}}}").rstrip())
        return "\n\n".join(blocks) + "\n"


def html_text(text: str) -> str:
    """Escape what HTML takes for markup, and emphasise ``*…*``."""
    from markupsafe import Markup, escape

    return Markup(EMPHASIS.sub(r"<em>\1</em>", str(escape(text))).replace(STAR, "*"))


def markdown_text(text: str) -> str:
    """Escape what Markdown takes for HTML, links, code or the end of a cell; ``*…*`` is emphasised as it stands."""
    return MARKUP.sub(r"\\\g<0>", _one_line(text)).replace(STAR, r"\*")


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def literal(text: str) -> str:
    """Return text of a user, whose asterisks emphasise nothing, for cells and notes."""
    return text.replace("*", STAR)


def latex_text(text: str) -> str:
    """Escape LaTeX's special characters, and emphasise ``*…*``.

    Of characters beyond ASCII letters with accents are left to LaTeX, which knows them in files of UTF-8.
    """
    text = re.sub(r"^\[", "{[}", _one_line(text).translate(LATEX))  # a row that begins so looks like an option
    return EMPHASIS.sub(r"\\emph{\1}", text).replace(STAR, "*")
