"""A person's answers: what an answer file may look like, what is wrong with it and where, which runs wait for it."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelherd.annotation import oracle
from pixelherd.datasets.pixels import LABEL_COLUMNS
from pixelherd.errors import UserError
from pixelherd.storage.files import harmless, write_csv
from pixelherd.study import stages
from pixelherd.study.paths import LABELS, PAGE
from pixelherd.study.run import Run
from pixelherd.study.study import Study

ASKED = [("a", 3, 4), ("a", 5, 0), ('sub/ü, "b"', 0, 1)]
CLASSES = ["Road", "traffic sign", "7"]


def answers(text: str, tmp_path, asked=ASKED):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return oracle.read_answers(path, asked, 2, CLASSES)


HEADER = "round,image,row,column,label\n"


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (HEADER + '2,a,5,0,1\n2,"sub/ü, ""b""",0,1,255\n2,a,3,4,0\n', [0, 1, 255]),
        (HEADER + "2,a,3,4,road\n2,a,5,0, Traffic Sign \n", [0, 1, None]),
        (HEADER + "2,a,3,4,unknown\n\n2,a,5,0,\n", [255, None, None]),
        ("\ufeff" + HEADER.replace(",", ";") + "2;a;3;4;2\r\n", [2, None, None]),
        (HEADER.replace(",", "\t") + "2\ta\t3\t4\t1", [1, None, None]),
        (HEADER, [None, None, None]),
    ],
)
def test_answers_come_in_any_order_by_name_or_number(text, labels, tmp_path):
    assert answers(text, tmp_path) == labels


@pytest.mark.parametrize("mark", ["", "'"], ids=["by hand", "escaped"])
@pytest.mark.parametrize(
    ("image", "name"), [("=1+1", "@sum(1)"), ("-a", "+b"), ("'=a", "'=b"), ("'tis", "'s"), ("-5", "-5")]
)
def test_names_that_a_spreadsheet_would_run_come_with_or_without_an_apostrophe(image, name, mark, tmp_path):
    path = tmp_path / "labels.csv"
    written = [f"{mark}{each}" if harmless(each) != each else each for each in (image, name)]
    path.write_text(HEADER + "2,{},3,4,{}\n".format(*written))
    assert oracle.read_answers(path, [(image, 3, 4)], 2, ["road", name]) == [1]


