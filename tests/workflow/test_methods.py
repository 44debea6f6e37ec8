"""Every kind of method on the tiny study: what it runs, what it costs, and what its runs share with others'."""

import json
import shutil

import pandas as pd
import pytest
from safetensors.numpy import load_file

from conftest import ADDRESS
from pixelherd.selection.methods import SELECTIONS

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("methods")]  # they look at one study

MORE = {
    "ebald": None,
    "ebald_mlp": {"score": "ebald", "head": {"kind": "mlp", "epochs": 3}},
    "uherding": None,
    "k_center": None,
    "typiclust": None,
    "probcover": None,
    "badge": None,
    "tcm": None,
    "clasp_pe": None,
    "dropquery": None,
    "margin_single": {"score": "margin", "stages": 1},
    "edald_single": {"score": "edald", "stages": 1},
    "balentacq_single": {"score": "balentacq", "stages": 1},
    "bald_single_mlp": {"score": "bald", "stages": 1, "head": {"kind": "mlp", "epochs": 3}},
    "margin_listed": {"score": "margin", "candidates": {"listed": 3, "reserve": 7}},
    "margin_laplace": {"score": "margin", "candidates": {"kernel": "laplace"}},
}


@pytest.fixture(scope="module")
def methods(finished, tmp_path_factory):
    """The finished tiny study with many methods added, and the jobs that this took."""
    study = finished.copy(tmp_path_factory.mktemp("methods") / "copy")
    study.settings["methods"] = {**study.settings["methods"], **MORE}
    return study, study.ran()


def folder_of(study, method):
    return study.folder / "results" / "runs" / "street" / "ddpm" / method / "budget-4" / "seed-0"


def asked_by(study, method):
    return pd.concat([pd.read_csv(folder_of(study, method) / f"round-{r}" / "queries.csv") for r in range(2)])


def test_added_methods_run_only_their_own_jobs(methods):
    _, ran = methods
    shared = sorted(job.split("/")[0] for job in ran if not any(f"/{method}/" in job for method in MORE))
    assert shared == ["gather", "gather", "herd", "herd"], "lists for another kernel, and a union for another K"
    assert "gather/street/ddpm/seed-0-3" in ran
    of = {method: {job.split("/")[0] for job in ran if f"/{method}/" in job} for method in MORE}
    always = {"score", "fit", "evaluate"}
    assert of["ebald"] == always | {"pool", "sample"}
    assert of["ebald_mlp"] == {"score", "train", "evaluate", "pool", "train_dropout"}
    single = {"rank", "score", "vectors", "fit", "evaluate"}
    assert of["margin_single"] == of["edald_single"] == single
    assert of["balentacq_single"] == single | {"sample"}
    assert of["bald_single_mlp"] == {"rank", "score", "vectors", "train", "train_dropout", "evaluate"}
    rules = [name for name in MORE if name in SELECTIONS]
    assert len(rules) == 8 and all(of[name] == always for name in rules)


def test_forwards_are_those_that_the_plan_foresaw(methods):
    study, _ = methods
    costs = pd.read_csv(study.folder / "results" / "costs" / "costs.csv").set_index("stage")
    assert costs["forwards"].equals(costs["planned_forwards"])
    assert costs.loc["rank", "forwards"] == 6 * 2 * 2, "one round of dense draws of one method"
    assert costs.loc["vectors", "forwards"] == 0, "maps are kept"


def test_no_pixel_is_asked_twice(methods):
    study, _ = methods
    for method in MORE:
        pixels = asked_by(study, method)[["image", "row", "column"]]
        assert len(pixels) == 8 and not pixels.duplicated().any(), method


def test_seeds_are_paired(methods):
    """Round 0 asks the same pixels of the same lists, and the same labels give the same head to the last bit."""
    study, _ = methods
    first = {
        name: (folder_of(study, name) / "round-0" / "queries.csv").read_bytes() for name in study.settings["methods"]
    }
    others = ("random", "typiclust", "tcm", "probcover", "margin_listed", "margin_laplace")
    opened = [name for name in first if name not in others]
    assert len({first[name] for name in opened}) == 1
    assert len({first[name] for name in ("edald", "random", "typiclust", "probcover")}) == 4
    assert first["tcm"] == first["typiclust"]
    heads = {name: load_file(folder_of(study, name) / "round-0" / "head.safetensors") for name in opened}
    for name, head in heads.items():
        like = heads["ebald_mlp" if name.endswith("_mlp") else "ebald"]
        assert all((head[key] == values).all() for key, values in like.items()), name


