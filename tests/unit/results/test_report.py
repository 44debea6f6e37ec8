"""The report of a small study: one file of the same bytes that holds every table and figure, in words as well."""

import base64
import itertools
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from pixelherd.errors import UserError
from pixelherd.results.figures.write import write_figures
from pixelherd.results.pages.format import html_text
from pixelherd.results.pages.write import make_pages
from pixelherd.results.registry import TABLES
from pixelherd.results.report import PARTS, make_report
from pixelherd.results.settings import TableSettings
from pixelherd.storage.stores import writing
from unit.places import REPOSITORY
from unit.results.drawn import METHODS, write_run, write_study

FILES = REPOSITORY / "workflow" / "report"
TEMPLATE = (FILES / "report.html.j2").read_text()
CAPTIONS = yaml.safe_load((FILES / "captions.yaml").read_text())
SETTINGS = TableSettings(reference="random")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> list[Path]:
    """Do not change it."""
    return write_study(tmp_path_factory.mktemp("study") / "runs")


@pytest.fixture(scope="module")
def drawn(study, tmp_path_factory) -> Path:
    """The study's figures; copy them before changing anything."""
    figures = tmp_path_factory.mktemp("drawn") / "figures"
    with writing(figures, {}, inside="") as folder:
        write_figures(study, 3, folder, METHODS, SETTINGS)
    return figures


def report(folders: list[Path], drawn: Path, template: str = TEMPLATE) -> str:
    return make_report(folders, 3, drawn, template, CAPTIONS, METHODS, SETTINGS)


class Outline(HTMLParser):
    """Elements of a page as (tag, attributes), and the text of each open tag."""

    def __init__(self, page: str):
        super().__init__()
        self.elements, self.open, self.text = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "img", "br", "wbr"):
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


def test_every_figure_is_in_it_once(study, drawn):
    pictures = [entry["src"] for entry in Outline(report(study, drawn)).all("img")]
    held = [base64.b64decode(source.partition(";base64,")[2]) for source in pictures]
    stems = {path.with_suffix("") for path in drawn.rglob("*") if path.suffix in (".png", ".svg")}
    files = [
        path.read_bytes()
        for stem in stems
        for path in [stem.with_name(stem.name + ".svg"), stem.with_name(stem.name + ".png")]
        if path.is_file() and (path.suffix == ".svg" or not stem.with_name(stem.name + ".svg").is_file())
    ]
    assert sorted(held) == sorted(files)


def test_every_table_is_in_it(study, drawn):
    made_pages = make_pages(study, 3, METHODS, SETTINGS)
    outline = Outline(report(study, drawn))
    sections = [(page.title, section) for page in made_pages for section in page.sections]
    assert sorted(outline.words("caption")) == sorted(title for title, _ in sections)
    cells = set(outline.words("td"))
    for _, section in sections:
        assert set(section.table.iloc[:, 1:].to_numpy().ravel()) - {""} <= cells
    assert len(outline.all("tr")) == sum(1 + len(section.table) for _, section in sections)


def test_every_table_has_its_place_in_a_chapter():
    shown = [name for names in PARTS.values() for name in names]
    assert sorted(name for name in shown if "." not in name) == sorted(TABLES)


def test_the_page_can_be_read_without_seeing_it(study, drawn):
    outline = Outline(report(study, drawn))
    assert outline.open == [] and outline.all("html") == [{"lang": "en"}] and len(outline.all("h1")) == 1
    assert all(len(picture["alt"]) > 40 for picture in outline.all("img"))
    curves = next(each["alt"] for each in outline.all("img") if each["alt"].startswith("Line chart"))
    assert re.search(r"random \d+\.\d % with 18 pixels, edald \d+\.\d % with 18 pixels, full", curves)
    assert all(header["scope"] in ("col", "row") for header in outline.all("th"))
    assert len(outline.all("caption")) == len(outline.all("table"))
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = [link["href"].removeprefix("#") for link in outline.all("a")]
    wanted += [each["aria-labelledby"] for each in outline.all("section")]
    assert wanted and set(wanted) <= set(ids)
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_how_to_read_a_figure_is_said_once(study, drawn):
    page = report(study, drawn)
    for caption in CAPTIONS.values():
        assert page.count(html_text(caption)) == 1
    assert page.count("do not cover the choice of training and test images") == 1


def test_what_cannot_be_made_is_said(study, tmp_path):
    with writing(tmp_path / "figures", {}, inside="") as folder:
        write_figures(study[:1], 3, folder, METHODS)
    page = make_report(study[:1], 3, tmp_path / "figures", TEMPLATE, CAPTIONS, METHODS)
    for reason in (
        "There is no method to compare others with",
        "It takes the fully supervised reference",
        "ranked a pool",
    ):
        assert reason in page
    assert "`" not in page and "?." not in page, "notes are plain text, and a title may end with a question mark"