def test_an_escaped_name_is_not_taken_for_the_one_that_looks_so(tmp_path):
    write_csv(tmp_path / "labels.csv", LABEL_COLUMNS, [(2, "=a", 3, 4, 0), (2, "'=a", 3, 4, 1)])
    assert oracle.read_answers(tmp_path / "labels.csv", [("'=a", 3, 4), ("=a", 3, 4)], 2, CLASSES) == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: must be round,image,row,column,label, found nothing"),
        ("image,label\na,1\n", r"line 1: must be .* found image,label"),
        (HEADER + "2,a,3,4,0\n2,a,5,0\n", r"line 3: has 4 columns instead of 5"),
        (HEADER + '2,"a,3,4,0\n2,a,5,0,1\n', r"line 2: is no CSV \(unexpected end of data\); mend its quotation marks"),
        (HEADER + '2,"a,3,4,0\n' + "2,a,5,0,1\n" * 20_000, r"line 2: is no CSV"),
        (HEADER + f"2,a,3,{'9' * 5000},0\n", r"line 2: round, row and column must be whole numbers"),
        (HEADER + "2,a,3,x,0\n", r"line 2: round, row and column must be whole numbers"),
        (HEADER + "1,a,3,4,0\n", r"line 2: answers round 1, but this is the file of round 2"),
        (HEADER + "2,a,4,4,0\n", r"line 2: row 4, column 4 of image 'a' was not asked in round 2; remove the line"),
        (HEADER + "2,a,3,4,0\n2,a,5,0,1\n2,a,3,4,0\n", r"line 4: answers the same pixel as line 2"),
        (HEADER + "2,a,3,4,3\n", r"line 2: label 3 is no class; labels are 0 to 2, or 255"),
        (HEADER + "2,a,3,4,-1\n", r"line 2: unknown class '-1'"),
        (HEADER + "2,a,3,4,raod\n", r"line 2: unknown class 'raod' \(did you mean 'road'\?\)"),
    ],
)
@pytest.mark.hostile("exports and answers")
def test_mistakes_name_their_line(text, message, tmp_path):
    with pytest.raises(UserError, match=rf"labels\.csv, {message}") as caught:
        answers(text, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.hostile("exports and answers")
def test_a_file_that_is_no_text_is_one_line(tmp_path):
    (tmp_path / "labels.csv").write_bytes(HEADER.encode() + b"2,\xff\xfe,3,4,0\n")
    with pytest.raises(UserError, match=r"is no text in UTF-8"):
        oracle.read_answers(tmp_path / "labels.csv", ASKED, 2, CLASSES)


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(str.strip).filter(bool)


@given(
    st.lists(st.tuples(NAMES, st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=8, unique=True),
    st.data(),
)
def test_any_names_of_images_come_back(tmp_path_factory, asked, data):
    labels = data.draw(st.lists(st.sampled_from([0, 1, 2, 255]), min_size=len(asked), max_size=len(asked)))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(LABEL_COLUMNS)
    for place in data.draw(st.permutations(range(len(asked)))):
        table.writerow([2, *asked[place], labels[place]])
    assert answers(text.getvalue(), tmp_path_factory.mktemp("answers"), asked) == labels


@pytest.fixture
def study(settings, tmp_path):
    methods = {"edald": None, "full": None}
    return Study.read({**settings, "methods": methods, "oracle": "csv", "results": str(tmp_path / "results")})


def write(study, run, number, answered=None, page=True):
    """Two queries of a round, with so many answers."""
    queries, asked = (
        Path(study.paths.of_round(each, run, number)) for each in (study.paths.queries, study.paths.asked)
    )
    folder = asked.parent
    for path in (queries.parent, folder):
        path.mkdir(parents=True, exist_ok=True)
    queries.write_text(f"round,image,row,column,score\n{number},a,0,0,1\n{number},b,1,2,1\n")
    if page:
        (folder / PAGE).write_text("")
    if answered is not None:
        lines = [f"{number},a,0,0,1\n", f"{number},b,1,2,unknown\n"][:answered]
        (folder / LABELS).write_text(HEADER + "".join(lines))
    return folder


def test_a_run_waits_for_the_first_round_whose_answers_are_incomplete(study):
    run, full = Run("demo", "ddpm", "edald", "3", 0), Run("demo", "ddpm", "full", "all", 0)
    pending = {run: range(2), full: range(1)}
    assert oracle.waiting(study, pending) == {run: 0}, "the reference takes the masks"
    assert oracle.request(study, run, 0) is None, "there is no page yet"
    folder = write(study, run, 0)
    line = f"for labels in {folder}/labels.csv; open {folder}/page.html, then run the same command again"
    assert oracle.waiting(study, pending) == {run: 0} and oracle.request(study, run, 0) == f"2 pixels wait {line}"
    write(study, run, 0, 1)
    assert oracle.waiting(study, pending) == {run: 0}
    assert oracle.request(study, run, 0) == f"1 of 2 pixels still wait {line}"
    write(study, run, 0, 2)
    assert oracle.waiting(study, pending) == {run: 1} and oracle.request(study, run, 0) is None
    write(study, run, 1, 2)
    assert oracle.waiting(study, pending) == {}
    (folder / LABELS).write_text(HEADER + "0,a,9,9,1\n")
    assert oracle.waiting(study, pending) == {}, "the job that reads it tells what is wrong"
    Path(study.paths.of_round(study.paths.queries, run, 0)).unlink()
    assert oracle.waiting(study, pending) == {}, "answers of queries that are chosen again may fit"


def test_what_a_page_asks_is_known_by_run_and_queries(study):
    run = Run("demo", "ddpm", "edald", "3", 0)
    asked, queries = write(study, run, 0) / "asked.json", Path(study.paths.of_round(study.paths.queries, run, 0))
    assert not oracle.has_asked(study, run, 0)
    oracle.note_asked(asked, stages.question(study, run), queries)
    assert oracle.has_asked(study, run, 0)
    assert not oracle.has_asked(study.model_copy(update={"threads": 2}), run, 0), "other settings, other queries"
    queries.write_text("round,image,row,column,score\n")
    assert not oracle.has_asked(study, run, 0)


def test_equal_answers_give_equal_heads_whoever_gives_them(study, settings):
    masks, run = Study.read({**settings, "oracle": "masks"}), Run("demo", "ddpm", "edald", "3", 0)
    assert stages.identity(study, run) == stages.identity(masks, run)
    assert stages.result(study, run) != stages.result(masks, run), "but no seal stands for the other"
    full = Run("demo", "ddpm", "full", "all", 0)
    assert stages.result(study, full) == stages.result(masks, full)


def test_queries_whose_places_are_no_numbers_are_named(tmp_path):
    write_csv(tmp_path / "queries.csv", ("round", "image", "row", "column", "score"), [[0, "a", "x", 1, 0.5]])
    with pytest.raises(UserError, match=r"queries.csv, line 2: row or column is no number; delete it and run again"):
        oracle.read_asked(tmp_path / "queries.csv")
