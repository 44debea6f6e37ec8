"""The paper's study: its settings, and that its README tells what the plan says, without data or checkpoints."""

from pathlib import Path

import yaml

from pixelherd import plan
from pixelherd.study import Study

STUDIES = Path(__file__).parents[2] / "studies"
BACKBONES = {
    "camvid": "imagenet_256",
    "cityscapes": "imagenet_256",
    "pascal_context": "imagenet_256",
    "ade_bed": "lsun_bedroom",
}


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
    page = plan.page(paper, plan.images_of(paper, paper.datasets), 0).splitlines()
    planned = [cells(line) for line in page[page.index("Each dataset alone.") :] if line.startswith("|")][2:]
    told = [cells(line) for line in (STUDIES / "README.md").read_text().splitlines()]
    assert [row[0] for row in planned] == list(paper.datasets)
    assert all(row in told for row in planned), "\n".join(page)
