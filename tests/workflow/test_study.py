"""What reruns when: a tiny study, run for real, changed in every way that a user would."""

import base64
import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from conftest import REPOSITORY, Workspace

EDALD = "street/ddpm/edald/budget-4/seed-0"
RANDOM = "street/ddpm/random/budget-4/seed-0"
FINAL = "results/tables/final.csv"  # asked for where figures and report would show nothing more


def rules(jobs: set[str]) -> set[str]:
    return {job.split("/")[0] for job in jobs}


def test_a_study_gives_queries_labels_heads_metrics_tables_and_figures(finished):
    for run in (EDALD, RANDOM):
        folder = finished.folder / "results" / "runs" / run
        metrics = pd.read_csv(folder / "metrics.csv")
        assert metrics["labelled_pixels"].tolist() == [4, 8]
        assert metrics["miou"].between(0, 1).all()
        asked = [pd.read_csv(folder / f"round-{number}" / "queries.csv") for number in range(2)]
        answered = [pd.read_csv(folder / f"round-{number}" / "labels.csv") for number in range(2)]
        pixels = pd.concat(asked)[["image", "row", "column"]]
        assert len(pixels.drop_duplicates()) == 8, "no pixel is asked twice"
        for queries, labels in zip(asked, answered, strict=True):
            assert queries[["round", "image", "row", "column"]].equals(labels[["round", "image", "row", "column"]])
        seal = json.loads((folder / "run.json").read_text())
        assert seal["rounds"] == 2
        assert (folder / "round-1" / "head.safetensors").is_file()
    final = pd.read_csv(finished.folder / "results" / "tables" / "final.csv")
    assert final["method"].tolist() == ["edald", "random"]
    curves = finished.folder / "results" / "figures" / "street" / "ddpm" / "budget-4" / "learning_curves.png"
    assert curves.read_bytes().startswith(b"\x89PNG")


def test_forwards_are_those_that_the_plan_foresaw(finished):
    images, test, steps, draws = 6, 4, 2, 2
    costs = pd.read_csv(finished.folder / "results" / "costs" / "costs.csv").set_index("stage")
    assert costs["forwards"].equals(costs["planned_forwards"])
    assert costs.loc["extract", "forwards"] + costs.loc["perturb", "forwards"] == (
        images * (steps + steps * draws) + steps * test
    )
    printed = finished.snakemake("plan").stdout
    assert "2 runs, 2 of them sealed" in printed
    assert f"{int(costs.loc['total', 'forwards'])}" in printed


def test_one_round_makes_no_noise_draws(finished, tmp_path):
    study = finished.copy(tmp_path / "copy")
    study.settings |= {"rounds": 1, "seeds": [1]}
    shared = study.snakemake("-n", "features").stdout
    assert "Herd lists" in shared and "Perturb" not in shared


def test_a_finished_study_is_planned_without_its_backbone(finished, tmp_path):
    study = finished.copy(tmp_path / "copy")
    data = study.folder / "data"
    raw = data.readlink()
    data.unlink()
    data.mkdir()
    for split in ("train", "test"):
        (data / split).symlink_to(raw / split)
    assert "2 runs, 2 of them sealed: nothing remains to be done" in study.snakemake("plan").stdout
    study.settings["seeds"] = [0, 1]
    refused = study.snakemake("plan", check=False)
    assert refused.returncode == 1 and "no backbone folder" in refused.stdout + refused.stderr


def test_a_finished_study_has_nothing_to_do(finished):
    done = finished.snakemake()
    assert "Nothing to be done" in done.stdout + done.stderr


def test_a_new_seed_runs_alone(finished, tmp_path):
    study = finished.copy(tmp_path / "copy")
    before = study.results()
    study.settings |= {"seeds": [0, 1], "methods": {"edald": None}}
    ran = study.ran(FINAL)
    assert {job for job in ran if "seed-0" in job} == set()
    assert {"herd", "perturb", "fit"} <= rules(ran) and not rules(ran) & {"extract", "prepare"}
    after = study.results()
    assert {name: after[name] for name in before if name.startswith("runs/")} == {
        name: content for name, content in before.items() if name.startswith("runs/")
    }
    assert pd.read_csv(study.folder / "results" / "tables" / "final.csv")["seeds"].tolist() == [2]