def test_samples_differ_from_the_head_and_are_sealed(methods):
    study, _ = methods
    folder = folder_of(study, "ebald_mlp")
    assert not (folder / "round-0" / "sampled_head.safetensors").exists()
    names = "round-0/head.safetensors", "round-1/sampled_head.safetensors"
    plain, dropout = (load_file(folder / name) for name in names)
    assert plain.keys() == dropout.keys() and (plain["first.weight"] != dropout["first.weight"]).any()
    assert '"round-1/sampled_head.safetensors"' in (folder / "run.json").read_text()
    folder = folder_of(study, "ebald")
    plain, samples = (load_file(folder / name) for name in names)
    weights = [samples[f"heads.{number}.first.weight"] for number in range(5)]
    assert len(samples) == 10 and all((each != plain["first.weight"]).any() for each in weights)
    scores = pd.read_csv(folder / "round-1" / "scores.csv")
    assert set(scores["score"]) == {"entropy", "margin", "least_confidence", "bald", "ebald", "balentacq"}


def test_a_lost_cache_is_made_again_for_the_rounds_to_come(methods, tmp_path):
    """Rounds 0 and 1 stay as they are; what training needs of their pixels is read from the maps again."""
    finished, _ = methods
    study = finished.copy(tmp_path / "copy")
    study.settings["methods"] = {"margin_single": MORE["margin_single"]}
    before = {name: content for name, content in study.results().items() if "/margin_single/" in name}
    shutil.rmtree(study.folder / "cache")
    study.settings["rounds"] = 3
    ran = {job for job in study.ran() if "/margin_single/" in job}
    run = "street/ddpm/margin_single/budget-4/seed-0"
    expected = {f"vectors/{run}/round-{number}" for number in range(3)} | {f"evaluate/{run}"}
    expected |= {f"{rule}/{run}/round-2" for rule in ("score", "fit")}
    expected |= {f"rank/{run}/round-2/{shard}" for shard in ("00000-00003", "00004-00005")}
    assert ran == expected
    after = study.results()
    assert all(after[name] == content for name, content in before.items() if "/round-" in name)


def test_methods_do_not_depend_on_stored_maps_images_per_job_or_leased_gpus(methods, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,GPU-pretended")
    finished, _ = methods
    maps = {"maps": "recompute", "draw_maps": "keep"}
    features = {"ddpm": {**finished.settings["features"]["ddpm"], **maps}}
    # those that look at maps in every round, and one that looks at their lists
    methods_of = finished.settings["methods"].items()
    reading = {name: each for name, each in methods_of if name in ("edald", "edald_single")}
    study = finished.empty(tmp_path, features=features, images_per_job=3, methods=reading)
    study.snakemake("runs", "results/costs/costs.md")
    expected = finished.results()
    prefixes = tuple(f"runs/street/ddpm/{name}/" for name in reading)
    found = {name: content for name, content in study.results().items() if name.startswith("runs/")}
    assert len(reading) == 2 and found == {name: expected[name] for name in expected if name.startswith(prefixes)}
    costs = pd.read_csv(study.folder / "results" / "costs" / "costs.csv").set_index("stage")
    bounded = costs.index == "vectors"
    assert costs["forwards"][~bounded & (costs.index != "total")].equals(
        costs["planned_forwards"][~bounded & (costs.index != "total")]
    )
    assert (costs["forwards"] <= costs["planned_forwards"]).all()
    shards = (study.folder / "cache" / "features" / "street" / "ddpm").glob("train/*/manifest.json")
    assert {ADDRESS.sub("", shard.parent.name) for shard in shards} == {"00000-00002", "00003-00005"}
    stored = {path.parents[2].name for path in (study.folder / "cache").rglob("maps.zarr")}
    assert "train" not in stored and "test" not in stored, "draws alone are kept"

    again = folder_of(study, "edald") / "run.json"
    again.unlink()
    ran = {job.split("/")[0] for job in study.ran("runs")}
    assert {"test_pass", "evaluate"} <= ran and not ran & {"prepare", "extract", "herd", "pool", "fit"}
    assert {name: content for name, content in study.results().items() if name.startswith("runs/")} == found
    passes = (study.folder / "results" / "costs" / "jobs" / "test_pass").rglob("*.json")
    forwards = [json.loads(path.read_text())["forwards"] for path in passes]
    assert min(forwards) == 0 < max(forwards), "what a pass found is kept"
