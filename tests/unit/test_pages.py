"""Markdown and LaTeX of tables: what needs escaping, and tables that a typesetter accepts."""

import re

import pandas as pd
import pytest

from pixelherd.pages import Page, Section, latex_text

PAGE = Page(
    "final",
    "After 50 % of_it",
    "Note on *full* ± 1",
    (
        Section(("a_b", "ddpm", "0.1"), pd.DataFrame({"method": ["*full*", "power_dald"], "mIoU (%)": ["1 ± 2", "–"]})),
        Section(("c", "ddpm", "0.1"), pd.DataFrame({"method": ["x"], "a & b": ["< 0.001"]}), remark="Few."),
    ),
)


def test_markdown_has_a_table_under_a_heading_for_each_section():
    text = PAGE.markdown()
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# After 50 % of_it",
        "## a_b · ddpm · budget 0.1",
        "## c · ddpm · budget 0.1",
    ]
    assert "| *full*     |      1 ± 2 |" in text and "\n\nFew.\n\n|" in text


def test_latex_has_a_booktabs_table_for_each_section():
    text = PAGE.latex()
    for part in ("begin{table}", "toprule", "midrule", "bottomrule", "end{tabular}", "caption{"):
        assert text.count("\\" + part) == 2
    assert "\\emph{full} & 1 $\\pm$ 2 \\\\" in text and "power\\_dald & -- \\\\" in text and "x & $<$ 0.001" in text
    assert "method & mIoU (\\%) \\\\" in text and "method & a \\& b \\\\" in text
    assert text.isascii()
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("100 % & #1_a $", r"100 \% \& \#1\_a \$"),
        ("a\\b~c^d", r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d"),
        ("{x} *y_z*", r"\{x\} \emph{y\_z}"),
        ("2 · 3 – 4 ≥ λ", r"2 $\cdot$ 3 -- 4 $\geq$ $\lambda$"),
    ],
)
def test_special_characters_are_escaped(text, code):
    assert latex_text(text) == code