def test_a_new_method_runs_alone_on_the_features_there_are(finished, tmp_path):
    study = finished.copy(tmp_path / "copy")
    study.settings["methods"] = {**study.settings["methods"], "margin": {"pool_fraction": 0.6}}
    ran = study.ran("runs")
    assert rules(ran) == {"pool", "score", "fit", "evaluate"}
    assert all("/margin/" in job for job in ran)


def test_a_study_takes_over_features_and_finished_runs_of_another(finished, tmp_path):
    """As table2.yaml may take those of table1.yaml; runs of methods that it does not have are left out."""
    study = finished.copy(tmp_path / "copy")
    sealed = {name: content for name, content in study.results().items() if name.startswith(f"runs/{EDALD}/")}
    taken = study.results_folder / "runs"
    study.settings["results"] = "others"
    results = study.results_folder
    shutil.copytree(taken, results / "runs", copy_function=shutil.copy)  # file times are not kept
    study.settings["methods"] = {"edald": None, "margin": None}
    ran = study.ran(FINAL.replace("results", "others"))
    assert ran and all("/margin/" in job for job in ran)
    after = study.results()
    assert {name: after[name] for name in sealed} == sealed
    final = pd.read_csv(results / "tables" / "final.csv")
    assert final["method"].tolist() == ["edald", "margin"]


def test_an_edited_method_redoes_its_runs_alone(finished, tmp_path):
    study = finished.copy(tmp_path / "copy")
    study.settings["methods"] = {"edald": {"weight": 0.5}, "random": None}
    ran = study.ran("runs")
    assert ran and all("/edald/" in job for job in ran)
    assert not rules(ran) & {"prepare", "extract", "herd", "perturb", "gather"}


def test_a_new_round_continues_every_run(finished, tmp_path):
    study = finished.copy(tmp_path / "copy")
    before = study.results()
    study.settings["rounds"] = 3
    ran = study.ran(FINAL)
    expected = {f"{rule}/{run}/round-2" for rule in ("score", "fit") for run in (EDALD, RANDOM)}
    expected |= {f"pool/{EDALD}/round-2", f"evaluate/{EDALD}", f"evaluate/{RANDOM}"}
    assert ran == expected
    after = study.results()
    kept = [name for name in before if "/round-" in name]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after["tables/final.csv"] != before["tables/final.csv"]

    # fewer rounds again: the runs keep what they have, the tables show what is asked
    study.settings["rounds"] = 2
    assert study.ran(FINAL) == set()
    assert study.results()["tables/final.csv"] == before["tables/final.csv"]


@pytest.mark.slow
def test_rounds_and_seeds_are_added_to_results_without_a_cache(finished, tmp_path):
    more = {"rounds": 3, "seeds": [0, 1], "methods": {"edald": None}}
    study = finished.empty(tmp_path / "copied", **more)
    shutil.copytree(finished.folder / "results" / "runs" / EDALD, study.folder / "results" / "runs" / EDALD)
    shuffle_times(study)
    ran = study.ran("runs")
    sealed = {f"{EDALD}/round-{number}" for number in range(2)}
    asked = {job for job in ran if job.startswith(("score", "fit"))}
    assert asked and not {job.split("/", 1)[1] for job in asked} & sealed
    at_once = finished.empty(tmp_path / "at-once", **more)
    at_once.snakemake("runs")
    assert study.results() == at_once.results()


@pytest.fixture
def carried(finished, tmp_path) -> Workspace:
    """The finished study on another machine: results and cache, but none of Snakemake's records."""
    study = finished.copy(tmp_path / "carried")
    shutil.rmtree(study.folder / ".snakemake")
    return study


def test_changed_settings_redo_results_that_were_carried_elsewhere(carried):
    carried.settings["head"] = {"l2": 1.0}
    planned = carried.snakemake("-n").stdout
    asked = {f"{rule} {run}/round-{n}" for rule in ("Score", "Fit") for run in (EDALD, RANDOM) for n in (0, 1)}
    assert all(f"{job}\n" in planned for job in asked) and "Extract" not in planned
    # ended in the middle, it goes on; the settings changed back, nothing is taken for finished that is not
    head = carried.results_folder / "runs" / EDALD / "round-0" / "head.safetensors"
    old = head.read_bytes()
    carried.snakemake(str(head.relative_to(carried.folder)))
    assert head.read_bytes() != old and not (carried.results_folder / f"runs/{EDALD}/run.json").exists()
    carried.settings["methods"] = {"edald": None}
    ran = carried.ran("runs")
    assert {f"{rule}/{EDALD}/round-1" for rule in ("score", "fit")} == {
        job for job in ran if job.startswith(("score", "fit"))
    }
    assert f"evaluate/{EDALD}" in ran
    seal = json.loads((carried.results_folder / "runs" / EDALD / "run.json").read_text())
    assert seal["settings"]["training"]["l2"] == 1
    assert carried.ran("runs") == set()


