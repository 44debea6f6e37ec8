"""Runs in an archive and out of it again: the same bytes, whatever is in them, and nothing half-written."""

import hashlib
import json
import lzma
import shutil
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelherd.errors import UserError
from pixelherd.results.archive import carried, command, packed
from pixelherd.results.archive.carried import Carried
from pixelherd.results.pages.write import make_pages
from pixelherd.storage.files import hash_of, write_csv
from pixelherd.storage.records import SEAL_DIGEST


def contents(results: Path) -> dict[str, bytes]:
    """Every seal and table of a folder of results."""
    files = [path for path in results.rglob("*") if path.name == "run.json" or path.suffix == ".csv"]
    return {path.relative_to(results).as_posix(): path.read_bytes() for path in files}


def pack(*arguments: object) -> None:
    command.run("archive", list(map(str, arguments)))


def unpack(*arguments: object) -> None:
    command.run("unpack", list(map(str, arguments)))


def test_what_is_unpacked_is_what_was_packed(study, tmp_path):
    pack(study.root, tmp_path / "archive")
    unpack(tmp_path / "archive", tmp_path / "elsewhere")
    assert contents(tmp_path / "elsewhere") == contents(study.root)
    assert not list((tmp_path / "elsewhere").rglob("*.safetensors"))
    size = sum(path.stat().st_size for path in (tmp_path / "archive").iterdir())
    assert size < sum(map(len, contents(study.root).values()))


def test_tables_of_what_is_unpacked_are_those_of_the_results(study, tmp_path):
    pack(study.root, tmp_path / "archive")
    unpack(tmp_path / "archive", tmp_path / "elsewhere")
    made = [make_pages(sorted(root.glob("runs/*/*/*/*/*")), 3) for root in (study.root, tmp_path / "elsewhere")]
    assert [page.csv() for page in made[0]] == [page.csv() for page in made[1]]


def test_pandas_reads_the_tables_of_all_runs(study, tmp_path):
    pack(study.root, tmp_path / "archive")
    metrics = pd.read_csv(tmp_path / "archive" / "metrics.csv.xz")
    last = metrics[metrics["round"] == 2].groupby("method")["miou"].mean()
    assert last.to_dict() == pytest.approx({"edald": 0.55, "random": 0.3})
    queries = pd.read_csv(tmp_path / "archive" / "queries.csv.xz")
    assert len(queries) == 4 * 3 * 10 and list(queries.columns[:6]) == [
        *("dataset", "features", "budget", "method", "seed", "round")
    ]
    training = pd.read_csv(tmp_path / "archive" / "training.csv.xz")
    assert training["round"].value_counts().to_dict() == {0: 9, 1: 8, 2: 8}, "its own columns do not tell"


def test_the_same_runs_make_the_same_bytes(study, tmp_path):
    pack(study.root, tmp_path / "one")
    for path in study.root.rglob("*"):
        path.touch()
    pack(study.root, tmp_path / "two")
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert {name: content for name, content in one.items() if name.endswith(".xz")} == {
        name: content for name, content in two.items() if name.endswith(".xz")
    }
    pack(study.root, tmp_path / "one")
    assert {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()} == one


