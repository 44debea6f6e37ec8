"""The report of a small study: one file of the same bytes that holds every table and figure, in words as well."""

import base64
import itertools
import re
import shutil
from html.parser import HTMLParser

import pytest

from pixelherd.errors import UserError
from pixelherd.results.pages.format import html_text
from pixelherd.results.pages.write import make_pages
from pixelherd.results.registry import REGISTRY, TABLES
from pixelherd.results.report import across
from pixelherd.results.report.chapter import OWN_PARTS, PARTS
from pixelherd.results.report.page import make_report
from pixelherd.results.settings import TableSettings
from unit.results.drawn import METHODS, write_own_run, write_run, write_study
from unit.results.report.conftest import CAPTIONS, TEMPLATE, draw, report


class Outline(HTMLParser):
    """Elements of a page as (tag, attributes), and the text of each open tag."""

    def __init__(self, page: str):
        super().__init__()
        self.elements, self.open, self.text = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "img", "input", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        self.text.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]

    def words(self, tag: str) -> list[str]:
        return [data for inside, data in self.text if inside == tag]


def test_same_bytes_in_any_order_of_folders(study, drawn):
    assert report(study, drawn) == report(study[::-1], drawn)


def test_every_figure_that_is_not_drawn_anew_is_in_it_once(study, drawn):
    """Curves are drawn by the page, overlays made of layers."""
    pictures = [each["src"] for each in Outline(report(study, drawn)).all("img") if each.get("class") == "drawn"]
    held = [base64.b64decode(source.partition(";base64,")[2]) for source in pictures]
    anew = ("learning_curves", "settling", "overlay-")
    files = [path for path in drawn.rglob("*") if path.suffix in (".png", ".svg") and not path.name.startswith(anew)]
    twice = {path for path in files if path.suffix == ".png" and path.with_name(path.stem + ".svg") in files}
    assert sorted(held) == sorted(path.read_bytes() for path in files if path not in twice)
    assert len(held) == 4, "differences, bars, rounds, scores of the method that ranks"


def test_every_table_is_in_it(study, drawn):
    made_pages = make_pages(study, 3, METHODS, TableSettings(reference="random"))
    outline = Outline(report(study, drawn))
    sections = [(page.title, section) for page in made_pages for section in page.sections]
    assert sorted(outline.words("caption")) == sorted(title for title, _ in sections)
    cells = {text for text in outline.words("td") if text.strip()}
    for _, section in sections:
        assert set(section.table.iloc[:, 1:].to_numpy().ravel()) - {""} <= cells
    assert len(outline.all("tr")) == sum(1 + len(section.table) for _, section in sections)


def test_every_table_has_its_place_in_a_chapter():
    of_all = [name for names in across.PARTS.values() for name in names]
    for parts in (PARTS, OWN_PARTS):
        shown = [name for names in parts.values() for name in names]
        assert len(shown) == len(set(shown)) and {*shown, *of_all} & REGISTRY.keys() == set(TABLES)


def test_the_page_can_be_read_without_seeing_it(study, drawn):
    outline = Outline(report(study, drawn))
    assert outline.open == [] and outline.all("html") == [{"lang": "en"}] and len(outline.all("h1")) == 1
    assert all(len(picture["alt"]) > 40 for picture in outline.all("img") if picture.get("class") == "drawn")
    assert all(picture["alt"] for picture in outline.all("img"))
    curves = next(each["aria-label"] for each in outline.all("svg") if "Line chart" in each.get("aria-label", ""))
    assert re.search(r"random \d+\.\d % with 18 pixels, edald \d+\.\d % with 18 pixels, full", curves)
    assert all(header["scope"] in ("col", "row") for header in outline.all("th"))
    assert len(outline.all("caption")) == len(outline.all("table"))
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = [link["href"].removeprefix("#") for link in outline.all("a")]
    wanted += [name for each in outline.all("section") for name in each["aria-labelledby"].split()]
    wanted += [each["aria-describedby"] for each in outline.all("button") if "aria-describedby" in each]
    wanted += [each["data-term"] for _, each in outline.elements if "data-term" in each]
    assert wanted and set(wanted) <= set(ids)
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_how_to_read_a_figure_is_said_once(study, drawn, own):
    page = report(study, drawn)
    for name, caption in CAPTIONS.items():
        # nobody labelled, or could contradict, what masks answered
        assert page.count(html_text(caption)) == (name not in ("contradictions", "doubts", "ranks"))
        assert own.count(html_text(caption)) == (name not in ("learning_curves", "differences", "ranks"))
    assert page.count("do not cover the choice of training and test images") == 1