@pytest.mark.slow
def test_new_rounds_continue_results_that_were_carried_elsewhere(carried):
    carried.settings["rounds"] = 3
    ran = carried.ran("runs")
    expected = {f"{rule}/{run}/round-2" for rule in ("score", "fit") for run in (EDALD, RANDOM)}
    assert expected == {job for job in ran if job.startswith(("score", "fit"))}
    assert {f"evaluate/{EDALD}", f"evaluate/{RANDOM}"} <= ran and carried.ran("runs") == set()


@pytest.mark.slow
def test_refresh_redoes_results_that_were_carried_elsewhere(carried):
    seal = carried.results_folder / "runs" / EDALD / "run.json"
    content = json.loads(seal.read_text()) | {"source_sha256": "0"}
    del content["seal_sha256"]  # as older seals have none
    seal.write_text(json.dumps(content))
    assert carried.ran("runs", "--config", "refresh=false") == set()
    ran = carried.ran("runs", "--config", "refresh=true")
    assert {f"fit/{EDALD}/round-0", f"evaluate/{EDALD}"} <= ran and f"evaluate/{RANDOM}" not in ran
    assert carried.ran("runs", "--config", "refresh=true") == set()


@pytest.mark.slow
def test_a_table_of_a_finished_run_that_is_gone_is_made_again(carried):
    before = carried.results()
    (carried.results_folder / "runs" / EDALD / "metrics.csv").unlink()
    ran = carried.ran("runs")
    assert f"evaluate/{EDALD}" in ran and not rules(ran) & {"score", "fit"} and f"evaluate/{RANDOM}" not in ran
    assert carried.results() == before


@pytest.mark.slow
def test_other_source_redoes_nothing_of_a_finished_study(finished, tmp_path):
    study, record = finished.copy(tmp_path / "copy"), tmp_path / "copy" / "results" / "run.json"
    study.repository = tmp_path / "repository"
    for part in ("workflow", "profiles", "envs"):
        shutil.copytree(REPOSITORY / part, study.repository / part)
    shutil.copy(REPOSITORY / "Snakefile", study.repository)
    study.snakemake()  # the report's template lies elsewhere now
    with open(study.repository / "workflow" / "pixelherd" / "heads" / "training.py", "a") as file:
        file.write("# changed\n")
    before = record.read_bytes()
    done = study.snakemake()
    assert "another version of the source made 2 finished runs" in done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr
    assert record.read_bytes() == before, "it tells what made the results"


def test_a_finished_run_may_lose_heads_and_thumbnails(carried):
    before = carried.results()
    for path in [*carried.results_folder.rglob("*.safetensors"), *carried.results_folder.rglob("thumbnails.npz")]:
        path.unlink()
    shutil.rmtree(carried.folder / "cache")
    for name in ("tables", "figures", "report.html"):
        path = carried.results_folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert rules(carried.ran()) == set()
    after = carried.results()
    same = [name for name in before if name.startswith("tables/") or name.endswith("learning_curves.png")]
    assert same and all(after[name] == before[name] for name in same)
    assert "edald, random: thumbnails.npz is not among the files of the runs." in after["report.html"].decode()
    carried.settings["predict"] = {"images": "data/test/images"}
    done = carried.snakemake("predict", check=False)
    assert done.returncode == 1 and "head.safetensors is gone; to make the finished run again delete" in done.stderr


def test_other_statistics_redo_no_run(finished, tmp_path):
    study = finished.copy(tmp_path / "copy")
    before = study.results()
    study.settings["statistics"] = {"reference": "edald"}
    assert study.ran() == set()
    after = study.results()
    assert pd.read_csv(study.folder / "results" / "tables" / "comparison.csv")["against"].tolist() == ["edald"]
    assert after["report.html"] != before["report.html"] and after["tables/final.csv"] == before["tables/final.csv"]


