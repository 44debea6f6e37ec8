"""The finished runs that come with the repository, and what the page on CamVid says of them."""

from pathlib import Path

import pytest
import yaml

from pixelherd.pipeline import seals
from pixelherd.results.archive import command
from pixelherd.results.pages.write import make_pages
from pixelherd.results.settings import TableSettings
from pixelherd.study import stages
from pixelherd.study.study import Study
from unit.places import REPOSITORY


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shown"), [("table1", {"final", "stages"}), ("table2", {"final", "comparison"})])
def test_the_page_shows_the_tables_of_the_archived_runs(tmp_path, monkeypatch, name, shown):
    monkeypatch.chdir(tmp_path)
    command.run("unpack", [str(REPOSITORY / "archive" / name), f"results/{name}"])
    study = Study.read(yaml.safe_load((REPOSITORY / "studies" / f"{name}.yaml").read_text()))
    assert seals.pending_runs(study, "any source", lambda run: "any address") == {}, (
        "made with the settings that the study still has"
    )
    folders = [Path(study.results) / "runs" / run.path for run in study.runs()]
    settings = TableSettings.model_validate(stages.statistics(study))
    made = make_pages(folders, study.rounds, list(study.methods), settings)
    told = set((REPOSITORY / "docs" / "camvid.md").read_text().splitlines())
    for page in made:
        if page.name in shown:
            rows = [line for line in page.markdown().splitlines() if line.startswith("|")]
            assert len(rows) > 3 and set(rows) <= told, "\n".join(rows)
