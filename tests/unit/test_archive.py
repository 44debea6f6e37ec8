"""The finished runs that come with the repository, and what the README says of them."""

import tarfile
from pathlib import Path

import pytest
import yaml

from pixelherd import pages, sealing
from pixelherd.study import Study

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_readme_shows_the_tables_of_the_archived_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tarfile.open(REPOSITORY / "docs" / "camvid" / "table1-runs.tar.xz") as archive:
        archive.extractall("results/table1", filter="data")
    study = Study.read(yaml.safe_load((REPOSITORY / "studies" / "table1.yaml").read_text()))
    assert sealing.pending(study) == {}, "made with the settings that the study still has"
    folders = [Path(study.results) / "runs" / run.path for run in study.runs()]
    _, made = pages.make(folders, study.rounds, list(study.methods), study.statistics_settings())
    told = set((REPOSITORY / "README.md").read_text().splitlines())
    for page in made:
        if page.name in ("final", "stages"):
            rows = [line for line in page.markdown().splitlines() if line.startswith("|")]
            assert len(rows) > 3 and set(rows) <= told, "\n".join(rows)