def test_a_deleted_shard_and_seal_redo_their_chain_alone(finished, tmp_path):
    study = finished.copy(tmp_path / "copy")
    before = study.results()
    (shard,) = (study.folder / "cache" / "features" / "street" / "ddpm" / "train").glob("00004-00005-*")
    shutil.rmtree(shard)
    assert study.ran("runs") == set(), "sealed runs need no shard"
    (study.folder / "results" / "runs" / EDALD / "run.json").unlink()
    ran = study.ran("runs")
    made = {job for job in ran if job.startswith(("extract", "herd", "perturb"))}
    assert made == {"extract/street/ddpm/train-00004-00005"}, "what was made of it lies where it is asked for"
    assert not any("/random/" in job for job in ran)
    assert study.results() == before


def test_neither_a_deleted_cache_nor_file_times_redo_a_sealed_run(finished, tmp_path):
    study = finished.copy(tmp_path / "copy")
    before = study.results()
    shutil.rmtree(study.folder / "cache")
    shuffle_times(study)
    done = study.snakemake()
    assert "Nothing to be done" in done.stdout + done.stderr
    assert study.results() == before


def test_a_rule_declares_all_that_its_jobs_write(finished):
    """What Snakemake does not know of would be lost where nodes share no file system."""
    records, declared = finished.folder / ".snakemake" / "metadata", set()
    for path in filter(Path.is_file, records.rglob("*")):
        name = "".join(part.removeprefix("@") for part in path.relative_to(records).parts)
        declared.add(Path(base64.urlsafe_b64decode(name).decode()))
    written = {path.relative_to(finished.folder) for path in finished.files_below("cache", "results")}
    unknown = {path.as_posix() for path in written if not {path, *path.parents} & declared}
    notes = {path for path in unknown if path.endswith("/begun.json") or path.startswith("results/costs/jobs/")}
    assert len(written & declared) > 20, "Snakemake keeps its records elsewhere by now"
    assert unknown - notes == {"cache/lock", "cache/digests.json", "cache/originals/street.json"}, "of the session"


@pytest.mark.browser
def test_the_report_opens_in_a_browser(finished, problems_of):
    path = finished.folder / "results" / "report.html"
    assert problems_of(path) == []
    page = path.read_text()
    assert page.count('<img class="drawn"') == 4, "differences, bars, rounds, scores"
    assert page.count('<div class="gallery"') == 2, "a method each"


def test_every_round_keeps_how_scores_ranked_its_pool(finished):
    for number, rows in ((0, 0), (1, 2 * 5)):
        folder = finished.folder / "results" / "runs" / EDALD / f"round-{number}"
        scores, correlations = pd.read_csv(folder / "scores.csv"), pd.read_csv(folder / "correlations.csv")
        assert len(scores) == rows and len(correlations) == (10 if rows else 0)
    queries = pd.read_csv(folder / "queries.csv")
    own = scores[(scores["score"] == "edald") & (scores["group"] == "chosen")].iloc[0]
    assert (own["q0"], own["q100"]) == pytest.approx((queries["score"].min(), queries["score"].max()))
    kept = pd.read_csv(finished.folder / "results" / "runs" / RANDOM / "round-1" / "scores.csv")
    assert kept.empty, "random selection ranks nothing"


def test_tables_and_report_rebuild_from_the_repository_and_results_alone(finished, tmp_path):
    files = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    repository = tmp_path / "repository"
    for name in filter(None, files.stdout.split("\0")):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, repository / name)
    for with_raw_data in (False, True):
        study = Workspace(tmp_path / f"raw-{with_raw_data}", finished.settings, repository)
        study.folder.mkdir()
        shutil.copytree(finished.folder / "results", study.folder / "results")
        if with_raw_data:
            (study.folder / "data").symlink_to((finished.folder / "data").readlink())
        expected = study.results()
        shutil.rmtree(study.folder / "results" / "tables")
        shutil.rmtree(study.folder / "results" / "figures")
        (study.folder / "results" / "report.html").unlink()
        shuffle_times(study)
        done = study.snakemake("tables", "report")
        assert study.results() == expected
        assert not (study.folder / "cache").exists()
        assert "5 of 5 jobs done" in done.stderr, "tables, figures and report, and the two targets"


@pytest.mark.slow
def test_evaluation_at_the_original_resolution_redoes_no_features(finished, tmp_path):
    study = finished.copy(tmp_path / "copy")
    before = study.results()
    street = {**finished.settings["datasets"]["street"], "evaluate_at": "original"}
    study.settings["datasets"] = {"street": street}
    ran = study.ran("runs")
    assert "original_labels/street" in ran
    assert not rules(ran) & {"prepare", "extract", "herd", "perturb", "gather"}
    name = f"runs/{EDALD}/metrics.csv"
    assert study.results()[name] == before[name], "these images are prepared in the size of their files"