def test_a_chapter_says_what_it_lacks(study, drawn, tmp_path):
    """The method that others are compared with has no runs with these features."""
    other = write_run(tmp_path, "edald", features="coarse")
    page = " ".join(report([*study, other], drawn).split())
    (coarse,) = re.findall(r'<h2 id="chapter-toy-coarse-0_1">.*?<h2', page)
    assert "There is nothing to compare with <em>random</em> here" in coarse
    assert "No two methods besides <em>full</em>" in coarse
    assert "<strong>Left out</strong>" in coarse and "edald: thumbnails.npz is not among the files" in coarse
    shown = coarse.count("<table ") + coarse.count('<p class="note"><strong>') - coarse.count("<strong>Left out")
    assert shown == len(make_pages(study, 3))


@pytest.mark.hostile("names that leave the house")
def test_names_are_escaped(drawn, tmp_path):
    study = write_study(tmp_path)
    for folder in study:
        path = folder / "run.json"
        path.write_text(path.read_text().replace('"sky"', '"<sky> & *co*"'))
    page = report(study, drawn)
    assert "&lt;sky&gt; &amp; *co*" in page and "<sky>" not in page


def test_long_heads_may_break(study, drawn):
    assert '<th scope="col">traffic_<wbr>sign</th>' in report(study, drawn)


def test_a_missing_figure_is_named(study, drawn, tmp_path):
    shutil.copytree(drawn, tmp_path / "figures")
    (tmp_path / "figures" / "toy" / "ddpm" / "budget-0.1" / "learning_curves.svg").unlink()
    with pytest.raises(UserError, match=r"learning_curves\.svg is missing"):
        report(study, tmp_path / "figures")


@pytest.fixture
def wide_report(tmp_path) -> Path:
    """A report whose table of classes has 40 columns."""
    study, names = write_study(tmp_path / "runs"), [f"class number {number}" for number in range(40)]
    for folder in study:
        seal = json.loads((folder / "run.json").read_text())
        seal["classes"] = [{"name": name, "colour": [0, 0, 0]} for name in names]
        (folder / "run.json").write_text(json.dumps(seal))
        head, *rows = (folder / "metrics.csv").read_text().splitlines()
        head = ",".join([*head.split(",")[:5], *(f"iou_{number}" for number in range(40))])
        rows = [",".join([*row.split(",")[:5], *["0.5"] * 40]) for row in rows]
        (folder / "metrics.csv").write_text("\n".join([head, *rows]) + "\n")
    with writing(tmp_path / "figures", {}, inside=""):
        pass
    path = tmp_path / "report.html"
    path.write_text(report(study, tmp_path / "figures"))
    return path


@pytest.mark.browser
def test_methods_stay_in_sight_while_a_wide_table_scrolls(wide_report, browser):
    page = browser.new_page(viewport={"width": 800, "height": 600})
    page.goto(wide_report.as_uri())
    scroll = page.locator(".scroll", has=page.locator("caption", has_text="IoU of each class"))
    scroll.evaluate("each => { each.scrollLeft = 1000 }")
    left = scroll.bounding_box()["x"]
    names = scroll.locator("tr > th:first-child")
    assert names.count() == 4
    for name in names.all():
        place = name.bounding_box()
        assert place["x"] == pytest.approx(left, abs=1)
        # what passes behind does not shine through
        assert name.evaluate("each => getComputedStyle(each).backgroundColor") != "rgba(0, 0, 0, 0)"
    page.close()


@pytest.mark.browser
def test_wide_tables_are_printed_whole(wide_report, browser):
    page = browser.new_page(viewport={"width": 700, "height": 1000})
    page.goto(wide_report.as_uri())
    page.emulate_media(media="print")
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    widths = page.evaluate("[...document.querySelectorAll('table')].map(each => each.getBoundingClientRect().right)")
    assert len(widths) > 10 and max(widths) <= page.evaluate("document.body.getBoundingClientRect().right")
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    page.close()


@pytest.mark.browser
def test_a_browser_shows_it_without_an_error(study, drawn, tmp_path, problems_of):
    path = tmp_path / "report.html"
    path.write_text(report(study, drawn))
    assert problems_of(path) == []

    # what the test above must notice
    page = path.read_text()
    (tmp_path / "broken.html").write_text(page.replace("base64,iVBOR", "base64,iVxxR", 1))
    assert [problem.split(":")[0] for problem in problems_of(tmp_path / "broken.html")] == ["missing picture"]
    (tmp_path / "absent.html").write_text(re.sub('src="[^"]*"', 'src="absent.png"', page, count=1))
    absent = {problem.split(":")[0] for problem in problems_of(tmp_path / "absent.html")}
    assert absent == {"console error", "missing picture", "fetched"}
    (tmp_path / "script.html").write_text(page.replace("</main>", "<script>nothing()</script></main>"))
    assert [problem.split(":")[0] for problem in problems_of(tmp_path / "script.html")] == ["error"]