def test_the_answer_comes_first(study, drawn):
    text = [data.strip() for _, data in Outline(report(study, drawn)).text if data.strip()]
    first = " ".join(text[text.index("toy · ddpm · budget 0.1", text.index("The study")) :][:12])
    assert re.match(r"toy · ddpm · budget 0.1 edald and random cannot be told apart: [+-]\d+\.\d points", first)


def test_masks_come_first_where_there_are_no_tests(own):
    outline = Outline(own)
    headings = [text for text in outline.words("h3") if text.strip()]
    assert headings == [*OWN_PARTS, "Words", "The study"]
    assert "Not evaluated" not in own and own.count("No test masks, so nothing here says") == 1
    text = re.sub(r"<[^>]*>", "", own)
    assert "18 labelled pixels give masks of 9 images. The predictions still move" in text
    assert "2 of 14 answers get another class from a fit that has not seen their image" in text
    assert "answered road; without this image the model says traffic_sign (91 %)" in text
    assert "learning curve" not in own.lower(), "nothing is known about right and wrong"


def test_what_cannot_be_made_is_said(study, tmp_path):
    draw(study[:1], tmp_path / "figures")
    page = make_report(study[:1], 3, tmp_path / "figures", TEMPLATE, CAPTIONS, METHODS)
    for reason in (
        "There is no method to compare others with",
        "It takes the fully supervised reference",
        "ranked a pool",
    ):
        assert reason in page
    assert "`" not in page.split("<script>")[0], "notes are plain text"
    assert "Differences</h3>" not in page, "a part with nothing in it has no heading"


def test_a_chapter_says_what_it_lacks(study, drawn, tmp_path):
    """The method that others are compared with has no runs with these features."""
    other = write_run(tmp_path, "edald", features="coarse")
    page = " ".join(report([*study, other], drawn).split())
    ends = '<section (?:class="chapter"|aria-labelledby="words")'
    (coarse,) = re.findall(rf'<h2 id="chapter-toy-coarse-0_1">.*?{ends}', page)
    assert "There is nothing to compare with <em>random</em> here" in coarse
    assert "No two methods besides <em>full</em>" in coarse
    (other / "thumbnails.npz").unlink()
    assert "edald: thumbnails.npz is not among the files" in report([*study, other], drawn)
    lacking = coarse.split("and what it would take")[1].count("<dt>")
    assert lacking and coarse.count("<table ") + lacking == sum(
        name in REGISTRY for names in PARTS.values() for name in names
    )
    assert '<ul class="verdicts">' in page, "the answers of all chapters stand at the top"


def test_what_all_datasets_say_is_the_last_chapter(study, tmp_path):
    more = [write_run(tmp_path / "more", name, features="coarse", seed=seed) for name in METHODS[:2] for seed in (0, 1)]
    draw([*study, *more], tmp_path / "figures")
    page = make_report([*study, *more], 3, tmp_path / "figures", TEMPLATE, CAPTIONS, METHODS)
    last = page[page.rindex('<section class="chapter"') :]
    assert "all datasets · all features · budget 0.1" in last and "over 2 datasets × features" in last
    assert html_text(CAPTIONS["ranks"]) in last and "Average ranks: all datasets" in last
    assert "all features" not in report(study, tmp_path / "figures"), "one setup has nothing to average over"


@pytest.mark.hostile("names that leave the house")
def test_names_are_escaped(drawn, tmp_path):
    study = write_study(tmp_path)
    for folder in study:
        path = folder / "run.json"
        path.write_text(path.read_text().replace('"sky"', '"<sky> & *co*"'))
    page = report(study, drawn)
    assert "&lt;sky&gt; &amp; *co*" in page and "<sky>" not in page and "<em>co</em>" not in page
    folder = write_own_run(tmp_path / "own")
    path = folder / "run.json"
    path.write_text(path.read_text().replace('"sky"', '"<sky> & *co*"'))
    page = report([folder], draw([folder], tmp_path / "figures"))
    assert "&lt;sky&gt; &amp; *co*" in page and "<sky>" not in page and "<em>co</em>" not in page


def test_long_heads_may_break(study, drawn):
    assert '<th scope="col">traffic_<wbr>sign</th>' in report(study, drawn)


def test_a_missing_figure_is_named(study, drawn, tmp_path):
    shutil.copytree(drawn, tmp_path / "figures")
    (tmp_path / "figures" / "toy" / "ddpm" / "budget-0.1" / "learning_curves.svg").unlink()
    with pytest.raises(UserError, match=r"learning_curves\.svg is missing"):
        report(study, tmp_path / "figures")