@pytest.mark.slow
def test_features_by_windows_and_features_that_join_others(finished, tmp_path):
    study = finished.copy(tmp_path / "copy")
    shared = {"draws": 2, "context": 40}
    seen = {"image_size": [64, 96], "window": {"size": [64, 64]}}  # two windows
    study.settings["features"] |= {
        "photo": {"backbone": {"embedded": "efficientnet_lite2"}, **seen, **shared},
        "both": {"backbone": ["ddpm", "photo"], **shared},
    }
    study.settings["methods"] = {"edald": None}
    study.snakemake()
    costs = pd.read_csv(study.folder / "results" / "costs" / "costs.csv").set_index("stage")
    assert costs["forwards"].equals(costs["planned_forwards"])
    images, steps, windows = 10, 2, 2
    assert costs.loc["extract", "forwards"] == images * (steps + windows + steps + windows)
    run = "street/{}/edald/budget-4/seed-0"
    weights = {
        name: load_file(study.folder / "results/runs" / run.format(name) / "round-1/head.safetensors")["first.weight"]
        for name in ("ddpm", "photo", "both")
    }
    assert weights["both"].shape[1] == weights["ddpm"].shape[1] + weights["photo"].shape[1]
    assert "Nothing to be done" in study.snakemake().stderr
    study.settings["predict"] = {"images": "data/test/images", "run": run.format("both")}
    assert "4 of 4 images predicted" in study.snakemake("predict").stdout
    assert len(json.loads((study.folder / "predictions" / "coco.json").read_text())["images"]) == 4


@pytest.mark.slow
def test_a_study_trains_its_own_backbone(finished, tmp_path):
    features = {**finished.settings["features"]["ddpm"], "backbone": {"pretrain": "small"}, "blocks": [1, 2]}
    pretraining = {
        "dataset": "street",
        "size": [32, 32],
        "channels": [16, 32],
        "attention": [1],
        "head_dim": 16,
        "groups": 8,
        "steps": 4,
        "warmup_steps": 1,
        "batch": 2,
    }
    more = {"pretraining": {"small": pretraining}, "methods": {"random": None}}
    study = finished.empty(tmp_path, features={"own": features}, **more)
    assert rules(study.ran("pretrain")) == {"prepare", "pretrained"}
    (backbone,) = (study.folder / "cache" / "pretrained").glob("small-*")
    assert (backbone / "data" / "loss.png").read_bytes().startswith(b"\x89PNG")
    ran = study.ran(FINAL)
    assert not rules(ran) & {"prepare", "pretrained"}
    study.snakemake("verify")
    assert pd.read_csv(study.folder / "results" / "tables" / "final.csv")["features"].unique().tolist() == ["own"]


def test_a_users_mistake_is_one_line_and_status_one(finished, tmp_path):
    def failure(change: dict, *targets: str) -> str:
        study = Workspace(tmp_path, {**finished.settings, **change})
        done = study.snakemake(*targets, check=False)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "did you mean 'edald'" in failure({"methods": {"edal": None}})
    assert "did you mean 'budgets'" in failure({"budget": [4]})
    assert "data" in failure({}, "features"), "there is no raw data here"
    (tmp_path / "data").symlink_to((finished.folder / "data").readlink())
    assert "write a larger budget" in failure({"budgets": [0.01]})


def test_the_doctor_tells_what_is_missing_in_a_table(finished, tmp_path):
    ddpm = {**finished.settings["features"]["ddpm"], "backbone": str(REPOSITORY / "backbones" / "demo")}
    study = Workspace(tmp_path, {**finished.settings, "features": {"ddpm": ddpm}})
    done = study.snakemake("doctor", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr + done.stdout
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("| datasets.street")]
    assert "wrong" in row and "data does not exist" in row and "set `root`" in row
    assert "checks failed: datasets.street (files)" in done.stderr
    assert not (tmp_path / "cache").exists() and not (tmp_path / "results").exists()
    (tmp_path / "data").symlink_to((finished.folder / "data").readlink())
    done = study.snakemake("doctor", "plan")
    assert "6 training, 4 test images" in done.stdout and "wrong" not in done.stdout
    assert "2 runs, 0 of them sealed" in done.stdout


def shuffle_times(study: Workspace) -> None:
    """Give every file a random time of the last day."""
    generator = random.Random(0)
    for path in study.folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            moment = time.time() - generator.uniform(0, 86_400)
            os.utime(path, (moment, moment))