def test_metrics_of_datasets_with_other_classes_have_files_of_their_own(results, tmp_path):
    results.add("edald", [0.2])
    folder = shutil.copytree(results.root / "runs" / "toy", results.root / "runs" / "zoo")
    (run,) = folder.glob("*/*/*/*")
    write_csv(run / "metrics.csv", ["round", "labelled_pixels", "miou", "iou_cat"], [[0, 10, 0.25, 0.25]])
    seal = json.loads((run / "run.json").read_text())
    seal["run"]["dataset"] = "zoo"
    seal["files"]["metrics.csv"] = hashlib.sha256((run / "metrics.csv").read_bytes()).hexdigest()
    seal[SEAL_DIGEST] = hash_of({key: value for key, value in seal.items() if key != SEAL_DIGEST})
    (run / "run.json").write_text(json.dumps(seal, indent=1) + "\n")
    pack(results.root, tmp_path / "archive")
    assert sorted(path.name for path in (tmp_path / "archive").glob("metrics*")) == [
        "metrics-toy.csv.xz",
        "metrics-zoo.csv.xz",
    ]
    unpack(tmp_path / "archive", tmp_path / "elsewhere")
    assert contents(tmp_path / "elsewhere") == contents(results.root)


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@settings(deadline=None, max_examples=60)
@given(
    kinds=st.lists(
        st.tuples(
            st.sampled_from(["metrics.csv", "round-0/queries.csv", "round-1/queries.csv", "round-10/other.csv"]),
            st.lists(st.sampled_from(["round", "a", "b,c", '"d"']), min_size=1, max_size=3, unique=True),
            st.lists(st.tuples(cells, cells, cells), max_size=3),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda kind: kind[0],
    )
)
def test_any_text_comes_back(kinds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    tables = {}
    for name, columns, rows in kinds:
        number = packed._round_of(name) if "/" in name else "0"
        width = len(columns)
        # a line of one empty cell is no line for readers of CSV, and none that pixelherd writes
        found = [
            [number if column == "round" else cell or "x" for column, cell in zip(columns, row[:width], strict=True)]
            for row in rows
        ]
        write_csv(folder / "table.csv", columns, found)
        tables[name] = (folder / "table.csv").read_bytes().decode()
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in tables.items()}
    run = {"dataset": "toy", "features": "ddpm", "method": "edald", "budget": "0.1", "seed": 3}
    seal = {"run": run, "rounds": 11, "settings_sha256": "", "source_sha256": "", "files": digests}
    runs = carried.in_order([Carried(seal, tables)])
    packed.write_archive(runs, folder / "archive", "{files}")
    assert packed.read_archive(folder / "archive") == runs


def test_archives_of_two_machines_meet_in_one_folder(results, tmp_path):
    one, other = type(results)(tmp_path / "one"), type(results)(tmp_path / "other")
    one.add("edald", [0.2, 0.3], seed=0)
    one.add("edald", [0.2, 0.3], seed=1)
    other.add("edald", [0.2, 0.3], seed=1)
    other.add("edald", [0.2, 0.4], seed=2)
    pack(one.root, tmp_path / "a")
    pack(other.root, tmp_path / "b")
    unpack(tmp_path / "a", tmp_path / "b", results.root)
    assert contents(results.root) == contents(one.root) | contents(other.root)
    before = contents(results.root)
    unpack(tmp_path / "b", results.root)
    assert contents(results.root) == before, "what is there stays"
    pack(tmp_path / "a", other.root, tmp_path / "c")
    unpack(tmp_path / "c", tmp_path / "together")
    assert contents(tmp_path / "together") == before


@pytest.mark.parametrize(
    ("miou", "given", "what"),
    [
        ([0.2, 0.4], {}, "another metrics.csv"),
        ([0.2, 0.3], {"shift": 1}, "another round-0/queries.csv"),
        ([0.2, 0.3, 0.3], {}, "3 rounds instead of 2"),
        ([0.2, 0.3], {"settings": {"weight": 2}}, "other settings"),
    ],
)
def test_a_run_that_differs_is_refused_and_nothing_is_written(results, tmp_path, miou, given, what):
    results.add("edald", [0.2, 0.3])
    other = type(results)(tmp_path / "other")
    other.add("coverage", [0.1, 0.1])
    other.add("edald", miou, **given)
    pack(other.root, tmp_path / "archive")
    before = contents(results.root)
    with pytest.raises(UserError, match=f"toy/ddpm/edald/budget-0.1/seed-0 is not the same run in .*{what}"):
        unpack(tmp_path / "archive", results.root)
    assert contents(results.root) == before
    with pytest.raises(UserError, match="is not the same run"):
        pack(results.root, other.root, tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_an_unfinished_run_is_not_packed_and_not_overwritten(study, tmp_path):
    pack(study.root, tmp_path / "archive")
    unfinished = study.root / "runs/toy/ddpm/edald/budget-0.1/seed-1"
    (unfinished / "run.json").unlink()
    assert len(command.read(study.root)) == 4
    with pytest.raises(UserError, match="seed-1 holds an unfinished run; finish it, or delete the folder"):
        unpack(tmp_path / "archive", study.root)
    assert not (unfinished / "run.json").exists()


def test_a_killed_unpacking_leaves_no_seal(study, tmp_path, monkeypatch):
    pack(study.root, tmp_path / "archive")

    def killed() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.sync", killed)
    with pytest.raises(KeyboardInterrupt):
        unpack(tmp_path / "archive", tmp_path / "elsewhere")
    assert not list((tmp_path / "elsewhere").rglob("run.json"))


@pytest.mark.hostile("files of cache and results")
@pytest.mark.parametrize("name", ["queries.csv.xz", "seals.jsonl.xz", "metrics.csv.xz", "index.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_archive_is_told_by_its_file(study, tmp_path, name, damage):
    pack(study.root, tmp_path / "archive")
    path, content = tmp_path / "archive" / name, bytearray((tmp_path / "archive" / name).read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    with pytest.raises(UserError, match=f"{name} is (damaged|missing)|holds no finished run"):
        unpack(tmp_path / "archive", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_a_table_that_is_not_the_sealed_one_is_told_when_it_is_packed_and_unpacked(study, tmp_path):
    pack(study.root, tmp_path / "archive")
    text = lzma.decompress((tmp_path / "archive" / "metrics.csv.xz").read_bytes()).decode().replace("0.6", "0.9")
    (tmp_path / "archive" / "metrics.csv.xz").write_bytes(lzma.compress(text.encode()))
    index = json.loads((tmp_path / "archive" / "index.json").read_text())
    index["files"]["metrics.csv.xz"] = hashlib.sha256(
        (tmp_path / "archive" / "metrics.csv.xz").read_bytes()
    ).hexdigest()
    index["sha256"] = hash_of({key: value for key, value in index.items() if key != "sha256"})
    (tmp_path / "archive" / "index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"seed-1/metrics.csv has changed since the run was finished"):
        unpack(tmp_path / "archive", tmp_path / "elsewhere")
    with (study.root / "runs/toy/ddpm/edald/budget-0.1/seed-1/metrics.csv").open("a") as file:
        file.write("3,40,0.9,0.9,0.9,0.9,\n")
    with pytest.raises(UserError, match=r"seed-1/metrics.csv has changed since the run was finished; put back"):
        pack(study.root, tmp_path / "again")


def test_a_folder_of_something_else_is_not_filled(study, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="mine holds something else than an archive"):
        pack(study.root, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    with pytest.raises(UserError, match="mine holds no finished run"):
        pack(tmp_path / "mine", tmp_path / "archive")


def test_a_run_in_the_wrong_place_is_told(study, tmp_path):
    runs = study.root / "runs/toy/ddpm"
    (runs / "random").rename(runs / "entropy")
    with pytest.raises(UserError, match=r"entropy/.*run.json is damaged, or another run's \(and 1 more like it\)"):
        pack(study.root, tmp_path / "archive")


def test_the_card_tells_what_there_is_and_who_made_it(study, tmp_path):
    (tmp_path / "notes.md").write_text("## Licences\n\nToy data, public domain.\n")
    pack(study.root, tmp_path / "archive", "--notes", tmp_path / "notes.md", "--study", "studies/toy.yaml")
    text = (tmp_path / "archive" / "README.md").read_text()
    assert "5 finished runs" in text and "Toy data, public domain." in text
    assert "| toy | ddpm | 0.1 | 4 | 3 | edald (2), random (2) |" in text
    assert "| toy | 9 | 3 | 24×32 | road, sky |" in text
    assert "--configfile studies/toy.yaml" in text
    seal = command.read(study.root)["toy/ddpm/full/budget-all/seed-0"].seal
    assert f"| `ffffffffffff` | {seal['made_on']['processor']} |" in text
    rows = len(pd.read_csv(tmp_path / "archive" / "queries.csv.xz"))
    assert f"| `queries.csv.xz` | {rows} | {(tmp_path / 'archive' / 'queries.csv.xz').stat().st_size} |" in text


def test_the_question_in_the_card_is_answered(study, tmp_path, capsys):
    pack(study.root, tmp_path / "archive")
    text = (tmp_path / "archive" / "README.md").read_text()
    exec(text.split("```python\n")[1].split("```")[0], {})
    printed = capsys.readouterr().out
    assert "edald" in printed and "0.55" in printed
