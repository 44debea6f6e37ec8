"""Markdown and LaTeX of tables: what needs escaping, and tables that a typesetter accepts."""

import csv
import io
import re

import pandas as pd
import pytest

from pixelherd.results.pages.cells import wide
from pixelherd.results.pages.format import Page, Section, html_text, latex_text, literal
from pixelherd.results.setups import Setup
from pixelherd.storage.files import original

PAGE = Page(
    "final",
    "After 50 % of_it",
    "Note on *full* ± 1",
    (
        Section(
            Setup("a_b", "ddpm", "0.1"), pd.DataFrame({"method": ["*full*", "power_dald"], "mIoU (%)": ["1 ± 2", "–"]})
        ),
        Section(Setup("c", "ddpm", "0.1"), pd.DataFrame({"method": ["x"], "a & b": ["< 0.001"]}), remark="Few."),
    ),
    values=pd.DataFrame(),
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
        ("σ ≤ Ω → ∞", r"$\sigma$ $\leq$ $\Omega$ $\rightarrow$ $\infty$"),
        ("αλω", r"$\alpha$$\lambda$$\omega$"),
        ("Straße, Grün", "Straße, Grün"),
        (literal("3*4 and 5*6") + " *x*", r"3*4 and 5*6 \emph{x}"),
    ],
)
@pytest.mark.hostile("names that leave the house")
def test_special_characters_are_escaped(text, code):
    assert latex_text(text) == code


@pytest.mark.hostile("names that leave the house")
def test_names_of_classes_are_no_markup():
    rows = [["toy", "ddpm", "3", "edald", name, cell] for name, cell in (("a|b", "1"), ("*c*", "2"), ("d_e", "3"))]
    table = pd.DataFrame(rows, columns=["dataset", "features", "budget", "method", "class", "pixels"])
    page = Page("any", "Any", "Note.", wide(table, "class", table["pixels"]), values=table)
    heads = [head.strip() for head in re.split(r"(?<!\\)\|", page.markdown().splitlines()[6])]
    assert heads == ["", "method", r"a\|b", r"\*c\*", "d_e", ""]
    assert r"method & a$|$b & *c* & d\_e \\" in page.latex()


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</td>",
    "<!--",
    "=1+1",
    "@a",
    "\\<b>",
    "&lt;b",
    "[a](http://b)",
    "`c",
    "a\n|b",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_run_nowhere(name):
    rows = [["toy", "ddpm", "3", "edald", name, "1", 0.5], ["toy", "ddpm", "3", "edald", "b", "2", -0.5]]
    table = pd.DataFrame(rows, columns=["dataset", "features", "budget", "method", "class", "pixels", "gain"])
    page = Page("any", "Any", f"Note of {literal(name)}", wide(table, "class", table["pixels"]), values=table)
    markdown = page.markdown()
    assert not re.search(r"(?<!\\)((\\\\)*)(<[A-Za-z/!?]|&\w+;|\]\(|`)", markdown)
    assert all(line.count("|") - line.count(r"\|") == 4 for line in markdown.splitlines() if line.startswith("|"))
    assert "<" not in html_text(name)
    cells = [row for row in csv.reader(io.StringIO(page.csv()))]
    assert not any(cell[:1] in ("=", "@") for row in cells for cell in row)
    assert [original(row[4]) for row in cells[1:]] == [name, "b"] and cells[2][-1] == "-0.5"
    page.latex()


def test_a_row_of_latex_does_not_begin_like_an_option():
    assert latex_text("[1] a") == "{[}1] a" and latex_text("a [1]") == "a [1]" and "\n" not in latex_text("a\n\nb")


def test_long_tables_break_over_pages_in_latex():
    def page(rows: int) -> str:
        table = pd.DataFrame({"method": [f"m{number}" for number in range(rows)], "x_y": "1"})
        return Page("final", "Long", "Note.", (Section(Setup("a", "ddpm", "0.1"), table),), values=table).latex()

    short, long = page(40), page(41)
    assert r"\begin{table}" in short and "longtable}" not in short.partition("\n")[2]
    assert r"\begin{longtable}{lr}" in long and r"\begin{table}" not in long
    assert long.count(r"\caption") == 2 and long.count(r"\label{tab:final-a-ddpm-0.1}") == 1
    for text in (short, long):
        assert text.startswith("% \\usepackage{booktabs,longtable}\n")
        assert text.count(r"\toprule") == text.count(r"method & x\_y \\")
