"""The paper's study: its settings, and that its README tells what the plan says, without data or checkpoints."""

import os
from pathlib import Path

import pytest
import yaml

from pixelherd.study import plan
from pixelherd.study.study import Study
from unit.places import REPOSITORY

STUDIES = REPOSITORY / "studies"
BACKBONES = {
    "camvid": "imagenet_256",
    "cityscapes": "imagenet_256",
    "pascal_context": "imagenet_256",
    "ade_bed": "lsun_bedroom",
}


@pytest.fixture
def small_backbone() -> Path:
    folder = Path(os.environ.get("PIXELHERD_SHARED", STUDIES.parent.parent / "shared")) / "backbones" / "camvid-ddpm"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


def study(**changes) -> Study:
    return Study.read(yaml.safe_load((STUDIES / "paper.yaml").read_text()) | changes)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_the_study_is_the_papers(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    paper = study()
    assert {dataset: paper.features[name].backbone.architecture for dataset, name in paper.pairs()} == BACKBONES
    assert all(each.size == (256, 256) for each in paper.datasets.values())
    for features in paper.features.values():
        assert (features.timesteps, features.blocks, features.draws) == ([50, 150, 250], [5, 8, 12, 17], 5)
    assert (paper.budgets, paper.rounds, paper.seeds) == ([0.1], 10, [0, 1, 2, 3, 4])
    for dataset, features in paper.pairs():
        native, dimension = plan.geometry_of(paper, dataset, features)
        assert (dimension, native) == (6144, 3 * 2 * 24_117_248)


def test_camvid_takes_as_many_forwards_as_the_method_needs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    paper = study(seeds=[0], pictures=0)
    camvid = paper.model_copy(update={"datasets": {"camvid": paper.datasets["camvid"]}})
    planned = plan.items(camvid, plan.images_of(camvid, ["camvid"]))
    assert sum(item.forwards for item in planned) == 367 * (3 + 15) + 3 * 233 == 7305


def test_the_readme_tells_what_the_plan_says(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    paper = study()
    page = plan.overview(paper, paper.runs()).splitlines()
    planned = [cells(line) for line in page[page.index("Each dataset alone.") :] if line.startswith("|")][2:]
    told = [cells(line) for line in (STUDIES / "README.md").read_text().splitlines()]
    assert [row[0] for row in planned] == list(paper.datasets)
    assert all(row in told for row in planned), "\n".join(page)


@pytest.mark.parametrize("name", ["table1", "table2", "ablations"])
def test_the_readme_tells_what_the_tables_cost(name, monkeypatch, tmp_path, small_backbone):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "backbones").mkdir(parents=True)
    (tmp_path / "data" / "backbones" / "camvid-ddpm").symlink_to(small_backbone)
    content = yaml.safe_load((STUDIES / f"{name}.yaml").read_text())
    found = Study.read(content)
    (total,) = [cells(line) for line in plan.overview(found, found.runs()).splitlines() if "total" in line]
    (told,) = [
        cells(line) for line in (STUDIES / "README.md").read_text().splitlines() if line.startswith(f"| `{name}.yaml`")
    ]
    assert told == [f"`{name}.yaml`", str(len(found.runs())), *total[1:]]


def test_the_published_numbers_are_the_papers():
    """Each table shows what the facts about the paper say, under the names of its methods."""
    path = Path(os.environ.get("PIXELHERD_SHARED", STUDIES.parent.parent / "shared")) / "facts" / "datasets.yaml"
    if not path.is_file():
        pytest.skip(f"no {path}")
    facts = yaml.safe_load(path.read_text())["published_miou_after_10_rounds"]
    one, two = (yaml.safe_load((STUDIES / f"table{number}.yaml").read_text())["published"]["miou"] for number in (1, 2))
    expected = {}
    for score, (single, herded) in facts["camvid_single_vs_two_stage"].items():
        expected |= {f"{score}_single": single, score: herded}
    assert one["camvid"] == expected
    table = facts["ddpm"]
    names = {
        "random": "random",
        "margin": "margin_single",
        "edald_single_stage": "edald_single",
        "edald_two_stage": "edald",
    }
    published = {names[name]: values["camvid"] for name, values in table.items()}
    assert published.pop("edald_single") == one["camvid"]["edald_single"]
    assert two["camvid"] == published | {"entropy_single": expected["entropy_single"]}
